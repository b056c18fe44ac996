package broker

import (
	"math"

	"github.com/outcry-mqtt/outcry/broker/topic"
)

// A step of a search visits lookNodes nodes of the trees of filters, with the lock held for lockNodes of each tree at a time.
// Changes of subscriptions wait for that. A session with 10,000 subscriptions that ends waits 10,000 times.
const (
	lookNodes = 2048
	lockNodes = 128
)

// routeSearch is a search for the subscribers of a topic in several steps. The publishing connection yields between them.
type routeSearch struct {
	begun  bool
	lists  topic.Search[*subscriberList]
	groups topic.Search[*groups]
	joined []*groups // groups found so far
	found  *matches
}

// matches is the result of a search in steps. Other shards use it instead of searching again.
type matches struct {
	version uint64            // of the router, at the start of the search
	lists   []*subscriberList // of all shards
}

// step visits lockNodes nodes of each tree. It has the same results as look.
func (w *routeSearch) step(r *router, at *route, s *shard) (visited int, done bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	onAudience := func(a *subscriberList) {
		for ; a != nil; a = a.next {
			at.meet(a, s.index)
			w.found.lists = append(w.found.lists, a)
		}
	}
	onGroups := func(gs *groups) { w.joined = append(w.joined, gs) }
	if w.begun {
		done = w.lists.Continue(lockNodes, onAudience)
		done = w.groups.Continue(lockNodes, onGroups) && done
	} else {
		at.clear()
		w.begun, w.found = true, &matches{version: r.version.Load()}
		done = r.lists.Search(&w.lists, at.topic, lockNodes, onAudience)
		done = r.groups.Search(&w.groups, at.topic, lockNodes, onGroups) && done
	}
	if done {
		at.join(w.joined, s.b.limits.MaxShareGroups)
		at.search, at.matches, at.version = nil, w.found, w.found.version
	}
	return 2*lockNodes - w.lists.Left() - w.groups.Left(), done
}

// settle makes one step of the search for an outdated route and returns false if there is more to search. The route is then
// valid for one packet, though subscriptions may have changed since the search began.
func (s *shard) settle(r *route) bool {
	done := r.look(s)
	if done {
		s.topics.settled = r
	}
	return done
}

// unknown is the version of a route without a complete search result.
const unknown = math.MaxUint64

// isCurrent reports whether the route's search is complete and subscriptions have not changed since.
func (r *route) isCurrent(s *shard) bool { return s.b.router.version.Load() == r.version }

// interest updates the route's subscribers. While nothing changes, it neither searches nor locks; this check is inlined in
// the publish path. Connections settle the route first, so that long searches are made in steps.
func (r *route) interest(s *shard) {
	if !r.isCurrent(s) {
		r.lookUp(s)
	}
}

// lookUp makes the whole search for the route's subscribers, unless the route is settled.
//
//go:noinline
func (r *route) lookUp(s *shard) {
	for s.topics.settled != r && !r.look(s) {
	}
}

// look makes one step of the search for the route's subscribers.
func (r *route) look(s *shard) (done bool) {
	visited, done := s.b.router.look(r, s)
	s.turns.budget.work += int64(visited)
	s.topics.weigh(r)
	return done
}

// of returns a route with the matches of one shard. It is valid until the next call.
func (f *matches) of(s *shard, r *route) *route {
	to := &s.topics.matched
	to.clear()
	to.topic, to.policy = r.topic, r.policy
	for _, a := range f.lists {
		if int(a.shard) == s.index {
			to.meet(a, s.index)
		}
	}
	return to
}
