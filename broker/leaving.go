package broker

import (
	"slices"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// endings holds the shard's sessions and connections that are ending.
type endings struct {
	leaving []*leaving // ended sessions that still have subscriptions
	more    bool       // some of leaving do not wait for the store
	doomed  []*conn    // connections to close at the end of the turn
}

// leaving holds the subscriptions of an ended session that had many. They are removed a part in each turn, and match no messages
// meanwhile.
type leaving struct {
	ss    *session
	subs  subscriptions
	place int         // index in the table of the next subscription
	done  func(error) // called when the store has deleted all of them; nil: no caller waits
}

// leaveRules decide when the end of a session takes several turns. Tests change them.
type leaveRules struct {
	atOnce int           // subscriptions that are removed at once when the session ends
	piece  int           // subscriptions between two readings of the clock
	time   time.Duration // per turn
}

var defaultLeaveRules = leaveRules{atOnce: 100, piece: 64, time: 5 * time.Millisecond}

// endSubscriptions removes the subscriptions of an ended session. It returns the operations that delete those removed at once from
// the store.
func (ss *session) endSubscriptions() (forgetting []storage.Op) {
	s, all := ss.shard, ss.subs
	ss.subs = subscriptions{}
	if all.len() > s.b.options.leaving.atOnce {
		s.ends.leaving, s.ends.more = append(s.ends.leaving, &leaving{ss: ss, subs: all}), true
		return nil
	}
	all.each(func(sub *subscription) {
		if ss.durable != nil {
			forgetting = append(forgetting, sub.deletion())
		}
		s.unsubscribe(sub)
	})
	return forgetting
}

// resumeLeaving continues with ended sessions in order, for the time in leaveRules.
func (s *shard) resumeLeaving() {
	if len(s.ends.leaving) == 0 {
		return
	}
	s.ends.more = false
	until := s.b.clock.now() + int64(s.b.options.leaving.time)
	for i := 0; i < len(s.ends.leaving); {
		switch l := s.ends.leaving[i]; {
		case l.waits():
			i++
			continue
		case l.step():
			s.ends.leaving = slices.Delete(s.ends.leaving, i, i+1)
		}
		if s.b.clock.now() >= until {
			s.ends.more = len(s.ends.leaving) > 0
			return
		}
	}
}

// waits reports whether the next step has to wait for the store. Deletions take at most half of the store's bound; the other half
// is for clients that wait for an acknowledgement.
func (l *leaving) waits() bool {
	s := l.ss.shard
	return l.ss.durable != nil && s.journal.units >= mostStoringUnits/2
}

// step removes up to leaveRules.piece subscriptions. It returns true if none are left.
func (l *leaving) step() (done bool) {
	s, n := l.ss.shard, 0
	for at, sub := range l.subs.table.From(l.place) {
		if n++; n > s.b.options.leaving.piece {
			return false
		}
		l.place = at + 1
		sub.forget()
		s.unsubscribe(sub)
	}
	if l.done != nil {
		s.openTxn().tell(l.done)
	}
	return true
}

// finishLeaving removes the remaining subscriptions of ended sessions, after the shard's loop has ended.
func (s *shard) finishLeaving() {
	for _, l := range s.ends.leaving {
		for !l.step() {
		}
	}
	s.ends.leaving, s.ends.more = nil, false
}

// whenForgotten calls done when the store has deleted a session that has just ended.
func (ss *session) whenForgotten(done func(error)) {
	s := ss.shard
	for _, l := range s.ends.leaving {
		if l.ss == ss {
			l.done = done
			return
		}
	}
	s.openTxn().tell(done)
}
