package broker

import "slices"

// subscription is one topic filter of a session, with its options (MQTT 5 3.8.3.1).
type subscription struct {
	session  *session
	filter   string    // without the $share prefix
	audience *audience // where it stands; nil for a shared one
	group    *group    // of a shared subscription
	id       uint32    // subscription identifier; 0: none
	place    int32     // in audience or group
	qos      byte
	handling byte // of retained messages
	noLocal  bool
	retain   bool // retain as published
}

// audience is the subscriptions of one filter on one shard, in no order.
type audience struct{ subs []*subscription }

func (a *audience) add(sub *subscription) {
	sub.audience, sub.place = a, int32(len(a.subs))
	a.subs = append(a.subs, sub)
}

func (a *audience) remove(sub *subscription) {
	last := len(a.subs) - 1
	moved := a.subs[last]
	a.subs[sub.place], moved.place = moved, sub.place
	a.subs[last] = nil
	a.subs = a.subs[:last]
}

// subscriptions is a session's, by filter and share name. A few are looked through; many have an index.
type subscriptions struct {
	list  []*subscription
	index map[subscriptionKey]int
}

type subscriptionKey struct{ share, filter string }

const indexFrom = 16

func (sub *subscription) key() subscriptionKey {
	k := subscriptionKey{filter: sub.filter}
	if sub.group != nil {
		k.share = sub.group.name
	}
	return k
}

func (t *subscriptions) len() int { return len(t.list) }

func (t *subscriptions) get(k subscriptionKey) *subscription {
	if i := t.find(k); i >= 0 {
		return t.list[i]
	}
	return nil
}

func (t *subscriptions) find(k subscriptionKey) int {
	if t.index != nil {
		if i, ok := t.index[k]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(t.list, func(sub *subscription) bool { return sub.filter == k.filter && sub.key() == k })
}

func (t *subscriptions) add(sub *subscription) {
	t.list = append(t.list, sub)
	switch {
	case t.index != nil:
		t.index[sub.key()] = len(t.list) - 1
	case len(t.list) > indexFrom:
		t.index = make(map[subscriptionKey]int)
		for i, each := range t.list {
			t.index[each.key()] = i
		}
	}
}

func (t *subscriptions) remove(sub *subscription) {
	i, last := t.find(sub.key()), len(t.list)-1
	if i < 0 {
		return
	}
	moved := t.list[last]
	t.list[i] = moved
	t.list[last] = nil
	t.list = t.list[:last]
	if t.index != nil {
		t.index[moved.key()] = i
		delete(t.index, sub.key())
	}
}

func (t *subscriptions) each(fn func(*subscription)) {
	for _, sub := range t.list {
		fn(sub)
	}
}
