package jwks

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	leastRefresh = time.Minute // lower bound of a response's freshness lifetime
	firstRetry   = time.Second
	longestRetry = 5 * time.Minute
)

// untilNext returns the time to the next fetch, reduced by up to a tenth at random so that many brokers do not ask at
// once. maxAge is the response's freshness lifetime; negative: not given.
func (o *Options) untilNext(maxAge time.Duration) time.Duration {
	wait := o.Refresh
	if maxAge >= 0 {
		wait = min(o.Refresh, max(maxAge, leastRefresh))
	}
	return wait - rand.N(wait/10+1)
}

// untilRetry returns the time to the next fetch after consecutive failures: it doubles each time, and is reduced by
// up to a half at random.
func (o *Options) untilRetry(failures int) time.Duration {
	wait := longestRetry
	if failures < 10 {
		wait = firstRetry << (failures - 1)
	}
	wait = min(wait, longestRetry, o.Refresh)
	return wait - rand.N(wait/2+1)
}

// maxAge returns a response's freshness lifetime (RFC 9111 4.2.1), at least 0; negative: not given.
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
