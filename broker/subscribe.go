package broker

import (
	"slices"
	"strings"

	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/broker/wire"
)

// onSubscribe makes the subscriptions, answers, and then sends what is retained (MQTT 5 3.8.4).
func (c *conn) onSubscribe(body []byte) error {
	s := c.shard
	p := &s.filters
	if err := wire.DecodeSubscribe(body, c.version, p); err != nil {
		return err
	}
	codes := s.suback[:0]
	var replays []*subscription
	again := false // a filter may stand there twice
	for i := range p.Filters {
		sub, isNew, code := c.subscribe(&p.Filters[i], p.Identifier)
		codes = append(codes, code)
		if sub != nil && sub.group() == nil && (sub.handling == 0 || sub.handling == 1 && isNew) {
			replays = append(replays, sub)
			again = again || !isNew
		}
	}
	if again {
		replays = once(replays)
	}
	s.suback = codes
	c.answerSubscribe(subAck{wire.TypeSuback, wire.AppendSuback(nil, c.version, p.PacketID, codes), replays})
	return nil
}

// once is the subscriptions without those that come again. Of a filter that stands in a packet many times, what is
// retained is sent once.
func once(all []*subscription) []*subscription {
	seen := make(map[*subscription]bool)
	return slices.DeleteFunc(all, func(sub *subscription) bool {
		before := seen[sub]
		seen[sub] = true
		return before
	})
}

// subAck is a SUBACK or UNSUBACK, and the subscriptions that are sent what is retained after it.
type subAck struct {
	t       wire.Type
	packet  []byte
	replays []*subscription
}

func (a *subAck) send(c *conn) {
	c.send(a.t, a.packet)
	for _, sub := range a.replays {
		if c.session.subs.get(sub.key()) == sub {
			c.shard.replay(sub)
		}
	}
}

// answerSubscribe answers at once, or for a durable session when its subscriptions are on disk.
func (c *conn) answerSubscribe(a subAck) {
	if c.session.durable == nil || c.b.options.Relaxed {
		a.send(c)
		return
	}
	held := a // on the heap only now: beside each subscription that would be half as much again
	c.shard.openTxn().await(c, a.t, 0)
	c.acks = append(c.acks, heldAck{t: a.t, waits: true, reply: &held})
}

// subscribe makes or replaces one subscription [MQTT-3.8.4-3] and returns it with its reason code; isNew is false for a
// replaced one.
func (c *conn) subscribe(f *wire.Filter, id uint32) (sub *subscription, isNew bool, code byte) {
	s, ss := c.shard, c.session
	share, filter, err := topic.SplitShare(f.Filter)
	if err != nil || topic.CheckFilter(filter) != nil || share != "" && isOwn(filter) || len(f.Filter) > s.b.limits.MaxTopicBytes ||
		topic.Levels(filter) > s.b.limits.MaxTopicLevels {
		return nil, false, wire.TopicFilterInvalid
	}
	g := s.b.grant(c.client, Subscribe, filter)
	if !g.Allowed {
		return nil, false, wire.NotAuthorized
	}
	qos := min(f.QoS, g.MaxQoS)
	every := int64(0)
	if rate, ok := parseRate(s.filters.MaxRate); !ok || share != "" && rate != 0 {
		return nil, false, wire.ImplementationSpecificError
	} else if share == "" && !isOwn(filter) {
		every = interval(lowerRate(rate, g.MaxRate))
	}
	if every != 0 {
		qos = 0 // what is not the newest is not sent
	}
	k := subscriptionKey{share, filter}
	sub = ss.subs.get(k)
	if isNew = sub == nil; isNew {
		if ss.subs.len() >= s.b.limits.MaxSubscriptions {
			return nil, false, wire.QuotaExceeded
		}
		sub = &subscription{session: ss}
		s.subscribe(sub, k, every)
		ss.subs.add(sub)
	} else {
		s.setPace(sub, every)
	}
	sub.id, sub.qos, sub.handling, sub.noLocal, sub.retain = id, qos, f.RetainHandling, f.NoLocal, f.RetainAsPublished
	sub.replays = sub.group() == nil && sub.qos > 0 && (sub.handling == 0 || sub.handling == 1 && isNew)
	sub.keep()
	if s.b.observers != nil {
		s.observe(c, Subscribed, f.Filter, "")
	}
	return sub, isNew, qos
}

// onUnsubscribe ends subscriptions. What is already under way to the client is still delivered (MQTT 5 3.10.4).
func (c *conn) onUnsubscribe(body []byte) error {
	var p wire.Unsubscribe
	if err := wire.DecodeUnsubscribe(body, c.version, &p); err != nil {
		return err
	}
	codes := make([]byte, len(p.Filters))
	for i, f := range p.Filters {
		codes[i] = c.unsubscribe(f)
	}
	c.answerSubscribe(subAck{t: wire.TypeUnsuback, packet: wire.AppendUnsuback(nil, c.version, p.PacketID, codes)})
	return nil
}

func (c *conn) unsubscribe(filter string) (code byte) {
	share, rest, err := topic.SplitShare(filter)
	if err != nil || topic.CheckFilter(rest) != nil {
		return wire.TopicFilterInvalid
	}
	sub := c.session.subs.get(subscriptionKey{share, rest})
	if sub == nil {
		return wire.NoSubscriptionExisted
	}
	sub.forget()
	c.session.subs.remove(sub)
	c.shard.unsubscribe(sub)
	if c.b.observers != nil {
		c.shard.observe(c, Unsubscribed, filter, "")
	}
	return wire.Success
}

// subscribe enters a new subscription where publishers look for it. every is the interval of its maximum rate, if it has one.
func (s *shard) subscribe(sub *subscription, k subscriptionKey, every int64) {
	s.stats.subscriptions++
	switch {
	case isOwn(k.filter):
		sub.audience = &audience{filter: k.filter}
		return
	case k.share != "":
		s.stats.shared++
		s.b.router.join(k, sub)
		return
	}
	a := s.b.router.audience(k.filter, s.index)
	if a == nil {
		a = &audience{filter: k.filter, shard: uint8(s.index)}
		s.b.router.add(a)
	}
	if every != 0 {
		s.paceOf(a, every).add(sub)
		return
	}
	a.add(sub)
	if a.durable == 1 && sub.session.durable != nil {
		s.b.router.setKept(a, true)
	}
}

// unsubscribe takes a subscription out again.
func (s *shard) unsubscribe(sub *subscription) {
	s.stats.subscriptions--
	if sub.isOwn() {
		return
	}
	if sub.group() != nil {
		s.stats.shared--
		s.b.router.quit(sub)
		return
	}
	a, paced := sub.audience, sub.every() != 0
	a.remove(sub)
	if paced {
		a = a.crowd.pace.of
		s.endPaces(a)
	}
	switch {
	case len(a.all()) == 0 && a.paces() == nil:
		s.b.router.remove(a)
	case a.durable == 0 && !paced && sub.session.durable != nil:
		s.b.router.setKept(a, false)
	}
}

// reserved tells whether a topic is the broker's own to publish to.
func reserved(name string) bool {
	return strings.HasPrefix(name, "$") && (strings.HasPrefix(name, "$SYS/") || name == "$SYS" || isOwn(name) || name == authTopic)
}

// isOwn tells whether a topic or filter is of those that each client has for itself.
func isOwn(name string) bool { return strings.HasPrefix(name, meTopics+"/") || name == meTopics }
