package broker

import (
	"errors"
	"math/bits"
	"time"

	"github.com/outcry-mqtt/outcry/broker/wire"
)

var (
	errReceiveMaximum = &wire.Error{Code: wire.ReceiveMaximumExceeded, Reason: "more messages under way than the receive maximum [MQTT-3.3.4-7]"}
	errAliasInvalid   = &wire.Error{Code: wire.TopicAliasInvalid, Reason: "topic alias above the maximum (MQTT 5 3.3.2.3.4)"}
	errAliasUnknown   = &wire.Error{Code: wire.ProtocolError, Reason: "topic alias without a topic (MQTT 5 3.3.2.3.4)"}
)

// onPublish takes a message from a client: who may not publish it, and what is a duplicate, ends here.
func (c *conn) onPublish(flags byte, body []byte) error {
	s, p := c.shard, &c.shard.pub
	if err := wire.DecodePublish(flags, body, c.version, p); err != nil {
		return err
	}
	s.stats.messagesReceived[p.QoS]++
	r, err := c.topicOf(p)
	if err != nil {
		return err
	}
	if p.QoS > 0 {
		if err := c.admitQoS(p); err != nil || p.QoS == 2 && c.duplicate(p.PacketID) {
			return err
		}
	}
	m := &s.incoming
	*m = message{} // and then field by field: a literal would be made elsewhere and copied here
	m.topic, m.payload, m.props, m.qos, m.retain = r.topic, p.Payload, p.Props, p.QoS, p.Retain
	m.read, m.from = s.now, c.session
	if p.HasExpiry {
		m.expires = max(s.now+int64(p.Expiry)*int64(time.Second), 1)
	}
	if r.reserved && r.topic == authTopic {
		c.onToken(p)
		return nil
	}
	code := wire.Success
	if r.reserved || !c.mayPublish(r).takes(p.QoS, p.Retain) {
		code = wire.NotAuthorized
	} else if s.b.interceptors != nil {
		r, code = c.intercept(m, r)
	}
	if code != wire.Success {
		c.turnDown(p, code)
		return nil
	}
	c.accept(m, r, p.PacketID)
	s.relieve()
	return nil
}

// topicOf resolves the topic alias, if there is one [MQTT-3.3.2-8], and finds the topic.
func (c *conn) topicOf(p *wire.Publish) (*route, error) {
	if p.Alias == 0 {
		return c.shard.route(p.Topic)
	}
	if int(p.Alias) > c.b.limits.TopicAliasMaximum {
		return nil, errAliasInvalid
	}
	if len(p.Topic) == 0 {
		if int(p.Alias) > len(c.heard) || c.heard[p.Alias-1] == nil {
			return nil, errAliasUnknown
		}
		return c.heard[p.Alias-1], nil
	}
	r, err := c.shard.route(p.Topic)
	if err != nil {
		return nil, err
	}
	for len(c.heard) < int(p.Alias) {
		c.heard = append(c.heard, nil)
	}
	c.heard[p.Alias-1] = r
	return r, nil
}

// admitQoS holds a client to the receive maximum that it was told [MQTT-3.3.4-7]; one that was not told is read more
// slowly instead.
func (c *conn) admitQoS(p *wire.Publish) error {
	if int(c.heldPubacks)+c.session.received.len() < c.b.limits.ReceiveMaximum {
		return nil
	}
	if _, again := c.session.received.get(p.PacketID); again {
		return nil
	}
	if c.version == wire.V5 {
		return errReceiveMaximum
	}
	if len(c.acks) > 0 {
		c.setPause(pauseAcks, true)
	}
	return nil
}

// duplicate answers a QoS 2 message that is already here without delivering it again [MQTT-4.3.3-10]. One that came on
// an earlier connection may not be on disk yet.
func (c *conn) duplicate(id uint16) bool {
	r, known := c.session.received.get(id)
	if !known {
		return false
	}
	if r.txn != nil {
		r.txn.await(c, wire.TypePubrec, id)
	}
	c.answer(wire.TypePubrec, id, wire.Success, r.txn != nil)
	return true
}

