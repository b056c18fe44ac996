package jwks

import (
	"net/http"
	"time"
)

// UntilNext, UntilRetry and MaxAge are the schedule of fetches.
func (o Options) UntilNext(maxAge time.Duration) time.Duration { return o.untilNext(maxAge) }
func (o Options) UntilRetry(failures int) time.Duration        { return o.untilRetry(failures) }
func MaxAge(h http.Header) time.Duration                       { return maxAge(h) }
