package broker

import (
	"fmt"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/internal/poller"
)

// A shard's own loop need not run its turns. Waking a sleeping loop costs more than handling a few messages, and one thread less
// competes for the processors. So another shard's thread runs them in two cases, with sched.turning held:
//
//   - A proxy turn: a shard with little work for a sleeping one runs that shard's next turn at the end of its own. More work than that
//     wakes the other loop, and both threads work at the same time.
//   - Hosting: while there is little to do, the first shard is the host. It waits for the other shards' sockets as well and runs all
//     their turns, until the load grows.
//
// docs/decisions/0002-how-a-shard-waits.md has the figures.

// scheduler selects the thread for a shard's turns, and the times when its loop sleeps.
type scheduler struct {
	ending   bool         // connections are being closed; the loop ends with the last one
	turning  sync.Mutex   // held during a turn, and forever once the loop has ended
	turnTime atomic.Int64 // duration in ns of the last turn with posts or batches from the inbox

	busy    bool     // there are spare processors for busy waiting
	idle    bool     // the last busy wait ended without an event
	wakesAt int64    // time when the loop wakes by itself, on the broker's clock
	hadTurn bool     // there was a turn since wakesAt was computed
	byProxy bool     // another shard runs this turn as a proxy turn
	toWake  shardSet // shards with batches of this turn that were not woken yet

	// Of the host.
	hosted   []*shard
	ready    shardSet      // hosted shards with ready sockets
	invited  bool          // the other shards have been asked to be hosted
	lookedAt int64         // last reading of the processor time, on the broker's clock
	used     time.Duration // processor time of the program at lookedAt
	ended    chan struct{} // closed when the host's loop ends

	// Of a hosted shard.
	wanted   bool          // the loop must leave its turns to the host
	isHosted bool          // the loop has left its turns to the host
	release  chan struct{} // gets a signal when the host returns the turns to the loop
}

func newScheduler() scheduler {
	return scheduler{release: make(chan struct{}, 1), ended: make(chan struct{})}
}

// hostingRules are the thresholds for the start and the end of hosting.
type hostingRules struct {
	every        time.Duration // interval between readings of the processor time
	below, above float64       // processors used by the program: hosting starts below the first and ends above the second
	writes       int           // connections written to in a turn, from which sharing the work among all threads pays
	calm         time.Duration // time without such a turn before hosting starts
}

var defaultHostRules = hostingRules{every: 50 * time.Millisecond, below: 0.7, above: 0.85, writes: 64, calm: time.Second}

// Tokens from hostedTokens downwards belong to the pollers of hosted shards. They are above all connection slots.
const hostedTokens = ^uint64(0) - 1

// Limits of a proxy turn.
const (
	proxyTime  = 50 * time.Microsecond // duration of the other shard's last turn with posts or batches
	proxyBytes = 4 << 10               // of messages
)

// wait sleeps until an event or the next timer. After a wait that brought work, it first waits busily on its processor, which
// is usually short on a loaded broker, and only then blocks through the scheduler.
func (s *shard) wait() ([]poller.Event, error) {
	if len(s.turns.unhandled) > 0 {
		return nil, nil
	}
	s.poll.Prepare()
	s.sched.wakesAt = s.dueAt()
	until, idle := s.prepareHosted(s.sched.wakesAt)
	if !idle || s.pressed() {
		return s.poll.Wait(0, true)
	}
	began := s.b.clock.now()
	timeout := time.Duration(-1)
	if until != math.MaxInt64 {
		timeout = time.Duration(max(until-began, 0))
	}
	busy := s.sched.busy && !s.sched.idle
	if busy && (timeout < 0 || timeout > busyWait) {
		timeout = busyWait
	}
	s.sched.turning.Unlock()
	events, err := s.poll.Wait(timeout, busy)
	s.sched.turning.Lock()
	waited := s.b.clock.now() - began // shorter if a signal of Go's scheduler interrupted it
	s.sched.idle = busy && len(events) == 0 && waited >= int64(timeout)
	return events, err
}

// considerHosting starts hosting when the load is low, and ends it when the load is high. The first shard calls it at the end
// of its turns.
func (s *shard) considerHosting() {
	rules := &s.b.options.hosting
	calm := s.now-s.b.crowded.Load() > int64(rules.calm)
	if !calm && len(s.sched.hosted) > 0 {
		s.endHosting()
	}
	past := s.now - s.sched.lookedAt
	if past < int64(rules.every) {
		return
	}
	used := poller.ProcessorTime()
	load := float64(used-s.sched.used) / float64(past)
	s.sched.lookedAt, s.sched.used = s.now, used
	switch {
	case load > rules.above:
		s.endHosting()
	case load < rules.below && calm && !s.sched.invited && !s.sched.ending:
		s.sched.invited = true
		for _, to := range s.b.shards[1:] {
			to.post(call(func(g *shard) { g.sched.wanted = !g.sched.isHosted && !g.sched.ending }))
		}
	}
}

