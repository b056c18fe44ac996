package broker

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/outcry-mqtt/outcry/broker/topic"
)

// subscription is one topic filter of a session, with its options (MQTT 5 3.8.3.1).
type subscription struct {
	session  *session
	filter   string    // without the $share prefix
	audience *audience // where it stands; nil for a shared one
	group    *group    // of a shared subscription
	every    int64     // between two messages of a topic, because of a maximum rate; 0: none
	id       uint32    // subscription identifier; 0: none
	place    int32     // in audience or group
	qos      byte
	handling byte // of retained messages
	noLocal  bool
	retain   bool // retain as published
	replays  bool // it has not been sent all of what is retained yet
}

// audience is the subscriptions of one filter on one shard, in no order.
type audience struct {
	subs    []*subscription
	durable int   // those of durable sessions
	pace    *pace // those of the same filter that have a maximum rate, and are not in subs
}

func (a *audience) add(sub *subscription) {
	sub.audience, sub.place = a, int32(len(a.subs))
	a.subs = append(a.subs, sub)
	if sub.session.durable != nil {
		a.durable++
	}
}

func (a *audience) remove(sub *subscription) {
	last := len(a.subs) - 1
	moved := a.subs[last]
	a.subs[sub.place], moved.place = moved, sub.place
	a.subs[last] = nil
	a.subs = a.subs[:last]
	if sub.session.durable != nil {
		a.durable--
	}
}

// subscriptions is a session's, by filter and share name. A few are looked through; many have an index.
type subscriptions struct {
	list  []*subscription
	index map[subscriptionKey]int
}

type subscriptionKey struct{ share, filter string }

const indexFrom = 16

// isOwn tells whether it is to a topic of the client's own: such a subscription stands in its session only.
func (sub *subscription) isOwn() bool { return sub.group == nil && isOwn(sub.filter) }

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

// limit lowers what the subscription gets to what is granted.
func (sub *subscription) limit(g Grant) {
	qos, every := min(sub.qos, g.MaxQoS), sub.every
	if sub.group == nil && !sub.isOwn() {
		every = max(every, interval(0, g.MaxRate))
	}
	if every != 0 {
		qos = 0
	}
	if qos == sub.qos && every == sub.every {
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
	if sub.group == nil {
		return sub.filter
	}
	return "$share/" + sub.group.name + "/" + sub.filter
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
	if sub.every != 0 {
		value = binary.AppendUvarint(value, uint64(sub.every))
	}
	sub.session.shard.openTxn().add(Op{Space: SpaceSubscriptions, Key: sub.storeKey(), Value: value})
}

// forget has the store forget the subscription.
func (sub *subscription) forget() {
	if sub.session.durable != nil {
		sub.session.shard.openTxn().add(Op{Space: SpaceSubscriptions, Key: sub.storeKey(), Delete: true})
	}
}

// decodeSubscription returns a subscription that still needs its session, whose number it returns, and its share name.
func decodeSubscription(key string, value []byte) (session uint64, share string, sub *subscription, err error) {
	r := reader{value}
	session, ok := keyNumber(key)
	if !ok || r.byte() != subscriptionVersion {
		return 0, "", nil, errSubscriptionRecord
	}
	share, filter, err := topic.SplitShare(key[8:])
	if err != nil || topic.CheckFilter(filter) != nil {
		return 0, "", nil, errSubscriptionRecord
	}
	sub = &subscription{filter: filter}
	options := r.byte()
	sub.qos, sub.handling = options&optionQoS, options>>optionHandling&3
	sub.noLocal, sub.retain, sub.replays = options&optionNoLocal != 0, options&optionRetain != 0, options&optionReplays != 0
	sub.id = uint32(r.uvarint())
	if len(r.rest) > 0 {
		sub.every = min(int64(r.uvarint()), longestPace)
	}
	if r.failed() {
		return 0, "", nil, errSubscriptionRecord
	}
	return session, share, sub, nil
}
