package broker

import (
	"slices"
	"time"
)

// findTime is the limit of a shard's search for retained messages in a turn; one filter is always searched. A client may ask
// for the retained messages of thousands of filters at once, and others must not wait for that.
const findTime = 5 * time.Millisecond

// replayer holds the sessions of a shard that are sent retained messages.
type replayer struct {
	sessions []*session     // sessions with more messages to find
	search   retainedSearch // memory for the first search of a subscription, which mostly takes one step
	spent    int64          // time spent in this turn on searches, in ns
}

// replay is the retained messages that a session must still be sent for its subscriptions. Only the first part is searched,
// so that waiting parts hold no messages.
type replay struct {
	parts    []replayPart
	waiting  map[*subscription]serialRange // by subscription, for parts that have not begun
	ended    int                           // parts of subscriptions that ended before they began
	resumes  bool                          // scheduled for the next turn
	recovers bool                          // some of it repeats missed messages
}

// serialRange selects the retained messages of a part.
type serialRange struct {
	from, until uint64 // first and last serial, both included
	qos         byte   // highest QoS of the messages to send
}

type replayPart struct {
	sub      *subscription
	messages []*message
	qos      byte            // see span
	search   *retainedSearch // for messages; nil: not begun
	ended    bool            // the search is complete
}

// replay sends the retained messages to a new subscription, as fast as the client reads.
func (s *shard) replay(sub *subscription) {
	if sub.isOwn() {
		sub.session.tellCurrent(sub)
		return
	}
	if s.b.router.sys.Load() > 0 && wantsSys(sub.filter()) {
		s.b.sys.ask(s, sub)
	}
	ss, all := sub.session, serialRange{until: s.b.retained.last.Load(), qos: 2}
	if ss.replay != nil || !s.mayFind() {
		if ss.replay == nil {
			ss.replay = new(replay)
		}
		ss.replay.wait(sub, all)
		s.proceed(ss)
		return
	}
	first := replayPart{sub: sub, search: &s.replayer.search}
	s.replayer.search = retainedSearch{which: all}
	if first.find(s) && len(first.messages) == 0 {
		sub.replayed()
		return
	}
	if !first.ended {
		own := s.replayer.search
		first.search = &own
	}
	s.replayer.search = retainedSearch{}
	ss.replay = &replay{parts: []replayPart{first}}
	s.proceed(ss)
}

// wait adds a part, unless the subscription already has one that has not begun.
func (r *replay) wait(sub *subscription, which serialRange) {
	if r.waiting == nil {
		r.waiting = map[*subscription]serialRange{}
	}
	if waits, found := r.waiting[sub]; !found {
		r.parts = append(r.parts, replayPart{sub: sub})
	} else {
		which.from, which.qos = min(which.from, waits.from), max(which.qos, waits.qos)
	}
	r.waiting[sub] = which
}

// mostEnded is the number of parts of ended subscriptions that a replay keeps in any case.
const mostEnded = 64

// leave drops the part of a subscription that ends. A client may subscribe and unsubscribe any number of times while a replay
// waits for it. Ended parts are removed together, so that their order costs little to keep.
func (r *replay) leave(sub *subscription) {
	if _, waits := r.waiting[sub]; !waits {
		return
	}
	delete(r.waiting, sub)
	if r.ended++; r.ended <= max(mostEnded, len(r.parts)/8) {
		return
	}
	r.ended = 0
	rest := slices.DeleteFunc(r.parts[1:], func(p replayPart) bool { // the first may have begun
		_, waits := r.waiting[p.sub]
		return !waits
	})
	r.parts = r.parts[:1+len(rest)]
}

// mayFind reports whether there is time left in this turn for a search, or nothing to search.
func (s *shard) mayFind() bool { return s.mayReplay() || s.b.retained.count.Load() == 0 }

// mayReplay reports whether there is time left in this turn for replays and missed messages. A missed removal takes a walk over the
// session's subscriptions, though nothing is retained.
func (s *shard) mayReplay() bool { return s.replayer.spent < int64(findTime) }

// find searches step by step until it finds messages of the part. It searches no further than the client reads, so that few
// messages are held in memory. It returns false if the time of the turn is used up.
func (p *replayPart) find(s *shard) (enough bool) {
	began := s.b.clock.now()
	defer func() { s.replayer.spent += s.b.clock.now() - began }()
	w := p.search
	for !p.ended && len(w.found) == 0 {
		if s.replayer.spent+s.b.clock.now()-began >= int64(findTime) && s.b.retained.count.Load() > 0 {
			return false
		}
		p.ended = s.b.retained.find(w, p.sub.filter(), s.now)
	}
	p.messages, p.qos, w.found = w.found, w.which.qos, nil
	return true
}

// proceed sends retained messages until the client's socket or quota is full, or the time of the turn is used up. It skips a
// message that was replaced meanwhile: the client was sent the newer one, or has missed it and is sent it at the end.
func (s *shard) proceed(ss *session) {
	piece := lowWaterPiece
	for ss.takesReplay() {
		if ss.replay == nil {
			ss.replay = new(replay)
		}
		r := ss.replay
		m, sub := r.next(ss)
		switch {
		case m == nil && len(r.parts) > 0, m == nil && ss.misses() && !s.mayReplay():
			s.later(ss)
			return
		case m == nil && ss.misses():
			if !s.catchUp(ss) {
				return // an acknowledgement resumes it
			}
		case m == nil:
			ss.endReplay()
			return
		case min(m.qos, sub.qos) > r.parts[0].qos || m.expired(s.now) || !s.b.retained.current(m):
			r.pop()
			continue
		case min(m.qos, sub.qos) > 0 && !ss.mayTransmit():
			return // an acknowledgement resumes it
		default:
			r.pop()
			s.sendRetained(m, sub)
		}
		piece = ss.conn.replaying(piece)
	}
}

