package broker

import (
	"github.com/outcry-mqtt/outcry/broker/wire"
)

// deliver gives a message to every subscriber of its topic on this shard.
func (s *shard) deliver(m *message, r *route) {
	r.interest(s)
	audiences := r.audiences
	s.begin(m)
	s.ticking = r.policy == Conflate
	switch len(audiences) {
	case 0:
	case 1:
		for subs := audiences[0].all(); len(subs) > 0; {
			some := subs[:min(len(subs), foresight)]
			s.foresee(some)
			for _, sub := range some {
				s.deliverOne(m, sub)
			}
			subs = subs[len(some):]
		}
	default:
		s.deliverMerged(m, audiences)
	}
	for _, p := range r.paces {
		s.deliverPaced(m, p)
	}
	s.current, s.ticking = nil, false
}

// foresight is how many subscribers are looked at before the first of them is given a message.
const foresight = 16

// foresee reads a little of each subscriber's connection. One by one, their memory would be waited for as often; like this the
// processor fetches it all at once.
func (s *shard) foresee(subs []*subscription) {
	n := uint32(0)
	for _, sub := range subs {
		if c := sub.session.conn; c != nil {
			n += c.maxPacket + c.out.shared.end
		}
	}
	s.foreseen = n
}

// begin makes m the message whose frames are shared.
func (s *shard) begin(m *message) {
	s.delivery++
	s.current = m
	s.encoded = [len(s.encoded)]stretch{}
}

// deliverOne gives a message to a subscriber with one matching subscription.
func (s *shard) deliverOne(m *message, sub *subscription) {
	ss := sub.session
	if sub.noLocal && m.from == ss {
		return
	}
	d := delivery{m: m, qos: min(m.qos, sub.qos), retain: m.retain && sub.retain}
	if sub.id != 0 {
		d.ids = []uint32{sub.id}
	}
	s.handDelivery(ss, &d)
}

func (s *shard) handDelivery(ss *session, d *delivery) {
	if d.qos > 0 {
		ss.enqueue(d)
		return
	}
	if ss.conn == nil {
		s.stats.dropped[dropOffline]++
		return
	}
	ss.conn.deliverQoS0(d)
}

// deliverMerged gives a message to subscribers of whom some have several matching subscriptions: they get it once, with
// the highest QoS and all the identifiers (MQTT 5 3.3.4).
func (s *shard) deliverMerged(m *message, audiences []*audience) {
	merged := s.merged[:0]
	owners := s.owners[:0]
	for _, a := range audiences {
		for _, sub := range a.all() {
			if sub.noLocal && m.from == sub.session {
				continue
			}
			ss := sub.session
			if ss.seen != s.delivery {
				ss.seen, ss.merge = s.delivery, int32(len(merged))
				merged = append(merged, delivery{m: m})
				owners = append(owners, ss)
			}
			d := &merged[ss.merge]
			d.qos = max(d.qos, min(m.qos, sub.qos))
			d.retain = d.retain || m.retain && sub.retain
			if sub.id != 0 {
				d.ids = append(d.ids, sub.id)
			}
		}
	}
	for i := range merged {
		s.handDelivery(owners[i], &merged[i])
	}
	clear(merged)
	clear(owners)
	s.merged, s.owners = merged[:0], owners[:0]
}

// form is the ways in which one frame can be shared: by version, RETAIN flag and QoS.
func form(version byte, d *delivery) int {
	f := 0
	if version == wire.V5 {
		f = 1
	}
	if d.retain {
		f |= 2
	}
	if d.qos > 0 {
		f |= 4
	}
	return f
}

// frame returns the message as every subscriber of this form is sent it, encoded once into the turn's frames. A QoS 1
// or 2 message has a hole for the packet identifier. QoS 1 and 2 are told apart by the first byte, which is set when
// the frame is copied.
func (s *shard) frame(version byte, d *delivery) stretch {
	f := &s.encoded[form(version, d)]
	if f.end == 0 {
		start := len(s.frames)
		o := &s.outgo
		d.m.fill(o, s.now)
		o.QoS, o.Retain = d.qos, d.retain
		s.frames = wire.AppendPublish(s.frames, version, o)
		*f = stretch{uint32(start), uint32(len(s.frames))}
	}
	return *f
}

