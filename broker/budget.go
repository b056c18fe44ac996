package broker

import (
	"errors"
	"time"

	"github.com/outcry-mqtt/outcry/internal/poller"
)

// A turn is bounded in time for any input. Connections with input share turnTime; each has a slice of it. A connection that uses up
// its slice yields: its unread packets stay in conn.input.partial until the end of this turn or the next one. Reading the clock for each
// packet would cost more than some packets do. So work is estimated in units, and the clock is read every lookWork units.
const (
	turnTime  = 10 * time.Millisecond      // for reading, and again for connections that have yielded
	minSlice  = 400 * time.Microsecond     // least slice of a connection, however many share turnTime: the time for 64 KiB of small messages
	unitTime  = 50 * time.Nanosecond       // estimated time of a unit of work: one small packet, or one subscriber of a message
	lookWork  = 1024                       // units between two readings of the clock
	sliceWork = int64(minSlice / unitTime) // units of a message from which other connections come first
)

// turnState holds a turn's remaining work and its counters.
type turnState struct {
	budget     budget
	unhandled  []poller.Event // left over from an earlier turn
	posts      []post         // taken from the inbox
	posted     int            // number of posts already run
	yielded    []*conn        // connections with packets left from an earlier slice, in order
	applying   *applying      // changed rules that are being applied, a part in each turn; nil: none
	timersLate bool           // timers are due and did not fire for lack of time
	resuming   bool           // resumeYielded runs
	oldest     int64          // when this turn's oldest message was read, on the broker's clock
	sent       uint64         // messages sent in this turn
	writes     int            // connections written to in this turn
	large      int64          // time spent in this turn on writing large messages, in ns
}

// budget is the time and work left to the current slice.
type budget struct {
	work   int64 // units done in all turns
	look   int64 // value of work at which the clock is read next
	most   int64 // value of work at which the slice ends, regardless of the clock
	ends   int64 // end of the slice, on the broker's clock; 0: the clock has not been read yet
	length int64 // nanoseconds of each slice in this phase of the turn
	conn   *conn // owner of the slice
}

// errYield means that the packet exceeds the turn's budget, or must come after the events of other connections. It stays in
// conn.input.partial and is handled again.
var errYield = errors.New("the packet is not handled yet")

// isCrowded reports whether messages of sliceWork must wait for resumeYielded: dozens of connections may each publish one at the same
// time, and the events of other connections would come after all of them.
func (s *shard) isCrowded() bool {
	return !s.turns.resuming && !s.sched.ending && s.turns.budget.length < int64(turnTime)
}

// share divides turnTime among n connections.
func (u *budget) share(n int) {
	u.length, u.conn = max(int64(turnTime)/int64(max(n, 1)), int64(minSlice)), nil
}

// begin starts a connection's slice, unless it has begun.
func (u *budget) begin(c *conn) {
	if u.conn == c {
		return
	}
	u.conn, u.ends = c, 0
	u.most = u.work + max(u.length/int64(unitTime), 1)
	u.look = min(u.work+lookWork, u.most)
}

// spent reports whether the slice is used up. The first call only starts the clock: most slices end before a second one.
func (s *shard) spent() bool {
	u := &s.turns.budget
	if u.work >= u.most {
		return true
	}
	now := s.b.clock.now()
	if u.ends == 0 {
		u.ends = now + 2*u.length // a limit for work that the units underestimate
	}
	u.look = min(u.work+lookWork, u.most)
	return now >= u.ends
}

// yield postpones the rest of a connection's input to the end of the turn.
func (c *conn) yield() {
	if c.carrier != nil {
		c.setPause(pauseTurn, true)
		return
	}
	c.input.paused |= pauseTurn // the poller changes only if the connection becomes readable meanwhile
	c.lineUp()
}

// lineUp appends a yielded connection to the shard's queue, unless something else pauses it.
func (c *conn) lineUp() {
	if c.polled.linedUp || c.input.paused&^pauseInflate != pauseTurn {
		return
	}
	c.polled.linedUp = true
	c.shard.turns.yielded = append(c.shard.turns.yielded, c)
}

// resumeYielded continues with yielded connections in order, for turnTime and at least one slice.
func (s *shard) resumeYielded() {
	all := s.turns.yielded
	if len(all) == 0 {
		return
	}
	s.turns.yielded = nil
	s.turns.budget.share(len(all))
	s.turns.resuming = true
	defer func() { s.turns.resuming = false }()
	until := s.b.clock.now() + int64(turnTime)
	for i, c := range all {
		if i > 0 && s.b.clock.now() >= until {
			s.turns.yielded = append(all[i:], s.turns.yielded...)
			return
		}
		c.polled.linedUp = false
		if c.shard == s && c.input.paused&pauseTurn != 0 {
			s.turns.budget.conn = nil
			c.resumeInput()
		}
	}
}

// resumeInput handles packets that were read before the connection yielded. A connection that is paused for another reason
// continues when that reason ends.
func (c *conn) resumeInput() {
	if c.input.paused&^pauseInflate != pauseTurn || c.state != stateOpen {
		return
	}
	c.input.paused &^= pauseTurn
	c.feed(nil)
	if c.state == stateOpen {
		c.watch()
	}
}

// handleEvents handles the poller's events for turnTime. The remaining events come first in the next turn. It reads the clock after
// every fourth event, and after each event with much work.
func (s *shard) handleEvents(events []poller.Event) {
	if len(s.turns.unhandled) > 0 {
		events = append(s.turns.unhandled, events...)
		s.turns.unhandled = nil
	}
	s.turns.budget.share(len(events))
	until := s.now + int64(turnTime)
	for i := range events {
		work := s.turns.budget.work
		s.handle(&events[i])
		if (i&3 == 3 || s.turns.budget.work-work >= lookWork) && s.b.clock.now() >= until {
			s.turns.unhandled = append([]poller.Event(nil), events[i+1:]...)
			return
		}
	}
}

// fireTimers fires due timers for turnTime. Many sessions may expire at the same moment.
func (s *shard) fireTimers() {
	until := s.b.clock.now() + int64(turnTime)
	s.turns.timersLate = !s.wheel.Advance(s.now/int64(tick), func() bool { return s.b.clock.now() >= until })
}
