package broker

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// group is the members of a shared subscription (MQTT 5 4.8.2), on all shards. Each message goes to one of them: to the next
// online member in turn, or if none is online, to an offline member whose session queues it.
type group struct {
	name, filter string
	text         string          // "$share/name/filter"
	list         *subscriberList // common to its members on all shards
	place        int             // in groups.all; guarded by the router's mu

	durable atomic.Int32 // members with durable sessions

	mu      sync.Mutex // guards the fields below, and subscription.place of each member
	members []member   // the online members first; subscription.place is the index
	online  int        // number of online members
	turn    int        // message counter; the remainder selects the member
}

// member is a subscription in a group.
type member struct {
	sub   *subscription // owned by its shard: others only pass the pointer on
	shard *shard
}

func newGroup(k subscriptionKey) *group {
	g := &group{name: k.share, filter: k.filter, text: k.text()}
	g.list = &subscriberList{filter: k.filter, long: &longList{group: g}}
	return g
}

func (g *group) add(sub *subscription) {
	g.mu.Lock()
	defer g.mu.Unlock()
	sub.list, sub.place = g.list, int32(len(g.members))
	if sub.session.durable != nil {
		g.durable.Add(1)
	}
	g.members = append(g.members, member{sub, sub.session.shard})
	if sub.session.conn != nil {
		g.setOnline(sub, true)
	}
}

// remove removes a member and returns the number of the others. It is idempotent.
func (g *group) remove(sub *subscription) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.has(sub) {
		return len(g.members)
	}
	g.setOnline(sub, false)
	last := len(g.members) - 1
	g.swap(int(sub.place), last)
	g.members[last] = member{}
	g.members = g.members[:last]
	if sub.session.durable != nil {
		g.durable.Add(-1)
	}
	return last
}

// has reports whether a subscription is a member; mu is held.
func (g *group) has(sub *subscription) bool {
	return int(sub.place) < len(g.members) && g.members[sub.place].sub == sub
}

func (g *group) hasMembers() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.members) > 0
}

// setOnline marks a member as online or offline; mu is held.
func (g *group) setOnline(sub *subscription, online bool) {
	switch is := int(sub.place) < g.online; {
	case online == is || !g.has(sub):
	case online:
		g.swap(int(sub.place), g.online)
		g.online++
	default:
		g.online--
		g.swap(int(sub.place), g.online)
	}
}

func (g *group) swap(i, j int) {
	m := g.members
	m[i], m[j] = m[j], m[i]
	m[i].sub.place, m[j].sub.place = int32(i), int32(j)
}

// choose returns the member for the next message. Offline members get no QoS 0 messages.
func (g *group) choose(qos byte) (*subscription, *shard) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.online
	if n == 0 && qos > 0 {
		n = len(g.members)
	}
	if n == 0 {
		return nil, nil
	}
	g.turn++
	m := g.members[uint(g.turn)%uint(n)]
	return m.sub, m.shard
}

// shareOnline and shareOffline update the session's state in its groups.
func (ss *session) shareOnline()  { ss.share(true) }
func (ss *session) shareOffline() { ss.share(false) }

func (ss *session) share(online bool) {
	if ss.shared == 0 {
		return
	}
	ss.subs.each(func(sub *subscription) {
		if g := sub.group(); g != nil {
			g.mu.Lock()
			g.setOnline(sub, online)
			g.mu.Unlock()
		}
	})
}

const (
	groupWork    = 8   // units of a message to a group
	groupsAtOnce = 256 // groups of one message in a step; a message to more takes several steps, later
)

// dispatchAll sends a message to one member of each group. from is the publisher's connection, or nil.
func (s *shard) dispatchAll(m *message, r *route, from *conn) {
	s.stats.dropped[dropShareGroups] += uint64(r.left)
	if len(r.groups) > groupsAtOnce {
		r.lent = true
		s.dispatchLater(m, r.groups, from)
		return
	}
	for _, g := range r.groups {
		if home := s.dispatch(m, g); home != nil && home != s {
			s.holdBack(from, home.index, r.work)
		}
	}
}