// deliverQoS0 sends a message, or has it wait if the socket is full.
func (c *conn) deliverQoS0(d *delivery) {
	s := c.shard
	if c.state != stateOpen {
		return
	}
	if s.ticking && !c.shallow {
		c.makeShallow()
	}
	if c.parked != nil {
		c.park(d)
		return
	}
	if d.m.expired(s.now) {
		c.session.skip(dropExpired)
		return
	}
	if c.lagging && c.out.waits() >= shallowBatch {
		if c.flush(); c.parked != nil {
			c.park(d)
			return
		}
	}
	if d.ids != nil || c.aliases != nil {
		if !c.encode(d, 0, false) {
			c.session.lost(dropTooLarge)
		}
		return
	}
	f := s.frame(c.version, d)
	if c.maxPacket != 0 && f.len() > int(c.maxPacket) {
		c.session.lost(dropTooLarge)
		return
	}
	if c.deflates {
		c.sharePacked(d, f)
	} else {
		c.out.share(s, f)
	}
	c.sent(0)
	c.touch()
}

// sendPublish sends a QoS 1 or 2 message with its packet identifier. It returns false if the message is larger than the
// client takes [MQTT-3.1.2-24].
func (c *conn) sendPublish(d *delivery, id uint16, dup bool) bool {
	s := c.shard
	if d.ids != nil || c.aliases != nil || dup || d.m != s.current {
		return c.encode(d, id, dup)
	}
	f := s.frame(c.version, d)
	if c.maxPacket != 0 && f.len() > int(c.maxPacket) {
		return false
	}
	blocks := c.blocksOf(d)
	buf := c.own()
	at := len(*buf)
	*buf = append(*buf, s.frames[f.start:f.end]...)
	p := (*buf)[at:]
	p[0] = p[0]&^6 | d.qos<<1
	hole := wire.PacketIDOffset(p)
	p[hole], p[hole+1] = byte(id>>8), byte(id)
	s.pending += len(p)
	if blocks != nil {
		c.ws.deflation.replacePayload(c, len(d.m.payload), blocks)
	}
	c.sent(d.qos)
	c.touch()
	return true
}

// encode sends a message in an encoding of the connection's own. It returns false if that is larger than the client
// takes.
func (c *conn) encode(d *delivery, id uint16, dup bool) bool {
	s, o := c.shard, &c.shard.outgo
	d.m.fill(o, s.now)
	o.QoS, o.Retain, o.Dup, o.PacketID, o.SubscriptionIDs = d.qos, d.retain, dup, id, d.ids
	if c.aliases != nil {
		c.aliases.apply(o, c.maxPacket)
	}
	if c.maxPacket != 0 && wire.PublishSize(c.version, o) > int(c.maxPacket) {
		return false
	}
	blocks := c.blocksOf(d)
	buf := c.own()
	before := len(*buf)
	*buf = wire.AppendPublish(*buf, c.version, o)
	s.pending += len(*buf) - before
	if blocks != nil {
		c.ws.deflation.replacePayload(c, len(o.Payload), blocks)
	}
	c.sent(d.qos)
	c.touch()
	return true
}

func (c *conn) sent(qos byte) {
	s := c.shard
	s.stats.messagesSent[qos]++
	s.stats.packetsSent[wire.TypePublish]++
	s.turnSent++
}

// aliases is the topic aliases that we have set on a connection (MQTT 5 3.3.2.3.4): the first topics get them.
type aliases struct {
	byTopic map[string]uint16
	most    uint16
}

// apply puts an alias in the place of the topic where there is one, or sets one if there is room for it and in the
// packet.
func (a *aliases) apply(o *wire.Outgoing, maxPacket uint32) {
	if alias, known := a.byTopic[o.Topic]; known {
		o.Alias, o.Topic = alias, ""
		return
	}
	if len(a.byTopic) >= int(a.most) {
		return
	}
	o.Alias = uint16(len(a.byTopic) + 1)
	if maxPacket != 0 && wire.PublishSize(wire.V5, o) > int(maxPacket) {
		o.Alias = 0
		return
	}
	if a.byTopic == nil {
		a.byTopic = make(map[string]uint16)
	}
	a.byTopic[o.Topic] = o.Alias
}
