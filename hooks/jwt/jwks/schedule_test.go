package jwks_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/hooks/jwt/jwks"
)

func TestMaxAge(t *testing.T) {
	for _, c := range []struct {
		cacheControl []string
		age          string
		want         time.Duration
	}{
		{nil, "", -time.Second},
		{[]string{"public"}, "", -time.Second},
		{[]string{"public, max-age=300"}, "", 5 * time.Minute},
		{[]string{"Max-Age=300 , must-revalidate"}, "100", 200 * time.Second},
		{[]string{`max-age="60"`}, "", time.Minute},
		{[]string{"public", "max-age=60"}, "", time.Minute},
		{[]string{"max-age=60"}, "100", 0},
		{[]string{"max-age=60"}, "soon", time.Minute},
		{[]string{"no-cache"}, "", 0},
		{[]string{"max-age=60, no-store"}, "", 0},
		{[]string{"max-age=-5"}, "", -time.Second},
		{[]string{"max-age=99999999999999999999"}, "", -time.Second},
		{[]string{"max-age=2147483647"}, "", 2147483647 * time.Second},
		{[]string{",=,max-age"}, "", -time.Second},
	} {
		h := http.Header{"Cache-Control": c.cacheControl}
		if c.age != "" {
			h.Set("Age", c.age)
		}
		if got := jwks.MaxAge(h); got != c.want {
			t.Errorf("%q, Age %s: %v, want %v", c.cacheControl, c.age, got, c.want)
		}
	}
}

func TestSchedule(t *testing.T) {
	quarter, short := jwks.Options{Refresh: 15 * time.Minute}, jwks.Options{Refresh: 10 * time.Second}
	for _, c := range []struct {
		name       string
		wait       func() time.Duration
		least, top time.Duration
	}{
		{"nothing said", func() time.Duration { return quarter.UntilNext(-1) }, 13*time.Minute + 30*time.Second, 15 * time.Minute},
		{"five minutes", func() time.Duration { return quarter.UntilNext(5 * time.Minute) }, 4*time.Minute + 30*time.Second, 5 * time.Minute},
		{"at once", func() time.Duration { return quarter.UntilNext(0) }, 54 * time.Second, time.Minute},
		{"in a week", func() time.Duration { return quarter.UntilNext(7 * 24 * time.Hour) }, 13*time.Minute + 30*time.Second, 15 * time.Minute},
		{"at once, of one that is short", func() time.Duration { return short.UntilNext(0) }, 9 * time.Second, 10 * time.Second},
		{"first failure", func() time.Duration { return quarter.UntilRetry(1) }, 500 * time.Millisecond, time.Second},
		{"fourth failure", func() time.Duration { return quarter.UntilRetry(4) }, 4 * time.Second, 8 * time.Second},
		{"hundredth failure", func() time.Duration { return quarter.UntilRetry(100) }, 150 * time.Second, 5 * time.Minute},
		{"hundredth failure, of one that is short", func() time.Duration { return short.UntilRetry(100) }, 5 * time.Second, 10 * time.Second},
	} {
		seen := map[time.Duration]bool{}
		for range 100 {
			got := c.wait()
			if got < c.least || got > c.top {
				t.Fatalf("%s: %v, want %v to %v", c.name, got, c.least, c.top)
			}
			seen[got] = true
		}
		if len(seen) < 50 {
			t.Errorf("%s: always the same times", c.name)
		}
	}
}
