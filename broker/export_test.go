package broker

import "time"

// SetWallClock gives a broker that will be made of o a system clock of the test's own.
func SetWallClock(o *Options, now func() time.Time) { o.wallClock = now }

// Advance lets time pass for the broker: every deadline within d has passed when it returns.
func (b *Broker) Advance(d time.Duration) {
	b.clock.skew.Add(int64(d))
	for _, s := range b.shards {
		done := make(chan struct{})
		if s.post(call(func(s *shard) {
			s.now = b.clock.now()
			s.wheel.advance(s.now / int64(tick))
			close(done)
		})) {
			<-done
		}
	}
}
