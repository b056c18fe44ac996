package devices

import (
	"context"
	"time"
)

// tickInterval is the time after which a fleet checks for due events.
const tickInterval = 5 * time.Millisecond

// pace calls due with the number of events that became due at rate a second, about every 5 ms, until ctx ends. It
// counts from the start, so that rounding and late timers do not add up, and does not slow down with due (open loop):
// after a stall the missed events come at once, but never more than a second's worth.
func pace(ctx context.Context, rate float64, due func(n int)) {
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	start, done := time.Now(), int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			want := int64(now.Sub(start).Seconds() * rate)
			n := want - done
			if n <= 0 {
				continue
			}
			done = want
			due(int(min(n, int64(rate)+1)))
		}
	}
}

// pause waits for d or until ctx ends. It reports whether d has passed.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
