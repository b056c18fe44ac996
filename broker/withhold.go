package broker

// withhold drops the messages that the session's client may no longer receive: queued messages, unacknowledged messages of an
// earlier connection, and messages that wait for a full socket.
func (ss *session) withhold() {
	b, client := ss.shard.b, ss.conn.identity.client
	ss.queue.filter(ss, func(d *delivery) bool { return b.mayHear(client, d.m.topic) },
		func(d *delivery) {
			ss.forgo(d)
			ss.turnAway(d)
		})
	var ids []uint16 // collected first: dropping a message changes the window
	ss.inflight.eachUnsent(func(o *outgoing) {
		if o.d.m != nil && !b.mayHear(client, o.d.m.topic) {
			ids = append(ids, o.id)
		}
	})
	for _, id := range ids {
		ss.retract(ss.inflight.find(id))
	}
	if p := ss.conn.output.blocked; p != nil {
		p.filter(ss, func(m *message) bool { return isOwn(m.topic) || b.mayHear(client, m.topic) })
	}
}

// turnAway drops a message that the client may not receive. A message of a lost shared subscription goes to another member (MQTT 5 4.8.2).
func (ss *session) turnAway(d *delivery) {
	g := d.m.group
	if g != nil && !d.lost() && g.hasMembers() && ss.subs.get(subscriptionKey{g.name, g.filter}) == nil {
		ss.shard.redeliver(d)
		ss.release(d)
		return
	}
	ss.drop(d, dropNotAuthorized)
}

// retract ends the delivery of a message not yet sent on this connection. If the client may already have the packet
// identifier of a QoS 2 message, PUBREL frees it on both sides.
func (ss *session) retract(o *outgoing) {
	ss.countInflight(o, -1)
	if o.state == awaitRec && o.sent {
		ss.drop(&o.d, dropNotAuthorized)
		o.d, o.state = delivery{seq: o.d.seq, qos: 2}, awaitComp
		if ss.durable != nil {
			o.after = ss.saveFlow()
		}
		return
	}
	ss.turnAway(&o.d)
	o.d = delivery{qos: o.d.qos}
	ss.settle(o)
}

// filter drops the messages for which ok returns false.
func (p *blockedOutput) filter(ss *session, ok func(*message) bool) {
	for i := p.head; i < len(p.items); i++ {
		if m := p.items[i].m; m != nil && !ok(m) {
			p.take(i)
			ss.skip(dropNotAuthorized)
		}
	}
	if len(p.items)-p.head > p.count {
		p.renewExpiries()
	}
}
