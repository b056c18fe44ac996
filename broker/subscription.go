package broker

import (
	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/internal/table"
)

// subscription is one topic filter of a session, with its options (MQTT 5 3.8.3.1).
type subscription struct {
	session  *session
	list     *subscriberList // its subscriber list, even after it has left it
	id       uint32          // subscription identifier; 0: none
	place    int32           // index in the subscriber list or in the group's members
	qos      byte
	handling byte // Retain Handling
	noLocal  bool
	retain   bool // Retain As Published
	replays  bool // its retained messages have not all been sent
	outdated bool // listed in journal.outdated
}

// filter returns the topic filter, without the $share prefix.
func (sub *subscription) filter() string { return sub.list.filter }

// group returns the group of a shared subscription, or nil.
func (sub *subscription) group() *group {
	if c := sub.list.long; c != nil {
		return c.group
	}
	return nil
}

// every returns the minimum interval in ns between two messages of a topic, from a maximum rate; 0: none.
func (sub *subscription) every() int64 {
	if c := sub.list.long; c != nil && c.pace != nil {
		return c.pace.every
	}
	return 0
}

// isOwn reports whether the subscription is to a private topic of the client: it is entered in its session only.
func (sub *subscription) isOwn() bool { return sub.group() == nil && isOwn(sub.filter()) }

// Key returns the filter, with the $share prefix of a shared subscription, as the key of the session's table.
func (sub *subscription) Key() string {
	if g := sub.group(); g != nil {
		return g.text
	}
	return sub.list.filter
}

// subscriberList is the subscriber list of one filter on one shard, in no order. Most filters have one subscriber, which is stored
// in the list itself.
type subscriberList struct {
	filter     string           // static
	next       *subscriberList  // list of the same filter on another shard; guarded by the router's mu
	one        [1]*subscription // the shard's loop owns one, long and durable
	long       *longList        // replaces one; nil: there never was more than one subscription
	durable    int32            // number of subscriptions of durable sessions
	hasDurable bool             // copy of durable > 0 for other shards; guarded by the router's mu
	scale      uint8            // logarithm of the approximate number of subscriptions; guarded by the router's mu
	shard      uint8            // static
}

// minScale is the scale below which the size of a subscriber list is not recorded: each record invalidates the cached routes.
const minScale = 1

// longList is the part of a subscriber list for more than one subscription, a maximum rate or a share group.
type longList struct {
	subs  []*subscription
	paces *pace  // subscriptions of the same filter with a maximum rate, which are not in subs
	pace  *pace  // pace of this list; nil: without a maximum rate
	group *group // group of this list, which then gives its members the filter and the group; nil: not shared
}

// Key returns the filter, the key of the list in the tree.
func (a *subscriberList) Key() string { return a.filter }

func (a *subscriberList) all() []*subscription {
	switch {
	case a.long != nil:
		return a.long.subs
	case a.one[0] != nil:
		return a.one[:]
	}
	return nil
}

// paces returns the paces of the same filter.
func (a *subscriberList) paces() *pace {
	if a.long == nil {
		return nil
	}
	return a.long.paces
}

// weigh records the approximate size of a subscriber list, for the work of a message: a third of it to twice of it.
func (s *shard) weigh(a *subscriberList) {
	switch n := len(a.all()); {
	case n >= 2<<max(a.scale, minScale):
		s.b.router.setScale(a, max(a.scale, minScale)+1)
	case a.scale > minScale && n < 1<<(a.scale-1):
		s.b.router.setScale(a, a.scale-1)
	}
}

// grow makes room for more than one subscription.
func (a *subscriberList) grow() *longList {
	if a.long == nil {
		a.long = new(longList)
		if a.one[0] != nil {
			a.long.subs = []*subscription{a.one[0]}
			a.one[0] = nil
		}
	}
	return a.long
}

func (a *subscriberList) add(sub *subscription) {
	sub.list, sub.place = a, int32(len(a.all()))
	if a.long == nil && a.one[0] == nil {
		a.one[0] = sub
	} else {
		c := a.grow()
		c.subs = append(c.subs, sub)
	}
	if sub.session.durable != nil {
		a.durable++
	}
}

func (a *subscriberList) remove(sub *subscription) {
	if sub.session.durable != nil {
		a.durable--
	}
	if a.long == nil {
		a.one[0] = nil
		return
	}
	subs := a.long.subs
	last := len(subs) - 1
	moved := subs[last]
	subs[sub.place], moved.place = moved, sub.place
	subs[last] = nil
	a.long.subs = subs[:last]
}

// subscriptions is the table of a session's subscriptions.
type subscriptions struct{ table table.Table[*subscription] }

type subscriptionKey struct{ share, filter string }

// text returns the filter as in the SUBSCRIBE, with its $share prefix.
func (k subscriptionKey) text() string { return topic.JoinShare(k.share, k.filter) }

func (sub *subscription) key() subscriptionKey {
	k := subscriptionKey{filter: sub.filter()}
	if g := sub.group(); g != nil {
		k.share = g.name
	}
	return k
}

func (t *subscriptions) len() int { return t.table.Len() }

func (t *subscriptions) get(k subscriptionKey) *subscription {
	sub, _ := t.table.Find(k.text(), func(*subscription) bool { return true })
	return sub
}

func (t *subscriptions) has(sub *subscription) bool {
	_, found := t.table.Find(sub.Key(), func(other *subscription) bool { return other == sub })
	return found
}

func (t *subscriptions) add(sub *subscription)    { t.table.Add(sub) }
func (t *subscriptions) remove(sub *subscription) { t.table.Remove(sub) }

func (t *subscriptions) each(fn func(*subscription)) {
	for sub := range t.table.All() {
		fn(sub)
	}
}

// limit lowers the subscription's QoS and rate to the granted ones.
func (sub *subscription) limit(g Grant) {
	qos, every := min(sub.qos, g.MaxQoS), sub.every()
	if sub.group() == nil && !sub.isOwn() {
		every = max(every, interval(g.MaxRate))
	}
	if every != 0 {
		qos = 0
	}
	if qos == sub.qos && every == sub.every() {
		return
	}
	sub.qos = qos
	sub.session.shard.setPace(sub, every)
	sub.updateLater()
}

// persist persists the subscription if its session is durable.
func (sub *subscription) persist() {
	if sub.session.durable == nil {
		return
	}
	r := sub.record()
	sub.session.shard.openTxn().add(storage.Op{Space: storage.SpaceSubscriptions, Key: r.Key(), Value: r.Append(nil)})
}

// updateLater persists the subscription with a later transaction, or deletes it if it has ended by then. Nothing waits for that.
func (sub *subscription) updateLater() {
	if sub.session.durable == nil || sub.outdated {
		return
	}
	sub.outdated = true
	s := sub.session.shard
	s.journal.outdated = append(s.journal.outdated, sub)
}

// update does the work of updateLater, unless another subscription of the session has the same filter by now.
func (sub *subscription) update() {
	sub.outdated = false
	switch {
	case sub.stands():
		sub.persist()
	case sub.session.ended || sub.session.subs.get(sub.key()) == nil:
		sub.forget()
	}
}

// forget deletes the subscription from the store.
func (sub *subscription) forget() {
	if sub.session.durable != nil {
		sub.session.shard.openTxn().add(sub.deletion())
	}
}

func (sub *subscription) deletion() storage.Op {
	r := sub.record()
	return storage.Op{Space: storage.SpaceSubscriptions, Key: r.Key(), Delete: true}
}
