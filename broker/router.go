package broker

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/outcry-mqtt/outcry/broker/topic"
)

// shardSet is a set of shards, one bit each.
type shardSet uint64

func (m shardSet) has(i int) bool { return m&(1<<i) != 0 }

// router maps filters to their subscribers: the subscriber lists on the shards, and the groups of shared subscriptions. It
// changes only when the first subscriber of a filter comes to a shard or the last one leaves. Shards cache its results per
// topic until its version changes.
type router struct {
	version atomic.Uint64 // increases with every change of subscriber lists or groups
	sys     atomic.Int64  // number of subscriber lists of filters that begin with $SYS

	mu     sync.RWMutex                   // guards the fields below
	lists  topic.Filters[*subscriberList] // one list of each filter, linked to its lists on other shards
	groups topic.Filters[*groups]
}

// groups holds the share groups of one filter.
type groups struct {
	filter string
	all    []*group
	named  map[string]*group // the same groups by name
}

// Key returns the filter, the key of the groups in the tree.
func (gs *groups) Key() string { return gs.filter }

// list returns the subscriber list of a filter on a shard; nil: it has no subscribers there.
func (r *router) list(filter string, shard int) *subscriberList {
	r.mu.RLock()
	defer r.mu.RUnlock()
	a, _ := r.lists.Get(filter)
	for a != nil && int(a.shard) != shard {
		a = a.next
	}
	return a
}

func (r *router) add(a *subscriberList) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.HasPrefix(a.filter, "$SYS") {
		r.sys.Add(1)
	}
	if first, _ := r.lists.Get(a.filter); first != nil {
		a.next, first.next = first.next, a
	} else {
		r.lists.Set(a)
	}
	r.version.Add(1)
}

// remove removes an empty subscriber list.
func (r *router) remove(a *subscriberList) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.HasPrefix(a.filter, "$SYS") {
		r.sys.Add(-1)
	}
	first, _ := r.lists.Get(a.filter)
	switch {
	case first != a:
		for first.next != a {
			first = first.next
		}
		first.next = a.next
	case a.next != nil:
		r.lists.Set(a.next)
	default:
		r.lists.Delete(a.filter)
	}
	a.next = nil
	r.version.Add(1)
}

// setDurable records whether a subscriber list has subscriptions of durable sessions.
func (r *router) setDurable(a *subscriberList, kept bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.hasDurable = kept
	r.version.Add(1)
}

// setScale records the number of subscriptions in a subscriber list, as a power of two.
func (r *router) setScale(a *subscriberList, scale uint8) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.scale = scale
	r.version.Add(1)
}

// look makes one step of a search for the subscribers of a route's topic, from the view of a shard. It returns the number of
// visited nodes, and false if there is more to search. In this case the route holds partial results and must not be used.
func (r *router) look(at *route, s *shard) (visited int, done bool) {
	if at.search == nil {
		if visited, done = r.glance(at, s); done {
			return visited, true
		}
		at.search, at.version = new(routeSearch), unknown
	}
	for n := 0; !done && visited < lookNodes; visited += n {
		n, done = at.search.step(r, at, s)
	}
	return visited, done
}

// glance searches at most lockNodes nodes of each tree. Only a topic that matches many filters needs more: it is searched
// again from the start, in steps.
func (r *router) glance(at *route, s *shard) (visited int, done bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	at.clear()
	onAudience := func(a *subscriberList) {
		for ; a != nil; a = a.next {
			at.meet(a, s.index)
		}
	}
	joined := s.topics.joined[:0]
	onGroups := func(gs *groups) { joined = append(joined, gs) }
	var as topic.Search[*subscriberList]
	var gs topic.Search[*groups]
	done = r.lists.Search(&as, at.topic, lockNodes, onAudience)
	done = r.groups.Search(&gs, at.topic, lockNodes, onGroups) && done
	if done {
		at.join(joined, s.b.limits.MaxShareGroups)
		at.version = r.version.Load()
	}
	clear(joined)
	s.topics.joined = joined
	return 2*lockNodes - as.Left() - gs.Left(), done
}

// join adds a subscription to a group.
func (r *router) join(k subscriptionKey, sub *subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gs, _ := r.groups.Get(k.filter)
	if gs == nil {
		gs = &groups{filter: k.filter, named: make(map[string]*group, 1)}
		r.groups.Set(gs)
	}
	if g := gs.named[k.share]; g != nil {
		g.add(sub)
		return
	}
	g := newGroup(k)
	g.add(sub)
	g.place = len(gs.all)
	gs.all = append(gs.all, g)
	gs.named[g.name] = g
	r.version.Add(1)
}

// hasRoom reports whether a shared subscription's group exists, or its filter has fewer groups than most.
func (r *router) hasRoom(k subscriptionKey, most int) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	gs, _ := r.groups.Get(k.filter)
	return gs == nil || len(gs.all) < most || gs.named[k.share] != nil
}

// group returns the group of a shared subscription, or nil.
func (r *router) group(k subscriptionKey) *group {
	r.mu.RLock()
	defer r.mu.RUnlock()
	gs, _ := r.groups.Get(k.filter)
	if gs == nil {
		return nil
	}
	return gs.named[k.share]
}

// quit removes a subscription from its group. The subscription keeps its reference to the group, for messages already routed
// through it. quit is idempotent.
func (r *router) quit(sub *subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := sub.group(); g.remove(sub) == 0 {
		r.dissolve(g)
		r.version.Add(1)
	}
}

func (r *router) dissolve(gone *group) {
	gs, _ := r.groups.Get(gone.filter)
	if gs == nil || gs.named[gone.name] != gone {
		return // without members it was removed earlier
	}
	last := len(gs.all) - 1
	gs.all[gone.place] = gs.all[last]
	gs.all[gone.place].place = gone.place
	gs.all[last] = nil
	gs.all = gs.all[:last]
	delete(gs.named, gone.name)
	if len(gs.all) == 0 {
		r.groups.Delete(gone.filter)
	}
}
