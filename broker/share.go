package broker

import (
	"sync"
	"sync/atomic"
)

// group is the members of a shared subscription (MQTT 5 4.8.2), on whichever shards they are. Each message goes to one
// of them: to the next in turn that is online, or if none is, to one whose session waits for it.
type group struct {
	name, filter string
	audience     *audience // that its members have in common, wherever they are

	durable atomic.Int32 // members that are durable sessions

	mu      sync.Mutex // guards what follows
	members []*member
	turn    int
}

// member is a subscription in a group.
type member struct {
	sub    *subscription // owned by its shard: others only pass the pointer on
	shard  *shard
	online bool
}

func newGroup(k subscriptionKey) *group {
	g := &group{name: k.share, filter: k.filter}
	g.audience = &audience{filter: k.filter, crowd: &crowd{group: g}}
	return g
}

func (g *group) add(sub *subscription) {
	g.mu.Lock()
	defer g.mu.Unlock()
	sub.audience = g.audience
	if sub.session.durable != nil {
		g.durable.Add(1)
	}
	g.members = append(g.members, &member{sub: sub, shard: sub.session.shard, online: sub.session.conn != nil})
}

// remove takes a member out and returns how many are left.
func (g *group) remove(sub *subscription) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, m := range g.members {
		if m.sub == sub {
			g.members = append(g.members[:i], g.members[i+1:]...)
			if sub.session.durable != nil {
				g.durable.Add(-1)
			}
			break
		}
	}
	return len(g.members)
}

func (g *group) setOnline(sub *subscription, online bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.members {
		if m.sub == sub {
			m.online = online
		}
	}
}

// choose picks the member that the next message goes to. Nobody who is offline gets QoS 0.
func (g *group) choose(qos byte) (*subscription, *shard) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var waiting *member
	for range g.members {
		g.turn = (g.turn + 1) % len(g.members)
		m := g.members[g.turn]
		if m.online {
			return m.sub, m.shard
		}
		if waiting == nil {
			waiting = m
		}
	}
	if waiting == nil || qos == 0 {
		return nil, nil
	}
	return waiting.sub, waiting.shard
}

// shareOnline and shareOffline tell the session's groups where it is.
func (ss *session) shareOnline()  { ss.share(true) }
func (ss *session) shareOffline() { ss.share(false) }

func (ss *session) share(online bool) {
	ss.subs.each(func(sub *subscription) {
		if g := sub.group(); g != nil {
			g.setOnline(sub, online)
		}
	})
}

// dispatch sends a message to one member of a group.
func (s *shard) dispatch(m *message, g *group) {
	sub, home := g.choose(m.qos)
	if sub == nil {
		s.stats.dropped[dropNoMember]++
		return
	}
	one := *m
	one.group, one.kept = g, nil // a copy that is kept has to know its group
	if home == s {
		s.deliverShared(&one, sub)
		return
	}
	s.hand(home, &one, sub)
}

// deliverShared gives a message to a member on this shard. If the member has gone meanwhile another one is chosen.
func (s *shard) deliverShared(m *message, sub *subscription) {
	if sub.session.ended || sub.session.subs.get(sub.key()) != sub {
		s.dispatch(m, m.group)
		return
	}
	s.begin(m)
	s.deliverOne(m, sub)
	s.current = nil
}

// redeliver sends a message that a member left behind to another one.
func (s *shard) redeliver(d *delivery) {
	m := *d.m
	m.kept, m.stored = d.m, nil
	if m.group.durable.Load() > 0 {
		m.stored = s.newStored(&m)
	}
	s.dispatch(&m, m.group)
}
