package broker

import (
	"bytes"
	"errors"
	"hash/maphash"
	"math/bits"
	"time"

	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

var (
	errReceiveMaximum = &wire.Error{Code: wire.ReceiveMaximumExceeded, Reason: "more unacknowledged messages than the receive maximum [MQTT-3.3.4-7]"}
	errAliasInvalid   = &wire.Error{Code: wire.TopicAliasInvalid, Reason: "topic alias above the maximum (MQTT 5 3.3.2.3.4)"}
	errResponseChars  = &wire.Error{Code: wire.MalformedPacket, Reason: "response topic has a control character or a non-character (MQTT 5 1.5.4)"}
	errAliasUnknown   = &wire.Error{Code: wire.ProtocolError, Reason: "topic alias without a topic (MQTT 5 3.3.2.3.4)"}
)

// onPublish handles a PUBLISH of a client. It ends here for duplicates and for topics that the client may not publish to.
func (c *conn) onPublish(flags byte, body []byte) error {
	s, p := c.shard, &c.shard.input.publish
	if err := wire.DecodePublish(flags, body, c.version, p); err != nil {
		return err
	}
	r, err := c.topicOf(p)
	if err != nil {
		return err
	}
	if !r.isCurrent(s) && !s.settle(r) || r.work >= sliceWork && s.isCrowded() {
		return errYield
	}
	if p.QoS > 0 && s.journal.bytes > 2*s.mostStoring() {
		if r.interest(s); c.mustStore(p.QoS, p.Retain, r) {
			s.holdBackForStore(c)
			return errYield
		}
	}
	s.stats.messagesReceived[p.QoS]++
	if p.ResponseTopic != nil && !s.b.limits.AllowControls && bytes.ContainsFunc(p.ResponseTopic, topic.IsControl) {
		return errResponseChars
	}
	if p.QoS > 0 {
		if err := c.admitQoS(p); err != nil || p.QoS == 2 && c.duplicate(p.PacketID) {
			return err
		}
	}
	m := &s.input.message
	*m = message{} // then set field by field: a literal would be built elsewhere and copied here
	m.topic, m.payload, m.props, m.qos, m.retain = r.topic, p.Payload, p.Props, p.QoS, p.Retain
	m.read, m.from = s.now, c.session.source
	if p.HasExpiry {
		m.expires = max(s.now+int64(p.Expiry)*int64(time.Second), 1)
	}
	if r.reserved && r.topic == authTopic {
		c.onToken(p)
		return nil
	}
	code, asked := wire.Success, r
	if r.reserved || !c.mayPublish(r).takes(p.QoS, p.Retain) {
		code = wire.NotAuthorized
		c.logDenied("publish", r.topic)
	} else if s.b.hooks.interceptors != nil {
		r, code = c.intercept(m, r)
	}
	if code != wire.Success {
		c.turnDown(p, code)
		c.tellDenied(asked.topic, p.QoS, code)
		return nil
	}
	c.accept(m, r, p.PacketID)
	s.relieve()
	return nil
}

// topicOf resolves the topic alias, if there is one [MQTT-3.3.2-8], and returns the route of the topic.
func (c *conn) topicOf(p *wire.Publish) (*route, error) {
	if p.Alias == 0 {
		return c.shard.topics.find(p.Topic)
	}
	if int(p.Alias) > c.b.limits.TopicAliasMaximum {
		return nil, errAliasInvalid
	}
	if len(p.Topic) == 0 {
		if int(p.Alias) > len(c.input.aliases) || c.input.aliases[p.Alias-1] == nil {
			return nil, errAliasUnknown
		}
		return c.input.aliases[p.Alias-1], nil
	}
	r, err := c.shard.topics.find(p.Topic)
	if err != nil {
		return nil, err
	}
	for len(c.input.aliases) < int(p.Alias) {
		c.input.aliases = append(c.input.aliases, nil)
	}
	c.input.aliases[p.Alias-1] = r
	return r, nil
}

// admitQoS enforces the Receive Maximum that the client was sent [MQTT-3.3.4-7]. A client that was sent none is read more slowly instead.
func (c *conn) admitQoS(p *wire.Publish) error {
	if int(c.acks.pubacks)+c.session.unreleased.len() < c.b.limits.ReceiveMaximum {
		return nil
	}
	if _, again := c.session.unreleased.get(p.PacketID); again {
		return nil
	}
	if c.version == wire.V5 {
		return errReceiveMaximum
	}
	if len(c.acks.held) > 0 {
		c.setPause(pauseAcks, true)
	}
	return nil
}

// duplicate answers a QoS 2 message with a known packet identifier without delivering it again [MQTT-4.3.3-10]. A message of
// an earlier connection may not be on disk yet.
func (c *conn) duplicate(id uint16) bool {
	r, known := c.session.unreleased.get(id)
	if !known {
		return false
	}
	if r.txn != nil {
		r.txn.await(c, wire.TypePubrec, id)
	}
	c.answer(wire.TypePubrec, id, wire.Success, r.txn != nil)
	return true
}

// mayPublish asks the authorizers once per topic and connection, and again after the rules change.
func (c *conn) mayPublish(r *route) Grant {
	if len(c.b.hooks.authorizers) == 0 {
		return Grant{Allowed: true, MaxQoS: 2, Retain: true}
	}
	gen := c.b.live.rulesGen.Load()
	p := c.identity.allowed
	if p == nil {
		p = new(permissions)
		c.identity.allowed = p
	}
	if p.last == r && p.gen == gen {
		return p.grant
	}
	if p.gen != gen || len(p.byTopic) >= maxPermissions {
		p.gen = gen
		clear(p.byTopic)
	}
	key := maphash.String(topicSeed, r.topic)
	g, known := p.byTopic[key]
	if !known {
		g = c.b.grant(c.identity.client, Publish, r.topic)
		if p.byTopic == nil {
			p.byTopic = make(map[uint64]Grant)
		}
		p.byTopic[key] = g
	}
	p.last, p.grant = r, g
	return g
}

// topicSeed is unknown to clients, so that they cannot find two topics with the same hash.
var topicSeed = maphash.MakeSeed()

// permissions caches the authorizers' answers for a connection's topics.
type permissions struct {
	gen     uint64 // generation of the rules
	last    *route
	grant   Grant            // for last
	byTopic map[uint64]Grant // by the topic's hash, so that no topics are kept
}

const maxPermissions = 1024

// intercept passes a message to the hooks, which may change or refuse it.
func (c *conn) intercept(m *message, r *route) (*route, byte) {
	s := c.shard
	p, err := m.public(s.now)
	if err != nil {
		return nil, wire.MalformedPacket
	}
	for _, h := range s.b.hooks.interceptors {
		var refusal *Refusal
		if err := h.InterceptPublish(c.identity.client, &p); errors.As(err, &refusal) {
			return nil, refusal.Code
		} else if err != nil {
			return nil, wire.ImplementationSpecificError
		}
	}
	if p.Topic != m.topic {
		if r, err = s.topics.find([]byte(p.Topic)); err != nil || r.reserved {
			return nil, wire.TopicNameInvalid
		}
	}
	if s.b.limits.refuses(p.ResponseTopic) {
		return nil, wire.TopicNameInvalid
	}
	from, qos := m.from, m.qos
	if *m, err = p.internal(s.now); err != nil {
		return nil, wire.ImplementationSpecificError
	}
	m.topic, m.from, m.qos = r.topic, from, qos
	return r, wire.Success
}

// turnDown drops a message. MQTT has no error for a 3.x client, which gets its normal acknowledgement [MQTT-3.3.5-2].
func (c *conn) turnDown(p *wire.Publish, code byte) {
	c.shard.stats.dropped[dropNotAuthorized]++
	switch {
	case p.QoS == 1:
		c.answer(wire.TypePuback, p.PacketID, code, false)
	case p.QoS == 2:
		if c.version != wire.V5 {
			c.session.unreleased.set(unreleasedID{id: p.PacketID})
			c.session.save(savingFlow)
		}
		c.answer(wire.TypePubrec, p.PacketID, code, false)
	}
}

// mustStore reports whether a QoS 1 or 2 message must be persisted before it is acknowledged.
func (c *conn) mustStore(qos byte, retain bool, r *route) bool {
	return c.b.store != nil && !c.b.options.Relaxed && (retain || r.isDurable() || qos == 2 && c.session.durable != nil)
}

// accept publishes a message and acknowledges it. If the message must be persisted, the acknowledgement waits for the disk.
func (c *conn) accept(m *message, r *route, id uint16) {
	s := c.shard
	if m.qos == 0 {
		s.publish(m, r, c)
		return
	}
	r.interest(s)
	waits := c.mustStore(m.qos, m.retain, r)
	if waits && (s.journal.failing || c.b.diskFull()) { // refuse before delivery, because the publisher will send the message again
		c.close(closeStore)
		return
	}
	code := s.publish(m, r, c)
	if code == wire.QuotaExceeded {
		waits = false
	}
	kind, t := wire.TypePuback, (*txn)(nil)
	if m.qos == 2 {
		kind = wire.TypePubrec
	}
	if waits {
		t = s.openTxn()
		t.await(c, kind, id)
		if !m.retain {
			t.acks[len(t.acks)-1].m = m.stored
		}
		c.input.stores = true
		s.throttle(c)
	}
	if m.qos == 2 && code < 0x80 {
		c.session.unreleased.set(unreleasedID{id: id, txn: t})
		c.session.saveNow(savingFlow)
	}
	c.answer(kind, id, code, waits)
}

// reconsider finds subscriptions made while a message was being retained. Their replay left it out as a later message.
func (s *shard) reconsider(m *message, r *route, from *conn) {
	s.topics.settled = nil
	r.interest(s)
	if m.qos > 0 && m.stored == nil && r.isDurable() {
		m.own, m.stored = nil, s.newStored(m) // the retained copy must not refer to the stored message
		m.stored.retries = from == nil
	}
}

// publish stores a retained message and delivers the message to all subscribers. from is the publisher's connection, or nil.
// It returns the reason code for the publisher of a QoS 1 or 2 message, as far as it is known now.
func (s *shard) publish(m *message, r *route, from *conn) (code byte) {
	r.interest(s)
	s.turns.budget.work += r.work
	if m.qos > 0 && r.isDurable() {
		m.stored = s.newStored(m)
		m.stored.retries = from == nil
	}
	if m.retain {
		if !s.retain(m) && s.turnsDownUnretained(m, from) {
			return wire.QuotaExceeded
		}
		s.reconsider(m, r, from)
	}
	if len(r.groups) > 0 {
		s.dispatchAll(m, r, from)
	}
	for set := r.shards; set != 0; set &= set - 1 {
		i := bits.TrailingZeros64(uint64(set))
		if i == s.index {
			continue
		}
		s.hand(s.b.shards[i], m, nil, r.work, r.matches)
		if s.pressure.choked[i] != chokeNone {
			s.holdBack(from, i, r.work)
		}
	}
	s.fan.fate = 0
	if r.shards.has(s.index) {
		s.deliverTo(m, r)
	}
	switch isLocal := len(r.groups) == 0 && r.shards == 1<<s.index; {
	case r.shards == 0 && len(r.groups) == 0:
		return wire.NoMatchingSubscribers
	case isLocal && !m.retain && from != nil && from.version == wire.V5 && isRefused(s.fan.fate):
		return wire.QuotaExceeded
	}
	return wire.Success
}

// turnsDownUnretained reports whether a message that could not be retained for lack of room is refused, because its publisher
// can be sent the error. Otherwise the message goes to the current subscribers, and $me/dropped informs the publisher that it
// was not retained.
func (s *shard) turnsDownUnretained(m *message, from *conn) bool {
	isTold := from != nil && m.qos > 0 && from.version == wire.V5
	if from == nil || isTold {
		s.stats.dropped[dropRetainedFull]++
		return isTold
	}
	from.session.lost(dropRetainedFull)
	return false
}
