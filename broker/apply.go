package broker

import (
	"log/slog"
	"time"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

// applySlice is a shard's time in a turn for applying changed rules.
const applySlice = 5 * time.Millisecond

// applying holds the sessions of a shard that still have to be checked against changed rules. It is a post to that shard, which
// posts it again until no sessions are left.
type applying struct{ sessions []*session }

// RulesChanged makes the broker ask its Admitters, SessionAdmitters, Authorizers and TopicPolicy again. It disconnects clients that
// are no longer admitted, ends sessions that a SessionAdmitter refuses, drops cached decisions, and ends subscriptions that are no
// longer allowed. It returns at once; with many sessions the work takes several turns of each shard.
func (b *Broker) RulesChanged() {
	b.live.rulesGen.Add(1)
	b.applyRules()
}

func (b *Broker) applyRules() {
	for _, s := range b.shards {
		s.post(call((*shard).applyRules))
	}
}

func (s *shard) applyRules() {
	s.renewPolicies()
	a := &applying{sessions: make([]*session, 0, len(s.sessions))}
	for _, ss := range s.sessions {
		a.sessions = append(a.sessions, ss)
	}
	s.turns.applying = a
	a.run(s)
}

// run applies the rules for one slice of the turn. It stops if the rules have changed again.
func (a *applying) run(s *shard) {
	if s.turns.applying != a {
		return
	}
	for until := s.b.clock.now() + int64(applySlice); len(a.sessions) > 0; {
		s.applyRulesTo(a.sessions[0])
		a.sessions[0] = nil
		a.sessions = a.sessions[1:]
		s.relieve()
		if s.b.clock.now() >= until && len(a.sessions) > 0 {
			s.post(a)
			return
		}
	}
	s.turns.applying = nil
}

// applyRulesTo checks a session, and its connection if it has one, against the current rules.
func (s *shard) applyRulesTo(ss *session) {
	if ss.ended {
		return
	}
	refusal := s.b.admitSession(ss)
	if c := ss.conn; c != nil && c.state == stateOpen {
		if r := s.b.admit(c.identity.client); r != nil {
			s.b.logRefusal("client disconnected", r, c, ss.id, ss.usage.user)
			c.closeWith(closeNotAuthorized, wire.NotAuthorized, r.Reason)
		} else {
			ss.recheck()
		}
	}
	if refusal == nil || ss.ended || ss.conn != nil {
		return
	}
	s.b.lines.write(slog.LevelInfo, refusal.Label, "session ended", "client", shown(ss.id), "user", shown(ss.usage.user),
		"reason", shown(refusal.Reason))
	ss.end()
}

// admitSession asks every SessionAdmitter whether a session may stay while its client is offline; nil: it may.
func (b *Broker) admitSession(ss *session) *Refusal {
	if len(b.hooks.sessionAdmitters) == 0 {
		return nil
	}
	c := &Client{ID: ss.id, Identity: &Identity{User: ss.usage.user}}
	for _, a := range b.hooks.sessionAdmitters {
		if refusal := a.AdmitSession(c); refusal != nil {
			return refusal
		}
	}
	return nil
}