// endHosting returns the turns of all hosted shards to their own loops.
func (s *shard) endHosting() {
	for _, g := range s.sched.hosted {
		_ = s.poll.Leave(g.poll)
		s.sched.toWake &^= 1 << g.index // its own loop checks for work
		g.leaveHost()
	}
	s.sched.hosted, s.sched.ready, s.sched.invited = nil, 0, false
}

// beHosted leaves the shard's turns to the host until hosting ends.
func (s *shard) beHosted() {
	s.sched.wanted, s.sched.isHosted, s.sched.hadTurn = false, true, true
	s.sched.turning.Unlock()
	first := s.b.shards[0]
	first.post(call(func(h *shard) { h.takeHosted(s) }))
	select {
	case <-s.sched.release:
	case <-first.sched.ended:
	}
	s.sched.turning.Lock()
	s.sched.isHosted = false
}

// leaveHost ends beHosted. It never waits: a shard that left because the host's loop had ended takes no signal any more.
func (s *shard) leaveHost() {
	select {
	case s.sched.release <- struct{}{}:
	default:
	}
}

func (s *shard) takeHosted(g *shard) {
	if s.sched.ending || s.poll.Join(g.poll, hostedTokens-uint64(g.index)) != nil {
		g.leaveHost()
		return
	}
	s.sched.hosted = append(s.sched.hosted, g)
	s.poll.Wake() // needed after a proxy turn: the host's loop is waiting without this shard's poller
}

// noteHosted records that a hosted shard's poller, identified by a token, has events.
func (s *shard) noteHosted(token uint64) {
	if index := hostedTokens - token; index < MaxShards {
		s.sched.ready |= 1 << index
	}
}

// prepareHosted announces that the host is about to wait, and returns the latest end of the wait, on the broker's clock. It
// returns false if a hosted shard already has work.
func (s *shard) prepareHosted(until int64) (int64, bool) {
	idle := true
	for _, g := range s.sched.hosted {
		g.sched.turning.Lock()
		g.poll.Prepare()
		idle = idle && !g.pressed()
		if g.sched.hadTurn {
			g.sched.wakesAt, g.sched.hadTurn = g.dueAt(), false
		}
		until = min(until, g.sched.wakesAt)
		g.sched.turning.Unlock()
	}
	return until, idle
}

// turnHosted runs a turn of each hosted shard that has work.
func (s *shard) turnHosted() error {
	ending := s.sched.ending
	for _, g := range s.sched.hosted {
		g.sched.turning.Lock()
		err := g.turnAsHosted(s.sched.ready.has(g.index))
		ending = ending || g.sched.ending
		g.sched.turning.Unlock()
		if err != nil {
			return err
		}
	}
	s.sched.ready = 0
	if ending {
		s.endHosting() // each loop waits for its own connections to close
	}
	return nil
}

func (s *shard) turnAsHosted(ready bool) error {
	if !ready && !s.pressed() && s.sched.wakesAt > s.b.clock.now() {
		return nil
	}
	var events []poller.Event
	if ready && len(s.turns.unhandled) == 0 {
		var err error
		if events, err = s.poll.Wait(0, true); err != nil {
			return fmt.Errorf("shard %d: %w", s.index, err)
		}
	}
	s.stats.turnsByOthers++
	s.turn(events)
	return nil
}

// wakeLater reports whether a shard with a new batch is woken only at the end of this turn, because its turn may run here.
func (s *shard) wakeLater(to *shard, bytes int64) bool {
	small := bytes <= proxyBytes && to.sched.turnTime.Load() <= int64(proxyTime)
	if s.sched.byProxy || !small && !s.sched.isHosted && len(s.sched.hosted) == 0 {
		return false
	}
	s.sched.toWake |= 1 << to.index
	return true
}

// wakeOthers runs proxy turns of the sleeping shards with batches of this turn, or wakes their loops.
func (s *shard) wakeOthers() {
	for ; s.sched.toWake != 0; s.sched.toWake &= s.sched.toWake - 1 {
		to := s.b.shards[bits.TrailingZeros64(uint64(s.sched.toWake))]
		if !to.sched.turning.TryLock() {
			to.poll.Wake()
			continue
		}
		to.proxyTurn()
		to.sched.turning.Unlock()
	}
}

// proxyTurn runs a turn of a shard with a sleeping loop, on another shard's thread. It wakes the loop if there is more to do.
func (s *shard) proxyTurn() {
	s.sched.byProxy = true
	s.stats.turnsByOthers++
	s.turn(nil)
	s.sched.byProxy = false
	if s.pressed() || s.sched.ending || s.dueAt() < s.sched.wakesAt {
		s.poll.Wake()
	}
}
