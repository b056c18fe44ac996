package broker

import (
	"encoding/binary"
	"errors"

	"github.com/outcry-mqtt/outcry/broker/table"
	"github.com/outcry-mqtt/outcry/broker/topic"
)

// subscription is one topic filter of a session, with its options (MQTT 5 3.8.3.1).
type subscription struct {
	session  *session
	audience *audience // where it stands, or stood
	id       uint32    // subscription identifier; 0: none
	place    int32     // in audience
	qos      byte
	handling byte // of retained messages
	noLocal  bool
	retain   bool // retain as published
	replays  bool // it has not been sent all of what is retained yet
}

// filter is the topic filter, without the $share prefix.
func (sub *subscription) filter() string { return sub.audience.filter }

// group is that of a shared subscription; nil for others.
func (sub *subscription) group() *group {
	if c := sub.audience.crowd; c != nil {
		return c.group
	}
	return nil
}

// every is the least time between two messages of a topic, because of a maximum rate; 0: none.
func (sub *subscription) every() int64 {
	if c := sub.audience.crowd; c != nil && c.pace != nil {
		return c.pace.every
	}
	return 0
}

// isOwn tells whether it is to a topic of the client's own: such a subscription stands in its session only.
func (sub *subscription) isOwn() bool { return sub.group() == nil && isOwn(sub.filter()) }

// Key makes the filter what it is found by. Shared subscriptions with the same filter have the same.
func (sub *subscription) Key() string { return sub.audience.filter }

// audience is the subscriptions of one filter on one shard, in no order. Most filters have one subscriber, who stands in
// the audience itself.
type audience struct {
	filter  string           // static
	next    *audience        // that of the same filter on another shard; guarded by the router's mu
	one     [1]*subscription // what follows but for kept belongs to the shard's loop
	crowd   *crowd           // instead of one; nil: there never was more
	durable int32            // those of durable sessions
	kept    bool             // there are some of these, as others see it; guarded by the router's mu
	shard   uint8            // static
}

// crowd is what an audience has if it is more than one subscription.
type crowd struct {
	subs  []*subscription
	paces *pace  // those of the same filter that have a maximum rate, and are not in subs
	pace  *pace  // whose audience it is; nil: everybody else's
	group *group // whose members, standing there, have the audience to know it by; nil: none
}

// Key makes the filter what an audience is found by.
func (a *audience) Key() string { return a.filter }

// all is the subscriptions.
func (a *audience) all() []*subscription {
	switch {
	case a.crowd != nil:
		return a.crowd.subs
	case a.one[0] != nil:
		return a.one[:]
	}
	return nil
}

// paces is those of the same filter that have a maximum rate.
func (a *audience) paces() *pace {
	if a.crowd == nil {
		return nil
	}
	return a.crowd.paces
}

// gather makes room for more than one subscription.
func (a *audience) gather() *crowd {
	if a.crowd == nil {
		a.crowd = new(crowd)
		if a.one[0] != nil {
			a.crowd.subs = []*subscription{a.one[0]}
			a.one[0] = nil
		}
	}
	return a.crowd
}

func (a *audience) add(sub *subscription) {
	sub.audience, sub.place = a, int32(len(a.all()))
	if a.crowd == nil && a.one[0] == nil {
		a.one[0] = sub
	} else {
		c := a.gather()
		c.subs = append(c.subs, sub)
	}
	if sub.session.durable != nil {
		a.durable++
	}
}

func (a *audience) remove(sub *subscription) {
	if sub.session.durable != nil {
		a.durable--
	}
	if a.crowd == nil {
		a.one[0] = nil
		return
	}
	subs := a.crowd.subs
	last := len(subs) - 1
	moved := subs[last]
	subs[sub.place], moved.place = moved, sub.place
	subs[last] = nil
	a.crowd.subs = subs[:last]
}

// subscriptions is a session's.
type subscriptions struct{ table table.Table[*subscription] }