// dispatching is a message that was not sent to all of its groups.
type dispatching struct {
	m      *message
	groups []*group // left to send to; lent by the route
	from   *conn    // is not read meanwhile, so that its messages stay in order; nil: none
}

// dispatchLater sends a message to groups in later steps. Its transaction stays open until then. Hundreds of clients may publish
// to thousands of groups at the same time, so no step is made at once.
func (s *shard) dispatchLater(m *message, groups []*group, from *conn) {
	if m.stored != nil {
		m.stored.txn.left.Add(1)
	}
	if from != nil {
		from.setPause(pauseGroups, true)
	}
	s.fan.dispatches = append(s.fan.dispatches, &dispatching{m.ownCopy(), groups, from})
}

// resumeDispatches makes steps for the messages that have waited longest, for the given time and at least one.
func (s *shard) resumeDispatches(most time.Duration) {
	if len(s.fan.dispatches) == 0 {
		return
	}
	for until := s.b.clock.now() + int64(most); len(s.fan.dispatches) > 0; {
		s.resumeDispatch()
		s.relieve()
		if s.b.clock.now() >= until {
			return
		}
	}
}

// resumeDispatch makes one step for the message that has waited longest.
func (s *shard) resumeDispatch() {
	d := s.fan.dispatches[0]
	from := d.from
	if from != nil && (from.shard != s || from.state != stateOpen) {
		from = nil
	}
	n := min(groupsAtOnce, len(d.groups))
	for _, g := range d.groups[:n] {
		if home := s.dispatch(d.m, g); home != nil && home != s {
			s.holdBack(from, home.index, groupWork*groupsAtOnce)
		}
	}
	if d.groups = d.groups[n:]; len(d.groups) > 0 {
		return
	}
	s.fan.dispatches = slices.Delete(s.fan.dispatches, 0, 1)
	if d.m.stored != nil {
		d.m.stored.txn.finish()
	}
	if from != nil {
		from.setPause(pauseGroups, false)
	}
}

// dispatch sends a message to one member of a group and returns the member's shard; nil: no member. If the chosen member is
// on this shard and its subscription has ended, dispatch removes it and chooses another. So each member is tried at most
// once, in any order of session ends, wills and redeliveries.
func (s *shard) dispatch(m *message, g *group) *shard {
	one := *m
	one.group, one.own = g, nil // a kept copy must refer to its group
	for {
		sub, home := g.choose(m.qos)
		switch {
		case sub == nil:
			s.stats.dropped[dropNoMember]++
			return nil
		case home != s:
			s.hand(home, &one, sub, groupWork, nil)
			return home
		case sub.stands():
			s.deliverMember(&one, sub)
			return s
		}
		s.b.router.quit(sub)
	}
}

// stands reports whether the subscription still belongs to its session. Only its own shard may call it.
func (sub *subscription) stands() bool {
	return !sub.session.ended && sub.session.subs.has(sub)
}

// deliverShared delivers another shard's message to the chosen member. If the member has left meanwhile, it chooses another.
func (s *shard) deliverShared(m *message, sub *subscription) {
	if sub.stands() {
		s.deliverMember(m, sub)
		return
	}
	s.dispatch(m, m.group)
}

func (s *shard) deliverMember(m *message, sub *subscription) {
	s.begin(m)
	s.deliverOne(m, sub)
	s.enc.current = nil
	s.settleOutcome(m, 1)
}

// redeliver sends a message that a member left behind to another member.
func (s *shard) redeliver(d *delivery) {
	m := *d.m
	m.own, m.stored = d.m, nil
	if m.group.durable.Load() > 0 && !s.b.diskFull() { // if the disk is full, in memory only
		m.stored = s.newRetried(&m)
	}
	s.dispatch(&m, m.group)
}
