package jwks

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	leastRefresh = time.Minute // the shortest time between two readings that a source can ask for
	firstRetry   = time.Second
	longestRetry = 5 * time.Minute
)

// untilNext returns how long it is to the next reading, up to a tenth less so that many brokers don't ask at once.
// maxAge is what the source said; negative: nothing.
func (o *Options) untilNext(maxAge time.Duration) time.Duration {
	wait := o.Refresh
	if maxAge >= 0 {
		wait = min(o.Refresh, max(maxAge, leastRefresh))
	}
	return wait - rand.N(wait/10+1)
}

// untilRetry returns how long it is to the next reading after so many failures in a row: twice as long each time, and
// up to a half less.
func (o *Options) untilRetry(failures int) time.Duration {
	wait := longestRetry
	if failures < 10 {
		wait = firstRetry << (failures - 1)
	}
	wait = min(wait, longestRetry, o.Refresh)
	return wait - rand.N(wait/2+1)
}

// maxAge returns how long an answer is fresh (RFC 9111 4.2.1), at least 0; negative: its header does not say.
func maxAge(h http.Header) time.Duration {
	age := -time.Second
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				age = time.Duration(n) * time.Second
			}
		}
	}
	if passed, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil && age >= 0 {
		age = max(0, age-time.Duration(passed)*time.Second)
	}
	return age
}