type subscriptionKey struct{ share, filter string }

func (sub *subscription) key() subscriptionKey {
	k := subscriptionKey{filter: sub.filter()}
	if g := sub.group(); g != nil {
		k.share = g.name
	}
	return k
}

func (t *subscriptions) len() int { return t.table.Len() }

func (t *subscriptions) get(k subscriptionKey) *subscription {
	sub, _ := t.table.Find(k.filter, func(sub *subscription) bool { return sub.key() == k })
	return sub
}

func (t *subscriptions) add(sub *subscription)    { t.table.Add(sub) }
func (t *subscriptions) remove(sub *subscription) { t.table.Remove(sub) }

func (t *subscriptions) each(fn func(*subscription)) {
	for sub := range t.table.All() {
		fn(sub)
	}
}

// limit lowers what the subscription gets to what is granted.
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
	sub.keep()
}

// A stored subscription has the session's number and the filter with its $share prefix as its key; its value is: a version
// byte, the options, the subscription identifier, and the interval of a maximum rate in nanoseconds if it has one.
const (
	subscriptionVersion = 1
	optionQoS           = 3
	optionNoLocal       = 4
	optionRetain        = 8
	optionHandling      = 4 // bits to the left
	optionReplays       = 64
)

var errSubscriptionRecord = errors.New("not a subscription of a version that this program knows; run the version that wrote it, or restore a backup")

func (sub *subscription) storeKey() string {
	return numberKey(sub.session.durable.num) + sub.text()
}

// text is the filter as it was subscribed to, with its $share prefix.
func (sub *subscription) text() string {
	if g := sub.group(); g != nil {
		return "$share/" + g.name + "/" + g.filter
	}
	return sub.filter()
}

// keep has the store keep the subscription, if its session is durable.
func (sub *subscription) keep() {
	if sub.session.durable == nil {
		return
	}
	options := sub.qos | sub.handling<<optionHandling
	if sub.noLocal {
		options |= optionNoLocal
	}
	if sub.retain {
		options |= optionRetain
	}
	if sub.replays {
		options |= optionReplays
	}
	value := binary.AppendUvarint([]byte{subscriptionVersion, options}, uint64(sub.id))
	if every := sub.every(); every != 0 {
		value = binary.AppendUvarint(value, uint64(every))
	}
	sub.session.shard.openTxn().add(Op{Space: SpaceSubscriptions, Key: sub.storeKey(), Value: value})
}

// forget has the store forget the subscription.
func (sub *subscription) forget() {
	if sub.session.durable != nil {
		sub.session.shard.openTxn().add(Op{Space: SpaceSubscriptions, Key: sub.storeKey(), Delete: true})
	}
}

// storedSubscription is a subscription with what says where it belongs.
type storedSubscription struct {
	*subscription
	session uint64 // its number
	key     subscriptionKey
	every   int64
}

func decodeSubscription(key string, value []byte) (st storedSubscription, err error) {
	r := reader{value}
	session, ok := keyNumber(key)
	if !ok || r.byte() != subscriptionVersion {
		return st, errSubscriptionRecord
	}
	share, filter, err := topic.SplitShare(key[8:])
	if err != nil || topic.CheckFilter(filter) != nil {
		return st, errSubscriptionRecord
	}
	sub := new(subscription)
	options := r.byte()
	sub.qos, sub.handling = options&optionQoS, options>>optionHandling&3
	sub.noLocal, sub.retain, sub.replays = options&optionNoLocal != 0, options&optionRetain != 0, options&optionReplays != 0
	sub.id = uint32(r.uvarint())
	st = storedSubscription{sub, session, subscriptionKey{share, filter}, 0}
	if len(r.rest) > 0 {
		st.every = min(int64(r.uvarint()), longestPace)
	}
	if r.failed() {
		return storedSubscription{}, errSubscriptionRecord
	}
	return st, nil
}