// mayPublish asks the authorizers once per topic and connection, until rules change.
func (c *conn) mayPublish(r *route) Grant {
	if len(c.b.authorizers) == 0 {
		return Grant{Allowed: true, MaxQoS: 2, Retain: true}
	}
	gen := c.b.rulesGen.Load()
	p := c.allowed
	if p == nil {
		p = new(permissions)
		c.allowed = p
	}
	if p.last == r && p.gen == gen {
		return p.grant
	}
	if p.gen != gen || len(p.byRoute) >= maxPermissions {
		p.gen = gen
		clear(p.byRoute)
	}
	g, known := p.byRoute[r]
	if !known {
		g = c.b.grant(c.client, Publish, r.topic)
		if p.byRoute == nil {
			p.byRoute = make(map[*route]Grant)
		}
		p.byRoute[r] = g
	}
	p.last, p.grant = r, g
	return g
}

// permissions is what the authorizers said about a connection's topics.
type permissions struct {
	gen     uint64 // of the rules
	last    *route
	grant   Grant // for last
	byRoute map[*route]Grant
}

const maxPermissions = 1024

// intercept shows a message to the hooks; one of them may change it or say no.
func (c *conn) intercept(m *message, r *route) (*route, byte) {
	s := c.shard
	p, err := m.public(s.now)
	if err != nil {
		return nil, wire.MalformedPacket
	}
	for _, h := range s.b.interceptors {
		var refusal *Refusal
		if err := h.InterceptPublish(c.client, &p); errors.As(err, &refusal) {
			return nil, refusal.Code
		} else if err != nil {
			return nil, wire.ImplementationSpecificError
		}
	}
	if p.Topic != m.topic {
		if r, err = s.route([]byte(p.Topic)); err != nil || r.reserved {
			return nil, wire.TopicNameInvalid
		}
	}
	from, qos := m.from, m.qos
	if *m, err = p.internal(s.now); err != nil {
		return nil, wire.ImplementationSpecificError
	}
	m.topic, m.from, m.qos = r.topic, from, qos
	return r, wire.Success
}

// turnDown drops a message. A 3.x client cannot be told, and gets the acknowledgement that it waits for
// [MQTT-3.3.5-2].
func (c *conn) turnDown(p *wire.Publish, code byte) {
	c.shard.stats.dropped[dropNotAuthorized]++
	switch {
	case p.QoS == 1:
		c.answer(wire.TypePuback, p.PacketID, code, false)
	case p.QoS == 2:
		if c.version != wire.V5 {
			c.session.received.set(receipt{id: p.PacketID})
			c.session.save(savingFlow)
		}
		c.answer(wire.TypePubrec, p.PacketID, code, false)
	}
}

// accept publishes a message and acknowledges it, once it is on disk if it has to be.
func (c *conn) accept(m *message, r *route, id uint16) {
	s := c.shard
	if m.qos == 0 {
		s.publish(m, r, c)
		return
	}
	r.interest(s)
	waits := c.b.store != nil && !c.b.options.Relaxed && (m.retain || r.isKept() || m.qos == 2 && c.session.durable != nil)
	if waits && s.failing { // before anyone gets what will come again
		c.close(closeStore)
		return
	}
	code := wire.Success
	if !s.publish(m, r, c) {
		code = wire.NoMatchingSubscribers
	}
	kind, t := wire.TypePuback, (*txn)(nil)
	if m.qos == 2 {
		kind = wire.TypePubrec
	}
	if waits {
		t = s.openTxn()
		t.await(c, kind, id)
		c.stores = true
		s.throttle(c)
	}
	if m.qos == 2 {
		c.session.received.set(receipt{id: id, txn: t})
		c.session.saveNow(savingFlow)
	}
	c.answer(kind, id, code, waits)
}

// publish takes a message to the retained messages and to everyone who wants it. from is the connection that it was read
// from, or nil. It tells whether anyone wanted the message.
func (s *shard) publish(m *message, r *route, from *conn) bool {
	r.interest(s)
	if m.qos > 0 && r.isKept() {
		m.stored = s.newStored(m)
	}
	if m.retain {
		s.retain(m)
	}
	for _, g := range r.groups {
		s.dispatch(m, g)
	}
	for set := r.shards; set != 0; set &= set - 1 {
		i := bits.TrailingZeros64(uint64(set))
		if i == s.index {
			continue
		}
		s.hand(s.b.shards[i], m, nil)
		s.hold(from, i)
	}
	if r.shards.has(s.index) {
		s.deliver(m, r)
	}
	return r.shards != 0 || len(r.groups) > 0
}
