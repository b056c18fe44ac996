package broker

import (
	"math"
	"strconv"
	"time"
)

// SetWallClock gives a broker that will be made of o a system clock of the test's own.
func SetWallClock(o *Options, now func() time.Time) { o.wallClock = now }

// HostAlways has the first shard of a broker that will be made of o host the others all the time.
func HostAlways(o *Options) {
	o.hosting = hostRules{below: math.Inf(1), above: math.Inf(1), writes: math.MaxInt}
}

// HostInTurns has the others come and go all the time.
func HostInTurns(o *Options) {
	o.hosting = hostRules{below: math.Inf(1), above: math.Inf(1), writes: 1}
}

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

// AddSessions makes n durable sessions that are offline and subscribe with QoS 1 to the topics that topic names.
func (b *Broker) AddSessions(n int, topic func(i int) string) {
	for i := range n {
		id := "session-" + strconv.Itoa(i)
		b.owner(id).post(call(func(s *shard) {
			ss := s.newSession(id, "user")
			ss.expiry = unlimitedTime
			ss.makeDurable()
			ss.endsAt = int64(unlimitedTime)
			s.stats.sessionsOffline++
			sub := &subscription{session: ss, qos: 1}
			s.subscribe(sub, subscriptionKey{filter: topic(i)}, 0)
			ss.subs.add(sub)
			sub.keep()
		}))
	}
}

// A search for slow clients goes over several turns here, and nobody may read a message's copy that was released.
func init() { slowestStep, spoilCopies = 2, true }
