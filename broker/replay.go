package broker

import "time"

// findTime is how long a shard looks for retained messages in a turn, at least one filter's: a client may ask for those of
// thousands of filters at once, and others must not wait for that.
const findTime = 5 * time.Millisecond

// replay is retained messages that a session still has to be sent, because of subscriptions. Only those of its first
// part have been looked for: what waits costs nothing for each message.
type replay struct {
	parts   []replayPart
	waiting map[*subscription]uint64 // for parts that have not begun: the serial of the newest message then
	resumes bool                     // it goes on in the next turn
}

type replayPart struct {
	sub      *subscription
	messages []*message
	begun    bool
}

// replay sends a new subscription what is retained, at the pace at which the client reads.
func (s *shard) replay(sub *subscription) {
	if sub.isOwn() {
		sub.session.tellCurrent(sub)
		return
	}
	if s.b.router.sys.Load() > 0 && wantsSys(sub.filter()) {
		s.b.sys.ask(s, sub)
	}
	ss, until := sub.session, s.b.retained.last.Load()
	if ss.replay != nil || !s.mayFind() {
		if ss.replay == nil {
			ss.replay = new(replay)
		}
		ss.replay.wait(sub, until)
		s.proceed(ss)
		return
	}
	found := s.findRetained(sub, until)
	if len(found) == 0 {
		sub.replayed()
		return
	}
	ss.replay = &replay{parts: []replayPart{{sub, found, true}}}
	s.proceed(ss)
}

// wait adds a part, unless the subscription has one already that has not begun.
func (r *replay) wait(sub *subscription, until uint64) {
	if r.waiting == nil {
		r.waiting = map[*subscription]uint64{}
	}
	if _, waits := r.waiting[sub]; !waits {
		r.parts = append(r.parts, replayPart{sub: sub})
	}
	r.waiting[sub] = until
}

// mayFind tells whether there is time left in this turn, or nothing to look for.
func (s *shard) mayFind() bool { return s.finding < int64(findTime) || s.b.retained.count.Load() == 0 }

func (s *shard) findRetained(sub *subscription, until uint64) []*message {
	began := s.b.clock.now()
	found := s.b.retained.match(sub.filter(), until, s.now)
	s.finding += s.b.clock.now() - began
	return found
}

// proceed sends retained messages until the client's socket or quota is full, or there is no more time in this turn. One
// that was replaced meanwhile is left out: the client was sent the newer one.
func (s *shard) proceed(ss *session) {
	piece := shallowPiece
	for r := ss.replay; r != nil && ss.conn != nil && ss.conn.parked == nil && ss.conn.state == stateOpen; {
		if ss.queue.len() > 0 {
			return // goes on when the queue is empty
		}
		m, sub := r.next(ss)
		switch {
		case m == nil && len(r.parts) > 0:
			s.later(ss)
			return
		case m == nil:
			ss.replay = nil
			return
		case m.expired(s.now) || !s.b.retained.current(m):
			continue
		}
		s.ticking = s.isTicker(m.topic)
		s.sendRetained(m, sub)
		s.ticking = false
		piece = ss.conn.replaying(piece)
	}
}

// replaying writes what there is of a replay as soon as it is a piece, and returns how large the next one may be; it is for
// when the socket asks for it. So a long replay holds up nobody, and what it takes does not grow with its length.
func (c *conn) replaying(piece int) (next int) {
	switch {
	case c.parked != nil || c.state != stateOpen:
	case c.shallow:
		return c.sip(piece, true)
	case c.out.waits() > largeBuffer:
		c.flush()
		if c.carrier == nil && c.state == stateOpen && c.doom == closeNone {
			c.block()
		}
	}
	return piece
}

// later has a replay go on in the next turn.
func (s *shard) later(ss *session) {
	if !ss.replay.resumes {
		ss.replay.resumes = true
		s.replays = append(s.replays, ss)
	}
}

// resumeReplays goes on with the replays for which there was no time in the last turn.
func (s *shard) resumeReplays() {
	all := s.replays
	s.replays, s.finding = nil, 0
	for i, ss := range all {
		if !s.mayFind() { // their turn comes before that of those who had some
			s.replays = append(all[i:], s.replays...)
			return
		}
		if ss.replay != nil {
			ss.replay.resumes = false
			s.proceed(ss)
		}
	}
}

// next takes the next message for a subscription that still stands; nil says that there is none, or if parts are left that
// there is no time to look for it.
func (r *replay) next(ss *session) (*message, *subscription) {
	for len(r.parts) > 0 {
		p := &r.parts[0]
		stands := ss.subs.get(p.sub.key()) == p.sub
		if stands && !p.begun {
			if !ss.shard.mayFind() {
				return nil, nil
			}
			p.messages, p.begun = ss.shard.findRetained(p.sub, r.waiting[p.sub]), true
			delete(r.waiting, p.sub)
		}
		if !stands || len(p.messages) == 0 {
			r.skip()
			if stands && !r.has(p.sub) {
				p.sub.replayed()
			}
			continue
		}
		m := p.messages[0]
		p.messages = p.messages[1:]
		return m, p.sub
	}
	return nil, nil
}

// skip drops the first part.
func (r *replay) skip() {
	if p := &r.parts[0]; !p.begun {
		delete(r.waiting, p.sub)
	}
	r.parts = r.parts[1:]
}

// has tells whether there is a part for a subscription.
func (r *replay) has(sub *subscription) bool {
	_, waits := r.waiting[sub]
	return waits || len(r.parts) > 0 && r.parts[0].sub == sub
}

// suspendReplay has the QoS 1 and 2 messages of a replay wait with the others, when the client has gone. Those that there
// is no time to look for are looked for when it is back.
func (ss *session) suspendReplay() {
	r := ss.replay
	ss.replay = nil
	if r == nil || ss.expiry <= 0 {
		return
	}
	for m, sub := r.next(ss); m != nil; m, sub = r.next(ss) {
		if min(m.qos, sub.qos) > 0 {
			ss.shard.sendRetained(m, sub)
		}
	}
}

// replayed notes that a subscription has been sent, or has waiting in its session, what was retained. Until the disk knows that, a
// crash has it sent all of that again.
func (sub *subscription) replayed() {
	if sub.replays {
		sub.replays = false
		sub.keep()
	}
}
