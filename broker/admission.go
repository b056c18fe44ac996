package broker

import (
	"time"

	"github.com/outcry-mqtt/outcry/internal/poller"
)

// When many clients connect at once, for example browsers that reconnect without backoff, each turn spends a limited time on
// them and leaves the rest to connected clients. They are admitted in the order of their arrival, and none is refused for the
// load.
const (
	letInTime     = 5 * time.Millisecond  // per turn, for admitting clients
	letInLagging  = time.Millisecond      // the same while turns take longer than lagBound
	lagBound      = 50 * time.Millisecond // duration of a turn
	waitsPatience = time.Second           // wait after which we check that the client is still connected
)

var refusedGone = &Refusal{Code: CodeServerBusy, Reason: "the client disconnected before it was admitted", Label: "gave_up"}

// run puts a checked client into the queue of its shard.
func (k *connecting) run(s *shard) {
	if s.sched.ending {
		k.drop()
		return
	}
	s.conns.connecting = append(s.conns.connecting, k)
}

// letIn admits the clients that have waited longest, at least one. It drops all of them while the shard stops.
func (s *shard) letIn() {
	if len(s.conns.connecting) == 0 {
		return
	}
	most := letInTime
	if s.stats.lag > int64(lagBound) {
		most = letInLagging
	}
	began := s.b.clock.now()
	n := 0
	for n < len(s.conns.connecting) && (s.sched.ending || n == 0 || s.b.clock.now()-began < int64(most)) {
		k := s.conns.connecting[n]
		s.conns.connecting[n] = nil
		n++
		k.enter(s)
	}
	if s.conns.connecting = s.conns.connecting[n:]; len(s.conns.connecting) == 0 {
		s.conns.connecting = nil
	}
	s.stats.waiting = int64(len(s.conns.connecting))
}

// givenUp reports whether a client that has waited long has closed its connection and left no input. In a reconnect storm
// such clients come again and again, and work for them would slow the connected ones.
func (k *connecting) givenUp(now int64) bool {
	c := k.c
	return now-k.since > int64(waitsPatience) && c.carrier == nil && len(c.input.partial) == 0 && poller.PeerClosed(c.fd)
}

// waiting returns the number of clients whose credentials wait for a check.
func (g *checkQueue) waiting() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return int64(len(g.queue))
}
