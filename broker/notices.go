package broker

import (
	"time"

	"github.com/outcry-mqtt/outcry/internal/wheel"
)

// Topics that begin with $me/ are private to a client: the broker uses them to inform the client about itself. No other
// client receives them, only wildcards that begin with $me/ match them, and no client may publish to them.
const (
	meTopics     = "$me"
	droppedTopic = "$me/dropped"
)

const (
	noticeEvery = time.Second // minimum interval between two notices to one client
	noticeWork  = 32          // units of a notice to a subscription
)

// notices lists the sessions of a shard whose clients must be told of losses.
type notices struct {
	sessions []*session
	due      []*session  // to be told now, or in the next turns
	timer    wheel.Timer // one for all sessions
}

// listLosses schedules the next notice to the client if its losses have changed.
func (ss *session) listLosses() {
	s, g := ss.shard, ss.losses
	if g == nil || !g.isNews() || g.listed {
		return
	}
	g.listed = true
	s.notices.sessions = append(s.notices.sessions, ss)
	if !s.notices.timer.Armed() {
		s.wheel.Arm(&s.notices.timer, deadline(s.now, noticeEvery))
	}
}

// isNews reports whether there are losses of which the client has not been told.
func (g *losses) isNews() bool { return g.changed || g.denied != nil && g.denied.changed }

// beginNotices has the listed clients told of their losses since the last notice.
func (s *shard) beginNotices() {
	s.notices.due = append(s.notices.due, s.notices.sessions...)
	s.notices.sessions = nil
}

// resumeNotices tells clients of their losses, for the given time and at least one client. Thousands may be listed.
func (s *shard) resumeNotices(most time.Duration) {
	if len(s.notices.due) == 0 {
		return
	}
	until := s.b.clock.now() + int64(most)
	for i, ss := range s.notices.due {
		ss.losses.listed = false
		ss.tellLosses() // may list the session again
		if s.b.clock.now() >= until {
			s.notices.due = s.notices.due[i+1:]
			return
		}
	}
	s.notices.due = nil
}

// tellLosses sends the client its losses if it is connected and has subscribed to the topic. A client with blocked output is
// told once it reads again: until then each notice would displace a message and so cause the next notice.
func (ss *session) tellLosses() {
	if ss.losses == nil || ss.conn == nil || ss.conn.output.blocked != nil {
		return
	}
	if ss.losses.changed {
		ss.losses.changed = false
		ss.tell(droppedTopic, ss.losses.encode)
	}
	if d := ss.losses.denied; d != nil && d.changed {
		d.changed = false
		ss.tell(deniedTopic, d.encode)
	}
}
