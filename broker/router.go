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

// interest is the shards that have subscribers of a filter, and those of them that have durable sessions among these.
type interest struct{ shards, durable shardSet }

// router knows which shards have subscribers of which filter, and the groups of shared subscriptions. It changes only
// when the first subscriber of a filter comes to a shard or the last one goes; shards cache what it says per topic until
// its version changes.
type router struct {
	version atomic.Uint64 // changes with every change of interest or groups
	sys     atomic.Int64  // filters that begin with $SYS

	mu       sync.RWMutex // guards what follows
	interest topic.Filters[interest]
	groups   topic.Filters[[]*group]
}

func (r *router) add(filter string, shard int) {
	if strings.HasPrefix(filter, "$SYS") {
		r.sys.Add(1)
	}
	r.change(filter, func(i *interest) { i.shards |= 1 << shard })
}

func (r *router) remove(filter string, shard int) {
	if strings.HasPrefix(filter, "$SYS") {
		r.sys.Add(-1)
	}
	r.change(filter, func(i *interest) { i.shards &^= 1 << shard })
}

// setDurable notes whether a shard has durable sessions that subscribe to a filter.
func (r *router) setDurable(filter string, shard int, has bool) {
	r.change(filter, func(i *interest) {
		i.durable &^= 1 << shard
		if has {
			i.durable |= 1 << shard
		}
	})
}

func (r *router) change(filter string, do func(*interest)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, _ := r.interest.Get(filter)
	if do(&i); i.shards == 0 {
		r.interest.Delete(filter)
	} else {
		r.interest.Set(filter, i)
	}
	r.version.Add(1)
}

// look returns the shards and groups that want a topic, and the version that this is true for at least.
func (r *router) look(name string, groups []*group) (shards, durable shardSet, _ []*group, version uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	r.interest.Match(name, func(i interest) {
		shards |= i.shards
		durable |= i.durable
	})
	r.groups.Match(name, func(g []*group) { groups = append(groups, g...) })
	return shards, durable, groups, r.version.Load()
}

// join makes a subscription a member of a group.
func (r *router) join(name string, sub *subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, _ := r.groups.Get(sub.filter)
	for _, g := range all {
		if g.name == name {
			g.add(sub)
			return
		}
	}
	g := &group{name: name, filter: sub.filter}
	g.add(sub)
	r.groups.Set(sub.filter, append(all[:len(all):len(all)], g))
	r.version.Add(1)
}

// group returns the group of a shared subscription, or nil.
func (r *router) group(k subscriptionKey) *group {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all, _ := r.groups.Get(k.filter)
	for _, g := range all {
		if g.name == k.share {
			return g
		}
	}
	return nil
}

// quit takes a subscription out of its group. sub.group stays, for messages that came through it.
func (r *router) quit(sub *subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := sub.group; g.remove(sub) == 0 {
		r.dissolve(g)
		r.version.Add(1)
	}
}

func (r *router) dissolve(gone *group) {
	all, _ := r.groups.Get(gone.filter)
	var rest []*group
	for _, g := range all {
		if g != gone {
			rest = append(rest, g)
		}
	}
	if len(rest) == 0 {
		r.groups.Delete(gone.filter)
		return
	}
	r.groups.Set(gone.filter, rest)
}
