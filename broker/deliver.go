package broker

import (
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// fanout delivers one message to the shard's subscribers, and collects messages for other shards.
type fanout struct {
	number     uint64         // number of the current message; a session with the same number is already in merged
	conflates  bool           // the topic is a ticker: only its newest message counts
	merged     []delivery     // deliveries of the message, if several filters match
	owners     []*session     // sessions of merged, by the same index
	outcome    outcome        // result of the delivery
	fate       uint32         // outcome on this shard of the PUBLISH being handled
	batches    []*batch       // by shard: this turn's messages for it; nil: none
	dispatches []*dispatching // messages that have not reached all groups of shared subscriptions yet
}

// deliver delivers a message to every subscriber of its topic on this shard.
func (s *shard) deliver(m *message, r *route) {
	r.interest(s)
	s.deliverTo(m, r)
}

// deliverTo delivers a message to a route's subscribers.
func (s *shard) deliverTo(m *message, r *route) {
	audiences := r.lists
	s.begin(m)
	s.fan.conflates = r.policy == Conflate
	receivers := 0
	switch len(audiences) {
	case 0:
	case 1:
		receivers += len(audiences[0].all())
		for subs := audiences[0].all(); len(subs) > 0; {
			some := subs[:min(len(subs), foresight)]
			s.foresee(some)
			for _, sub := range some {
				s.deliverOne(m, sub)
			}
			subs = subs[len(some):]
		}
	default:
		receivers += s.deliverMerged(m, audiences)
	}
	if len(r.paces) > 0 {
		for _, p := range r.paces {
			s.deliverPaced(m, p)
		}
		s.fan.outcome.declined = 0 // a pace accepts everything
		receivers++
	}
	if m.qos > 0 {
		s.settleOutcome(m, receivers)
	}
	s.enc.current, s.fan.conflates = nil, false
}

// foresight is the number of subscribers to prefetch at a time.
const foresight = 16

// foresee reads a little of each subscriber's connection, so that their cache misses overlap.
func (s *shard) foresee(subs []*subscription) {
	n := uint32(0)
	for _, sub := range subs {
		if c := sub.session.conn; c != nil {
			n += c.output.maxPacket + c.out.shared.end
		}
	}
	s.enc.sink = n
}

func (s *shard) begin(m *message) {
	s.fan.number++
	s.fan.outcome = outcome{}
	s.enc.begin(m)
}

// deliverOne delivers a message to a subscriber with one matching subscription.
func (s *shard) deliverOne(m *message, sub *subscription) {
	ss := sub.session
	if sub.noLocal && m.from == ss.source {
		s.fan.outcome.declined++
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
		s.fan.outcome.declined++
		if !ss.ended {
			s.stats.dropped[dropOffline]++
			ss.miss(d)
		}
		return
	}
	ss.conn.deliverQoS0(d)
}

// maxIdentifiers is the largest number of subscription identifiers in a message. With more, a short message to a client with
// thousands of overlapping subscriptions would become a packet of tens of kilobytes.
const maxIdentifiers = 100

// deliverMerged delivers a message when several filters match. A session with several matching subscriptions gets it once, with the
// highest QoS and all identifiers up to maxIdentifiers (MQTT 5 3.3.4). It returns the number of sessions.
func (s *shard) deliverMerged(m *message, audiences []*subscriberList) (receivers int) {
	merged := s.fan.merged[:0]
	owners := s.fan.owners[:0]
	for _, a := range audiences {
		for _, sub := range a.all() {
			if sub.noLocal && m.from == sub.session.source {
				continue
			}
			ss := sub.session
			if ss.seen != s.fan.number {
				ss.seen, ss.merge = s.fan.number, int32(len(merged))
				merged = append(merged, delivery{m: m})
				owners = append(owners, ss)
			}
			d := &merged[ss.merge]
			d.qos = max(d.qos, min(m.qos, sub.qos))
			d.retain = d.retain || m.retain && sub.retain
			switch {
			case sub.id == 0:
			case len(d.ids) < maxIdentifiers:
				d.ids = append(d.ids, sub.id)
			default:
				s.stats.identifiersOmitted++
			}
		}
	}
	for i := range merged {
		s.handDelivery(owners[i], &merged[i])
	}
	receivers = len(merged)
	clear(merged)
	clear(owners)
	s.fan.merged, s.fan.owners = merged[:0], owners[:0]
	return receivers
}

// deliverQoS0 sends a message, or adds it to the blocked output if the socket is full.
func (c *conn) deliverQoS0(d *delivery) {
	s := c.shard
	if !c.isUp() {
		return
	}
	if s.fan.conflates && !c.output.lowWater {
		c.setLowWater()
	}
	if c.output.blocked != nil {
		c.queueBlocked(d)
		return
	}
	if d.m.expired(s.now) {
		c.session.skip(dropExpired)
		return
	}
	if c.output.lagging && c.out.waits() >= lowWaterBatch {
		if c.flush(); c.output.blocked != nil {
			c.queueBlocked(d)
			return
		}
	}
	if d.ids != nil || c.output.aliases != nil || d.m.isLarge() {
		if !c.encode(d, 0, false) {
			c.session.lost(dropTooLarge)
		}
		return
	}
	f := s.enc.frame(c.version, d, s.now)
	if c.output.maxPacket != 0 && f.len() > int(c.output.maxPacket) {
		c.session.lost(dropTooLarge)
		return
	}
	if c.output.deflates {
		c.sharePacked(d, f)
	} else {
		c.out.share(s, f)
	}
	c.sent(0)
	c.touch()
}

// sendPublish sends a QoS 1 or 2 message with its packet identifier. It returns false if the message exceeds the client's Maximum
// Packet Size [MQTT-3.1.2-24].
func (c *conn) sendPublish(d *delivery, id uint16, dup bool) bool {
	s := c.shard
	if d.ids != nil || c.output.aliases != nil || dup || d.m != s.enc.current || d.m.isLarge() {
		return c.encode(d, id, dup)
	}
	f := s.enc.frame(c.version, d, s.now)
	if c.output.maxPacket != 0 && f.len() > int(c.output.maxPacket) {
		return false
	}
	blocks := c.blocksOf(d)
	buf := c.own()
	at := len(*buf)
	*buf = append(*buf, s.enc.frames[f.start:f.end]...)
	p := (*buf)[at:]
	p[0] = p[0]&^6 | d.qos<<1
	hole := wire.PacketIDOffset(p)
	p[hole], p[hole+1] = byte(id>>8), byte(id)
	s.enc.pending += len(p)
	if blocks != nil {
		c.ws.deflation.replacePayload(c, len(d.m.payload), blocks)
	}
	c.sent(d.qos)
	c.touch()
	return true
}

// encode sends a message encoded for this connection alone. It returns false if the packet exceeds the client's Maximum Packet
// Size.
func (c *conn) encode(d *delivery, id uint16, dup bool) bool {
	s, o := c.shard, &c.shard.enc.publish
	d.m.fill(o, s.now)
	o.QoS, o.Retain, o.Dup, o.PacketID, o.SubscriptionIDs = d.qos, d.retain, dup, id, d.ids
	if c.output.aliases != nil {
		c.output.aliases.apply(o, c.output.maxPacket)
	}
	if c.output.maxPacket != 0 && wire.PublishSize(c.version, o) > int(c.output.maxPacket) {
		return false
	}
	if d.m.isLarge() {
		c.sendLarge(d, o)
		c.sent(d.qos)
		return true
	}
	blocks := c.blocksOf(d)
	buf := c.own()
	before := len(*buf)
	*buf = wire.AppendPublish(*buf, c.version, o)
	s.enc.pending += len(*buf) - before
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
	s.turns.sent++
}

// aliases holds a connection's topic aliases set by the broker (MQTT 5 3.3.2.3.4). The first topics get them.
type aliases struct {
	byTopic map[string]uint16
	most    uint16
}

// apply replaces the topic with its alias. A new topic gets an alias if one is free and the packet fits into maxPacket bytes; 0: no
// limit.
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