// takesReplay reports whether there are retained messages to send and the client takes some. They wait until the queue is empty.
func (ss *session) takesReplay() bool {
	c := ss.conn
	return (ss.replay != nil || ss.misses()) && c != nil && c.takes() && ss.queue.len() == 0
}

// endReplay notes that the whole replay has been sent.
func (ss *session) endReplay() {
	if ss.replay.recovers {
		ss.save(savingFlow)
	}
	ss.replay = nil
}

// replaying writes the replay in pieces and returns the size of the next piece, which is sent when the socket has room. So a
// long replay delays no other client, and its memory does not grow with its length.
func (c *conn) replaying(piece int) (next int) {
	switch {
	case c.output.blocked != nil || c.state != stateOpen:
	case c.output.lowWater:
		return c.writeLowWater(piece, true)
	case c.out.waits() > largeBuffer:
		c.flush()
		if c.carrier == nil && c.isUp() {
			c.block()
		}
	}
	return piece
}

// later schedules a replay for the next turn.
func (s *shard) later(ss *session) {
	if !ss.replay.resumes {
		ss.replay.resumes = true
		s.replayer.sessions = append(s.replayer.sessions, ss)
	}
}

// resumeReplays continues the replays that the last turn had no time for.
func (s *shard) resumeReplays() {
	all := s.replayer.sessions
	s.replayer.sessions, s.replayer.spent = nil, 0
	for i, ss := range all {
		if !s.mayReplay() { // they come before the sessions that had time in this turn
			s.replayer.sessions = append(all[i:], s.replayer.sessions...)
			return
		}
		if ss.replay != nil {
			ss.replay.resumes = false
			s.proceed(ss)
		}
	}
}

// next returns the next message for a subscription that still exists. nil means none, or, if parts are left, that the time of
// the turn is used up.
func (r *replay) next(ss *session) (*message, *subscription) {
	for len(r.parts) > 0 {
		p := &r.parts[0]
		stands := ss.subs.has(p.sub)
		if stands && !p.ended && len(p.messages) == 0 {
			if p.search == nil {
				p.search = &retainedSearch{which: r.waiting[p.sub]}
				delete(r.waiting, p.sub)
			}
			if !p.find(ss.shard) {
				return nil, nil
			}
		}
		if !stands || len(p.messages) == 0 {
			r.skip()
			if stands && !r.has(p.sub) {
				p.sub.replayed()
			}
			continue
		}
		return p.messages[0], p.sub
	}
	return nil, nil
}

func (r *replay) pop() { r.parts[0].messages = r.parts[0].messages[1:] }

// skip drops the first part.
func (r *replay) skip() {
	if p := &r.parts[0]; p.search == nil {
		delete(r.waiting, p.sub)
	}
	r.parts = r.parts[1:]
}

// first returns the first part, or nil.
func (r *replay) first() *replayPart {
	if len(r.parts) == 0 {
		return nil
	}
	return &r.parts[0]
}

func (r *replay) has(sub *subscription) bool {
	_, waits := r.waiting[sub]
	return waits || len(r.parts) > 0 && r.parts[0].sub == sub
}

// suspendReplay queues the QoS 1 and 2 messages of a replay when the client has gone. The rest, and messages beyond the time of
// the turn, the queue's limit or that of unflushed bytes, are sent when the client is back.
func (ss *session) suspendReplay() {
	s, r := ss.shard, ss.replay
	ss.replay = nil
	if ss.expiry <= 0 {
		return
	}
	ss.leaveMissed()
	if r == nil {
		return
	}
	for m, sub := r.next(ss); m != nil; m, sub = r.next(ss) {
		d := delivery{m: m, qos: min(m.qos, sub.qos)}
		if d.qos > 0 && (s.journal.bytes > s.mostStoring() || ss.queue.isFull(&s.b.limits, ss.inflightBytes()+m.size())) {
			break
		}
		switch most := r.parts[0].qos; {
		case d.qos > most:
		case d.qos > 0:
			s.sendRetained(m, sub)
		default:
			ss.miss(&d)
		}
		r.pop()
	}
	if p := r.first(); p != nil && p.search != nil && (!p.ended || len(p.messages) > 0) {
		ss.missPart(p.sub, p.search.which)
	}
	for sub, which := range r.waiting {
		ss.missPart(sub, which)
	}
}

// missPart notes a part of a replay that was not sent, unless the whole replay is sent again.
func (ss *session) missPart(sub *subscription, which serialRange) {
	if !sub.replays {
		ss.missSince(which)
	}
}

// replayed notes that a subscription has been sent its retained messages, or has them queued in its session. If the broker
// crashes before this is on disk, it is sent all of them again.
func (sub *subscription) replayed() {
	if sub.replays {
		sub.replays = false
		sub.updateLater()
	}
}
