package devices

import (
	"context"
	"time"
)

// beat is how often a fleet looks what is due.
const beat = 5 * time.Millisecond

// pace calls due with the number of events that have become due at rate a second, about every 5 ms, until ctx ends. It
// counts from the start, so that rounding and late timers do not add up, and never waits for what due did (open loop):
// after a stall the missing events come at once, but never more than a second's worth.
func pace(ctx context.Context, rate float64, due func(n int)) {
	tick := time.NewTicker(beat)
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

// pause waits for d, or until ctx ends, and reports whether ctx has not.
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
