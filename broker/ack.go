package broker

import "github.com/outcry-mqtt/outcry/internal/wire"

var errAckState = &wire.Error{Code: wire.ProtocolError, Reason: "acknowledgement of the wrong type for the state of its message (MQTT 5 4.3)"}

// onAck handles an acknowledgement from a client. An unknown packet identifier is no error: the acknowledgement may date from
// before a session was lost. An acknowledgement of the wrong type is a protocol error.
func (c *conn) onAck(t wire.Type, body []byte) error {
	var a wire.Ack
	if err := wire.DecodeAck(t, body, c.version, &a); err != nil {
		return err
	}
	if t == wire.TypePubrel {
		c.onPubrel(a.PacketID)
		return nil
	}
	o := c.session.inflight.find(a.PacketID)
	switch {
	case o == nil && t == wire.TypePubrec && a.Code < 0x80:
		c.sendAck(wire.TypePubrel, a.PacketID, wire.PacketIDNotFound)
	case o == nil:
	case t == wire.TypePuback && o.state == awaitAck,
		t == wire.TypePubcomp && o.state == awaitComp,
		t == wire.TypePubrec && (o.state == awaitRec || o.state == awaitComp) && a.Code >= 0x80: // a failure ends the flow (MQTT 5 4.3.3)
		c.acknowledged(o)
	case t == wire.TypePubrec && (o.state == awaitRec || o.state == awaitComp):
		c.onPubrec(o)
	default:
		return errAckState
	}
	return nil
}

// acknowledged completes a message's delivery and sends the next one.
func (c *conn) acknowledged(o *outgoing) {
	c.session.settle(o)
	c.output.quota = min(c.output.quota+1, c.output.maxQuota) // never above its initial value (MQTT 5 4.9)
	c.session.pump()
}

// onPubrec drops a QoS 2 message that the client has received, and sends PUBREL. In a durable session PUBREL leaves once PUBREC is
// on disk: a client that got PUBREL and, after a crash, the same message would take it for a new one.
func (c *conn) onPubrec(o *outgoing) {
	ss := c.session
	if o.state == awaitRec {
		ss.countInflight(o, -1)
		ss.release(&o.d)
		o.state, o.d = awaitComp, delivery{seq: o.d.seq, qos: 2}
	}
	if ss.durable == nil || c.b.options.Relaxed {
		ss.save(savingFlow)
		c.answer(wire.TypePubrel, o.id, wire.Success, false)
		return
	}
	o.after = ss.saveFlow()
	c.shard.openTxn().await(c, wire.TypePubrel, o.id)
	c.answer(wire.TypePubrel, o.id, wire.Success, true)
}

// onPubrel releases a QoS 2 message. Its packet identifier is free for reuse once the release is on disk.
func (c *conn) onPubrel(id uint16) {
	ss := c.session
	r, known := ss.unreleased.get(id)
	switch {
	case !known:
		c.answer(wire.TypePubcomp, id, wire.PacketIDNotFound, false)
	case ss.durable == nil || c.b.options.Relaxed:
		ss.unreleased.remove(id)
		ss.save(savingFlow)
		c.answer(wire.TypePubcomp, id, wire.Success, false)
	case r.released: // released on an earlier connection, and not on disk yet
		r.txn.await(c, wire.TypePubcomp, id)
		c.answer(wire.TypePubcomp, id, wire.Success, true)
	default:
		t := c.shard.openTxn()
		ss.unreleased.set(unreleasedID{id: id, txn: t, released: true})
		ss.saveNow(savingFlow)
		t.await(c, wire.TypePubcomp, id)
		c.answer(wire.TypePubcomp, id, wire.Success, true)
	}
}

// heldAck is an acknowledgement that waits for the store, or behind one that does. Acknowledgements leave in the order of their
// packets [MQTT-4.6.0-2, MQTT-4.6.0-3].
type heldAck struct {
	t     wire.Type
	id    uint16
	code  byte
	waits bool    // waits for the store
	reply *subAck // SUBACK or UNSUBACK, sent in place of id and code; nil: none
}

// answer acknowledges a client's packet: at once, or, if it waits, when stored is called for it.
func (c *conn) answer(t wire.Type, id uint16, code byte, waits bool) {
	if !waits && len(c.acks.held) == 0 {
		c.sendAck(t, id, code)
		return
	}
	c.hold(heldAck{t: t, id: id, code: code, waits: waits})
	if t == wire.TypePuback {
		c.acks.pubacks++
	}
}

// minHeld is the least number of acknowledgements that may be held. A client within its Receive Maximum and the broker's needs
// fewer than twice the broker's.
const minHeld = 256

// hold holds an acknowledgement. If too many are held the connection is not read until all have been sent: the client alone
// decides how many answers it asks for while the first waits for the store.
func (c *conn) hold(a heldAck) {
	c.acks.held = append(c.acks.held, a)
	if a.reply != nil {
		c.acks.replies += int32(a.reply.size())
	}
	if c.holdsMost() {
		c.setPause(pauseAcks, true)
	}
}

// holdsMost reports whether no more acknowledgements may be held.
func (c *conn) holdsMost() bool {
	return len(c.acks.held) >= max(2*c.b.limits.ReceiveMaximum, minHeld) || c.acks.replies > fullBytes
}

// nextAck returns the number of the next acknowledgement to be held.
func (c *conn) nextAck() uint64 { return c.acks.base + uint64(len(c.acks.held)) }

// ackStored marks held acknowledgement n as safe, and sends all acknowledgements up to the first that still waits. On a store error it
// closes the connection without an acknowledgement: the client sends the packet again.
func (c *conn) ackStored(n uint64, err error) {
	if err != nil {
		c.close(closeStore)
		return
	}
	c.acks.held[n-c.acks.base].waits = false
	sent := 0
	for sent < len(c.acks.held) && !c.acks.held[sent].waits && c.state == stateOpen {
		a := c.acks.held[sent]
		c.acks.held[sent].reply = nil
		sent++
		c.sendHeld(&a)
	}
	c.acks.base += uint64(sent)
	if c.acks.held = c.acks.held[sent:]; len(c.acks.held) == 0 {
		c.acks.held = nil
		c.setPause(pauseAcks, false)
	}
}

func (c *conn) sendHeld(a *heldAck) {
	if a.reply != nil {
		c.acks.replies -= int32(a.reply.size())
		a.reply.send(c)
		return
	}
	c.sendAck(a.t, a.id, a.code)
	if a.t == wire.TypePuback {
		c.acks.pubacks--
	}
}
