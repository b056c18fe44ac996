package broker

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// SetWallClock gives a broker that will be made of o a system clock of the test's own.
func SetWallClock(o *Options, now func() time.Time) { o.wallClock = now }

// SetLastWords changes how long a stop publishes wills while connections still hear of them.
func SetLastWords(o *Options, d time.Duration) { o.lastWords = d }

// MostStoringUnits is how many operations on messages of a shard may wait for the store.
const MostStoringUnits = mostStoringUnits

// StoringOps is how many operations wait for the store.
func (b *Broker) StoringOps() (n int64) {
	b.inTurns(func(s *shard) { n += s.journal.units })
	return n
}

// StoringBytes is how many bytes wait for the store, negative if more were subtracted than added.
func (b *Broker) StoringBytes() (n int64) {
	b.inTurns(func(s *shard) { n += s.journal.bytes })
	return n
}

// NeverHost has every shard of a broker that will be made of o run its own turns.
func NeverHost(o *Options) {
	o.hosting = hostingRules{every: 1 << 60, below: -1, above: 1e9, writes: 1 << 30}
}

// Block keeps a shard from running turns, as a thread that the system does not run would.
func (b *Broker) Block(shard int) (unblock func()) {
	b.shards[shard].sched.turning.Lock()
	return b.shards[shard].sched.turning.Unlock
}

// NextOn has the next connection begin on a shard.
func (b *Broker) NextOn(shard int) {
	n := uint64(len(b.shards))
	b.turn.Store(b.turn.Load()/n*n + n + uint64(shard) - 1)
}

// Closed is how many ended transactions of a shard the store does not have, and whether its last answer was an error.
func (b *Broker) Closed(shard int) (n int, failing bool) {
	s := b.shards[shard]
	s.sched.turning.Lock()
	defer s.sched.turning.Unlock()
	return len(s.journal.closed), s.journal.failing
}

// HeldForStore is how many connections are held because too much waits for the store.
func (b *Broker) HeldForStore() (n int) {
	b.inTurns(func(s *shard) { n += len(s.pressure.throttled) })
	return n
}

// DoomAll dooms every connection of a broker with one shard in a turn that has no time left, and returns how many are not closed then.
func (b *Broker) DoomAll() (left int) {
	b.inTurns(func(s *shard) {
		for _, c := range s.conns.slots {
			if c != nil {
				s.doomConn(c, closeAdmin)
			}
		}
		s.sweep(0)
		left = len(s.ends.doomed)
	})
	return left
}

// Resume pauses and resumes every connection, and returns how many readers of streams may then read on.
func (b *Broker) Resume() (readers int) {
	b.inTurns(func(s *shard) {
		for _, c := range s.conns.slots {
			if c == nil {
				continue
			}
			c.setPause(pauseFull, true)
			c.setPause(pauseFull, false)
			if st, ok := c.carrier.(*stream); ok {
				readers += len(st.going)
			}
		}
	})
	return readers
}

// ReplayParts returns the number of subscriptions that wait for retained messages, ended ones included.
func (b *Broker) ReplayParts() (n int) {
	b.inTurns(func(s *shard) {
		for _, ss := range s.sessions {
			if ss.replay != nil {
				n += len(ss.replay.parts)
			}
		}
	})
	return n
}

// HeldAcks returns the number of acknowledgements that connections hold.
func (b *Broker) HeldAcks() (n int) {
	b.inTurns(func(s *shard) {
		for _, c := range s.conns.slots {
			if c != nil {
				n += len(c.acks.held)
			}
		}
	})
	return n
}

// MissedBytes returns the size of the removals that sessions have missed.
func (b *Broker) MissedBytes() (n int) {
	b.inTurns(func(s *shard) {
		for _, ss := range s.sessions {
			if !ss.misses() {
				continue
			}
			for _, t := range ss.losses.missed.topics {
				if t.removal != nil {
					n += t.removal.size()
				}
			}
		}
	})
	return n
}

// BlockedHoles returns the number of entries without a message in blocked outputs.
func (b *Broker) BlockedHoles() (n int) {
	b.inTurns(func(s *shard) {
		for _, c := range s.conns.slots {
			if c != nil && c.output.blocked != nil {
				p := c.output.blocked
				n += len(p.items) - p.head - p.count
			}
		}
	})
	return n
}

