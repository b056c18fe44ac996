package broker

import (
	"slices"
	"strings"

	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// subscribing is a SUBSCRIBE or UNSUBSCRIBE whose filters are handled in parts, one per turn: a packet may have as many
// filters as a session may have subscriptions. Meanwhile the packet stays in conn.input.partial. It is answered as a whole.
type subscribing struct {
	subscribe   wire.Subscribe
	unsubscribe wire.Unsubscribe
	next        int             // index of the next filter
	began       int             // index of the first filter in this slice of a turn
	codes       []byte          // reason codes of the filters before next
	toPersist   []*subscription // subscriptions to persist
	replays     []*subscription // subscriptions that are sent retained messages
	repeats     bool            // a subscription was replaced, perhaps one of this packet
}

const (
	filterWork    = 32    // units of a filter of a SUBSCRIBE or UNSUBSCRIBE
	fewFilters    = 16    // filters of a packet that are handled even if the store is behind
	persistAtOnce = 256   // filters of a durable session until the next connection has its turn
	leastFilters  = 10000 // always allowed in a packet, even if a session may have fewer subscriptions; each is answered
)

// onSubscribe makes the subscriptions, answers, and then sends the retained messages (MQTT 5 3.8.4).
func (c *conn) onSubscribe(body []byte) error {
	s := c.shard
	p := s.input.partial[c]
	if p == nil {
		p = &s.input.filters
		p.subscribe.Most = max(c.b.limits.MaxSubscriptions, leastFilters)
		if err := wire.DecodeSubscribe(body, c.version, &p.subscribe); err != nil {
			return err
		}
		if c.identity.client.Bridge {
			asBridge(p.subscribe.Filters)
		}
		p.next, p.codes, p.replays, p.repeats = 0, p.codes[:0], nil, false
	}
	p.began = p.next
	for filters := p.subscribe.Filters; p.next < len(filters); p.next++ {
		if c.mustWait(p) {
			return errYield
		}
		f := &filters[p.next]
		sub, isNew, code := c.subscribe(f, &p.subscribe)
		p.codes = append(p.codes, code)
		if sub != nil {
			p.toPersist = append(p.toPersist, sub)
			p.repeats = p.repeats || !isNew
		}
		if sub != nil && sub.replays {
			p.replays = append(p.replays, sub)
		}
	}
	delete(s.input.partial, c)
	if p.repeats {
		p.replays = once(p.replays)
	}
	c.persist(p)
	c.answerSubscribe(subAck{wire.TypeSuback, wire.AppendSuback(nil, c.version, p.subscribe.PacketID, p.codes), p.replays})
	return nil
}

// mustWait reports whether the connection's slice of the turn is used up, or it must wait for the store. The packet then
// continues in a later slice.
func (c *conn) mustWait(p *subscribing) bool {
	s := c.shard
	s.turns.budget.work += filterWork
	isSpent := p.next > 0 && s.turns.budget.work >= s.turns.budget.look && s.spent()
	if !c.persistPart(p) && !isSpent {
		return false
	}
	if p == &s.input.filters {
		own := s.input.filters
		s.input.filters = subscribing{}
		if s.input.partial == nil {
			s.input.partial = make(map[*conn]*subscribing)
		}
		s.input.partial[c] = &own
	}
	return true
}

// persistPart persists the changes of a durable session after a part of the filters. It returns true if the next filter must wait.
func (c *conn) persistPart(p *subscribing) bool {
	s := c.shard
	if c.session.durable == nil || p.next != fewFilters && p.next%persistAtOnce != 0 || p.next == 0 {
		return false
	}
	if p.next > p.began {
		c.persist(p)
		s.openTxn().tell(c.partPersisted)
	}
	if s.journal.bytes > s.mostStoring() || s.journal.units >= mostStoringUnits {
		s.holdBackForStore(c)
		return true
	}
	return p.next-p.began >= persistAtOnce
}

// persist persists the subscriptions made since its last call.
func (c *conn) persist(p *subscribing) {
	if p.repeats {
		p.toPersist = once(p.toPersist)
	}
	for _, sub := range p.toPersist {
		if c.session.subs.has(sub) { // a change of the rules may have ended it meanwhile
			sub.persist()
		}
	}
	clear(p.toPersist)
	p.toPersist = p.toPersist[:0]
}

// partPersisted closes the connection if a part of its SUBSCRIBE or UNSUBSCRIBE could not be persisted. The packet is then not acknowledged.
func (c *conn) partPersisted(err error) {
	if err != nil {
		c.close(closeStore)
	}
}

// once removes duplicates. If a packet repeats a filter, its retained messages are sent once, and the store gets one operation.
func once(all []*subscription) []*subscription {
	seen := make(map[*subscription]bool)
	return slices.DeleteFunc(all, func(sub *subscription) bool {
		before := seen[sub]
		seen[sub] = true
		return before
	})
}

// subAck is a SUBACK or UNSUBACK, and the subscriptions that are sent retained messages after it.
type subAck struct {
	t       wire.Type
	packet  []byte
	replays []*subscription
}

// size returns the memory that it takes, in bytes.
func (a *subAck) size() int { return len(a.packet) + 8*len(a.replays) }

func (a *subAck) send(c *conn) {
	c.send(a.t, a.packet)
	for _, sub := range a.replays {
		if c.session.subs.has(sub) {
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
	held := a // heap allocation on this path only: elsewhere it would add half of a subscription's memory
	c.shard.openTxn().await(c, a.t, 0)
	c.hold(heldAck{t: a.t, waits: true, reply: &held})
	c.input.stores = true
	c.shard.throttle(c)
}

// subscribe makes or replaces one subscription [MQTT-3.8.4-3] and returns it with its reason code. isNew is false for a replaced one.
func (c *conn) subscribe(f *wire.Filter, p *wire.Subscribe) (sub *subscription, isNew bool, code byte) {
	s, ss := c.shard, c.session
	share, filter, err := topic.SplitShare(f.Filter)
	if err != nil || topic.CheckFilter(filter) != nil || share != "" && isOwn(filter) || len(f.Filter) > s.b.limits.MaxTopicBytes ||
		topic.Levels(filter) > s.b.limits.MaxTopicLevels || s.b.limits.refuses(f.Filter) {
		return nil, false, wire.TopicFilterInvalid
	}
	g := s.b.grant(c.identity.client, Subscribe, filter)
	if !g.Allowed {
		c.logDenied("subscribe", f.Filter)
		return nil, false, wire.NotAuthorized
	}
	qos := min(f.QoS, g.MaxQoS)
	every := int64(0)
	if rate, ok := parseRate(p.MaxRate); !ok || share != "" && rate != 0 {
		return nil, false, wire.ImplementationSpecificError
	} else if share == "" && !isOwn(filter) {
		every = interval(lowerRate(rate, g.MaxRate))
	}
	if every != 0 {
		qos = 0 // only the newest message is sent
	}
	k := subscriptionKey{share, filter}
	sub = ss.subs.get(k)
	switch isNew = sub == nil; {
	case isNew:
		if !c.hasRoom(k, subscriptionCost(f.Filter, share != "" || every != 0)) {
			return nil, false, wire.QuotaExceeded
		}
		sub = &subscription{session: ss}
		s.subscribe(sub, k, every)
		ss.subs.add(sub)
	case every != 0 && sub.every() == 0 && !c.fits(0, groupBytes):
		return nil, false, wire.QuotaExceeded
	default:
		s.setPace(sub, every)
	}
	sub.id, sub.qos, sub.handling, sub.noLocal, sub.retain = p.Identifier, qos, f.RetainHandling, f.NoLocal, f.RetainAsPublished
	sub.replays = sub.group() == nil && (sub.handling == 0 || sub.handling == 1 && isNew)
	if s.b.hooks.observers != nil {
		s.observe(c, Subscribed, f.Filter, "")
	}
	return sub, isNew, qos // the reason code of success is the granted QoS (MQTT 5 3.9.3)
}

// hasRoom reports whether the limits let the session make another subscription.
func (c *conn) hasRoom(k subscriptionKey, cost int64) bool {
	ss, l := c.session, &c.b.limits
	if ss.subs.len() >= l.MaxSubscriptions {
		return false
	}
	return c.fits(1, cost) && (k.share == "" || int(ss.shared) < l.MaxSharedSubscriptions && ss.shard.b.router.hasRoom(k, l.MaxShareGroups))
}

// fits reports whether the limits let the session have n more subscriptions and more bytes of them.
func (c *conn) fits(n, bytes int64) bool {
	reached := c.b.usages.hasRoom(c.session, n, bytes)
	if reached != limitNone {
		c.b.limited(reached, c.remote, c.id())
	}
	return reached == limitNone
}

// onUnsubscribe ends subscriptions. Messages already on their way to the client are still delivered (MQTT 5 3.10.4).
func (c *conn) onUnsubscribe(body []byte) error {
	s := c.shard
	p := s.input.partial[c]
	if p == nil {
		p = &s.input.filters
		p.unsubscribe.Most = max(c.b.limits.MaxSubscriptions, leastFilters)
		if err := wire.DecodeUnsubscribe(body, c.version, &p.unsubscribe); err != nil {
			return err
		}
		p.next, p.codes = 0, p.codes[:0]
	}
	p.began = p.next
	for filters := p.unsubscribe.Filters; p.next < len(filters); p.next++ {
		if c.mustWait(p) {
			return errYield
		}
		p.codes = append(p.codes, c.unsubscribe(filters[p.next]))
	}
	delete(s.input.partial, c)
	packet := wire.AppendUnsuback(nil, c.version, p.unsubscribe.PacketID, p.codes)
	c.answerSubscribe(subAck{t: wire.TypeUnsuback, packet: packet})
	return nil
}

func (c *conn) unsubscribe(filter string) (code byte) {
	share, rest, err := topic.SplitShare(filter)
	if err != nil || topic.CheckFilter(rest) != nil {
		return wire.TopicFilterInvalid
	}
	sub := c.session.subs.get(subscriptionKey{share, rest})
	switch {
	case sub == nil && c.b.limits.refuses(filter):
		return wire.TopicFilterInvalid
	case sub == nil:
		return wire.NoSubscriptionExisted
	}
	sub.forget()
	c.session.subs.remove(sub)
	c.shard.unsubscribe(sub)
	if r := c.session.replay; r != nil {
		r.leave(sub)
	}
	if c.b.hooks.observers != nil {
		c.shard.observe(c, Unsubscribed, filter, "")
	}
	return wire.Success
}

// subscribe enters a new subscription into the structures that publishers search. every is the interval of its maximum rate in ns, or 0.
func (s *shard) subscribe(sub *subscription, k subscriptionKey, every int64) {
	s.stats.subscriptions++
	s.b.usages.count(sub.session, 1, subscriptionCost(k.text(), k.share != "" || every != 0))
	switch {
	case isOwn(k.filter):
		sub.list = &subscriberList{filter: k.filter}
		return
	case k.share != "":
		s.stats.shared++
		sub.session.shared++
		s.b.router.join(k, sub)
		return
	}
	a := s.b.router.list(k.filter, s.index)
	if a == nil {
		a = &subscriberList{filter: k.filter, shard: uint8(s.index)}
		s.b.router.add(a)
	}
	if every != 0 {
		p := s.paceOf(a, every)
		p.add(sub)
		p.pays(s)
		return
	}
	a.add(sub)
	s.weigh(a)
	if a.durable == 1 && sub.session.durable != nil {
		s.b.router.setDurable(a, true)
	}
}

// unsubscribe removes a subscription from them.
func (s *shard) unsubscribe(sub *subscription) {
	s.stats.subscriptions--
	s.b.usages.count(sub.session, -1, subscriptionCost(sub.Key(), sub.group() != nil || sub.every() != 0))
	if sub.isOwn() {
		return
	}
	if sub.group() != nil {
		s.stats.shared--
		sub.session.shared--
		s.b.router.quit(sub)
		return
	}
	a, paced := sub.list, sub.every() != 0
	a.remove(sub)
	s.weigh(a)
	if paced {
		a.long.pace.pays(s)
		a = a.long.pace.of
		s.endPaces(a)
	}
	switch {
	case len(a.all()) == 0 && a.paces() == nil:
		s.b.router.remove(a)
	case a.durable == 0 && !paced && sub.session.durable != nil:
		s.b.router.setDurable(a, false)
	}
}

// reserved reports whether only the broker may publish to a topic.
func reserved(name string) bool {
	return strings.HasPrefix(name, "$") &&
		(strings.HasPrefix(name, "$SYS/") && !IsBridgeState(name) || name == "$SYS" || isOwn(name) || name == authTopic)
}

// isOwn reports whether a topic or filter is private to each client.
func isOwn(name string) bool { return strings.HasPrefix(name, meTopics+"/") || name == meTopics }
