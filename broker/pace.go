package broker

import "time"

// When many clients come at once, as browsers do that were all cut off and do not back off, they are let in at a pace that
// leaves the shard time for those who are there: a part of each turn, in the order in which they came. Nobody is
// refused for it.
const (
	letInTime     = 5 * time.Millisecond  // of a turn for letting clients in
	letInLagging  = time.Millisecond      // the same while turns take longer than lagBound
	lagBound      = 50 * time.Millisecond // of a turn
	waitsPatience = time.Second           // after which it is looked whether a client still waits
)

var refusedGone = &Refusal{Code: CodeServerBusy, Reason: "the client gave up before it was its turn", Label: "gave_up"}

// run puts a client that was checked into the line before its shard.
func (k *connecting) run(s *shard) {
	if s.ending {
		k.drop()
		return
	}
	s.line = append(s.line, k)
}

// letIn lets in who has waited longest, at least one. While the shard ends everybody is sent away.
func (s *shard) letIn() {
	if len(s.line) == 0 {
		return
	}
	most := letInTime
	if s.stats.lag > int64(lagBound) {
		most = letInLagging
	}
	began := s.b.clock.now()
	n := 0
	for n < len(s.line) && (s.ending || n == 0 || s.b.clock.now()-began < int64(most)) {
		k := s.line[n]
		s.line[n] = nil
		n++
		k.enter(s)
	}
	if s.line = s.line[n:]; len(s.line) == 0 {
		s.line = nil
	}
	s.stats.waiting = int64(len(s.line))
}

// givenUp tells whether a client that has waited for long has closed its connection meanwhile and left nothing to do. In a
// storm they come again and again, and work for those who are gone would be taken from those who are there.
func (k *connecting) givenUp(now int64) bool {
	c := k.c
	return now-k.since > int64(waitsPatience) && c.carrier == nil && len(c.in) == 0 && peerClosed(c.fd)
}

// waiting is how many clients wait for their credentials to be checked.
func (g *gate) waiting() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return int64(len(g.queue))
}
