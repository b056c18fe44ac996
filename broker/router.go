package broker

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/outcry-mqtt/outcry/broker/topic"
)

// shardSet is a set of shards, one bit each.
type shardSet uint64

func (m shardSet) has(i int) bool { return m&(1<<i) != 0 }

// router knows who is interested in which filter: the audiences on the shards, and the groups of shared subscriptions. It
// changes only when the first subscriber of a filter comes to a shard or the last one goes; shards cache what it says per
// topic until its version changes.
type router struct {
	version atomic.Uint64 // changes with every change of audiences or groups
	sys     atomic.Int64  // audiences of filters that begin with $SYS

	mu        sync.RWMutex             // guards what follows
	audiences topic.Filters[*audience] // one of those of each filter, the others are next to it
	groups    topic.Filters[*groups]
}

// groups is those of one filter.
type groups struct {
	filter string
	all    []*group
}

// Key makes the filter what they are found by.
func (gs *groups) Key() string { return gs.filter }

// audience returns that of a filter on a shard; nil: nobody there subscribes to it.
func (r *router) audience(filter string, shard int) *audience {
	r.mu.RLock()
	defer r.mu.RUnlock()
	a, _ := r.audiences.Get(filter)
	for a != nil && int(a.shard) != shard {
		a = a.next
	}
	return a
}

// add enters an audience.
func (r *router) add(a *audience) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.HasPrefix(a.filter, "$SYS") {
		r.sys.Add(1)
	}
	if first, _ := r.audiences.Get(a.filter); first != nil {
		a.next, first.next = first.next, a
	} else {
		r.audiences.Set(a)
	}
	r.version.Add(1)
}

// remove takes an audience out that is empty.
func (r *router) remove(a *audience) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.HasPrefix(a.filter, "$SYS") {
		r.sys.Add(-1)
	}
	first, _ := r.audiences.Get(a.filter)
	switch {
	case first != a:
		for first.next != a {
			first = first.next
		}
		first.next = a.next
	case a.next != nil:
		r.audiences.Set(a.next)
	default:
		r.audiences.Delete(a.filter)
	}
	a.next = nil
	r.version.Add(1)
}

// setKept notes whether an audience has subscriptions of durable sessions.
func (r *router) setKept(a *audience, kept bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.kept = kept
	r.version.Add(1)
}

// look has a route know who wants its topic, as a shard sees it.
func (r *router) look(at *route, shard int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	at.clear()
	r.audiences.Match(at.topic, func(a *audience) {
		for ; a != nil; a = a.next {
			at.meet(a, shard)
		}
	})
	r.groups.Match(at.topic, func(gs *groups) { at.groups = append(at.groups, gs.all...) })
	at.version = r.version.Load()
}

// join makes a subscription a member of a group.
func (r *router) join(k subscriptionKey, sub *subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gs, _ := r.groups.Get(k.filter)
	if gs == nil {
		gs = &groups{filter: k.filter}
		r.groups.Set(gs)
	}
	for _, g := range gs.all {
		if g.name == k.share {
			g.add(sub)
			return
		}
	}
	g := newGroup(k)
	g.add(sub)
	gs.all = append(gs.all, g)
	r.version.Add(1)
}

// group returns the group of a shared subscription, or nil.
func (r *router) group(k subscriptionKey) *group {
	r.mu.RLock()
	defer r.mu.RUnlock()
	gs, ok := r.groups.Get(k.filter)
	if !ok {
		return nil
	}
	for _, g := range gs.all {
		if g.name == k.share {
			return g
		}
	}
	return nil
}

// quit takes a subscription out of its group, which it still names, for messages that came through it.
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
	gs.all = slices.DeleteFunc(gs.all, func(g *group) bool { return g == gone })
	if len(gs.all) == 0 {
		r.groups.Delete(gone.filter)
	}
}
