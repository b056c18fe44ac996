package devices

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPaceDoesNotDrift(t *testing.T) {
	for _, rate := range []float64{0.5, 7, 999, 1000, 250_000} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute+tickInterval/2)
			defer cancel()
			total, most := 0, 0
			pace(ctx, rate, func(n int) { total, most = total+n, max(most, n) })
			if want := int(rate * 600); total != want {
				t.Errorf("%d events in ten minutes at %v a second, want %d", total, rate, want)
			}
			if even := int(rate*tickInterval.Seconds()) + 1; most > even {
				t.Errorf("%d events at once at %v a second, want at most %d", most, rate, even)
			}
		})
	}
}

func TestPaceAfterAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		stalled, most := false, 0
		pace(ctx, 100, func(n int) {
			if most = max(most, n); !stalled {
				stalled = true
				time.Sleep(30 * time.Second)
			}
		})
		if most > 101 {
			t.Errorf("%d events at once after a stall, want at most a second's worth", most)
		}
	})
}
