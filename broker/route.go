package broker

import "slices"

// route is a shard's cached search result for a topic. It is valid until subscriptions change.
type route struct {
	topic    string
	policy   QueuePolicy
	reserved bool // only the broker publishes to it
	shards   shardSet
	durable  shardSet // subset of shards with durable sessions
	groups   []*group
	lent     bool              // messages that wait for later steps use groups
	left     int32             // groups above Limits.MaxShareGroups, which get no messages
	lists    []*subscriberList // of this shard
	paces    []*pace           // of this shard
	work     int64             // units for the delivery of a message, on all shards
	version  uint64            // of the router, at the time of the search; unknown: not valid
	matches  *matches          // the result for all shards, if the search was long
	search   *routeSearch      // in progress; nil: none
	weight   int               // bytes that it counts for in the shard's topic cache
}

// size returns the estimated memory of the route in bytes.
func (r *route) size() int {
	const overhead, each = 200, 8 // the record and its map entry; a pointer
	n := cap(r.groups) + cap(r.lists) + cap(r.paces)
	if r.matches != nil {
		n += cap(r.matches.lists)
	}
	return overhead + len(r.topic) + each*n
}

// isDurable reports whether the topic's messages may be for durable sessions.
func (r *route) isDurable() bool {
	if r.durable != 0 {
		return true
	}
	for _, g := range r.groups {
		if g.durable.Load() > 0 {
			return true
		}
	}
	return false
}

// clear removes the subscribers of the topic.
func (r *route) clear() {
	if r.lent {
		r.groups, r.lent = nil, false
	}
	clear(r.groups)
	clear(r.lists)
	clear(r.paces)
	r.shards, r.durable, r.work, r.left, r.matches = 0, 0, 0, 0, nil
	r.groups, r.lists, r.paces = r.groups[:0], r.lists[:0], r.paces[:0]
}

// join adds the groups of the filters that match the topic. If there are more than most, each filter gets an equal share: a
// user with thousands of groups, on as many filters as match the topic, takes no messages from filters with few groups.
func (r *route) join(all []*groups, most int) {
	count := 0
	for _, gs := range all {
		count += len(gs.all)
	}
	left := min(count, most)
	if r.left = int32(count - left); r.left > 0 {
		slices.SortFunc(all, func(a, b *groups) int { return len(a.all) - len(b.all) })
	}
	r.work += groupWork * int64(left)
	for i, gs := range all {
		share := len(gs.all)
		if r.left > 0 {
			share = min(share, left/(len(all)-i))
		}
		r.groups = append(r.groups, gs.all[:share]...)
		left -= share
	}
}

// meet adds a subscriber list of the topic.
func (r *route) meet(a *subscriberList, shard int) {
	r.shards |= 1 << a.shard
	r.work += 1 << a.scale
	if a.hasDurable {
		r.durable |= 1 << a.shard
	}
	if int(a.shard) != shard {
		return
	}
	r.lists = append(r.lists, a)
	for p := a.paces(); p != nil; p = p.next {
		r.paces = append(r.paces, p)
	}
}