// inTurns has every shard call fn, one after another.
func (b *Broker) inTurns(fn func(*shard)) {
	for _, s := range b.shards {
		s.await(fn)
	}
}

// LeaveInSteps has sessions lose one subscription in a turn when they have ended.
func LeaveInSteps(o *Options) { o.leaving = leaveRules{atOnce: -1, piece: 1, time: 1} }

// HostAlways has the first shard of a broker that will be made of o host the others all the time.
func HostAlways(o *Options) {
	o.hosting = hostingRules{below: math.Inf(1), above: math.Inf(1), writes: math.MaxInt}
}

// HostInTurns has the others come and go all the time.
func HostInTurns(o *Options) {
	o.hosting = hostingRules{below: math.Inf(1), above: math.Inf(1), writes: 1}
}

// ComeTwiceAtTheEnd has the second shard be refused twice by the first one, as at its end, and takes no signal to leave.
func (b *Broker) ComeTwiceAtTheEnd() {
	b.shards[0].await(func(s *shard) {
		s.sched.ending = true
		for range 2 {
			s.takeHosted(b.shards[1])
		}
		s.sched.ending = false
		<-b.shards[1].sched.release
	})
}

// Advance lets time pass for the broker: every deadline within d has passed when it returns.
func (b *Broker) Advance(d time.Duration) {
	b.clock.skew.Add(int64(d))
	for _, s := range b.shards {
		done := make(chan struct{})
		if s.post(call(func(s *shard) {
			s.now = b.clock.now()
			s.wheel.Advance(s.now/int64(tick), func() bool { return false })
			close(done)
		})) {
			<-done
		}
	}
}

// Skip lets time pass, and leaves it to the shards to see that.
func (b *Broker) Skip(d time.Duration) { b.clock.skew.Add(int64(d)) }

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
			sub.persist()
		}))
	}
}

// A search for slow clients goes over several turns here, and nobody may read a message's copy that was released.
func init() { slowestStep, spoilCopies = 2, true }

// Audit adds up what waits in every session, while no shard does a turn, and tells where the account differs.
func (b *Broker) Audit() error {
	var queued, inflight, parked int64
	for _, s := range b.shards {
		s.sched.turning.Lock()
		defer s.sched.turning.Unlock()
	}
	for _, s := range b.shards {
		for _, ss := range s.sessions {
			for _, d := range ss.queue.items[ss.queue.head:] {
				if d.m != nil {
					queued += int64(d.m.size())
				}
			}
			ss.inflight.each(func(o *outgoing) {
				if o.d.m != nil {
					inflight += int64((o.d.m.size() + inflightUnit - 1) / inflightUnit * inflightUnit)
				}
			})
		}
		for _, c := range s.conns.slots {
			if c == nil || c.output.blocked == nil {
				continue
			}
			for _, d := range c.output.blocked.items[c.output.blocked.head:] {
				if d.m != nil {
					parked += int64(d.m.size())
				}
			}
		}
		for _, t := range s.pacing.due {
			parked += int64(len(t.topic) + pacingOverhead)
			if t.waiting != nil {
				parked += int64(t.waiting.size())
			}
		}
	}
	a := &b.account
	if got := a.bytes.Load(); got != queued+inflight {
		return fmt.Errorf("the account has %d bytes, queues have %d and windows %d", got, queued, inflight)
	}
	if got := a.parked.Load(); got != parked {
		return fmt.Errorf("the account has %d parked bytes, connections have %d", got, parked)
	}
	return nil
}

// StoreFails tells whether a shard waits to try the store again, or for the answer to that.
func (b *Broker) StoreFails() (fails bool) {
	for _, s := range b.shards {
		s.sched.turning.Lock()
		fails = fails || s.journal.failing
		s.sched.turning.Unlock()
	}
	return fails
}

// AllStored tells whether the store has everything that it is to keep of what the shards have done.
func (b *Broker) AllStored() bool {
	stored := true
	for _, s := range b.shards {
		s.sched.turning.Lock()
		stored = stored && s.journal.txn == nil && len(s.journal.unsaved) == 0 && len(s.journal.closed) == 0 && !s.journal.committing
		s.sched.turning.Unlock()
	}
	return stored
}

// ShardOf is the index of the shard that a client identifier belongs to.
func (b *Broker) ShardOf(id string) int { return b.owner(id).index }
