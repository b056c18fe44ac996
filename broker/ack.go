package broker

import "github.com/outcry-mqtt/outcry/broker/wire"

var errAckState = &wire.Error{Code: wire.ProtocolError, Reason: "an acknowledgement that its message does not wait for (MQTT 5 4.3)"}

// onAck takes an acknowledgement from a client. One for a packet identifier that is not in use may answer something from
// before a session was lost; one of the wrong kind is an error.
func (c *conn) onAck(t wire.Type, body []byte) error {
	var a wire.Ack
	if err := wire.DecodeAck(t, body, c.version, &a); err != nil {
		return err
	}
	if t == wire.TypePubrel {
		c.onPubrel(a.PacketID)
		return nil
	}
	o := c.session.window.find(a.PacketID)
	switch {
	case o == nil && t == wire.TypePubrec:
		c.sendAck(wire.TypePubrel, a.PacketID, wire.PacketIDNotFound)
	case o == nil:
	case t == wire.TypePuback && o.state == awaitAck,
		t == wire.TypePubcomp && o.state == awaitComp,
		t == wire.TypePubrec && o.state == awaitRec && a.Code >= 0x80:
		c.acknowledged(o)
	case t == wire.TypePubrec && (o.state == awaitRec || o.state == awaitComp):
		c.onPubrec(o)
	default:
		return errAckState
	}
	return nil
}

// acknowledged ends a message's way to the client, and lets the next one go.
func (c *conn) acknowledged(o *outgoing) {
	c.session.settle(o)
	c.quota = min(c.quota+1, c.maxQuota) // never above where it began (MQTT 5 4.9)
	c.session.pump()
}

// onPubrec forgets a QoS 2 message that the client has, and releases its identifier. PUBREL leaves when the disk knows of
// it: a client that got PUBREL and then, after a crash, the message again would take it for a new one.
func (c *conn) onPubrec(o *outgoing) {
	ss := c.session
	if o.state == awaitRec {
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

// onPubrel releases a QoS 2 message: its packet identifier may be used anew, once the disk knows it.
func (c *conn) onPubrel(id uint16) {
	ss := c.session
	r, known := ss.received.get(id)
	switch {
	case !known:
		c.answer(wire.TypePubcomp, id, wire.PacketIDNotFound, false)
	case ss.durable == nil || c.b.options.Relaxed:
		ss.received.remove(id)
		ss.save(savingFlow)
		c.answer(wire.TypePubcomp, id, wire.Success, false)
	case r.released: // on an earlier connection, and the disk does not know it yet
		r.txn.await(c, wire.TypePubcomp, id)
		c.answer(wire.TypePubcomp, id, wire.Success, true)
	default:
		t := c.shard.openTxn()
		ss.received.set(receipt{id: id, txn: t, released: true})
		ss.saveNow(savingFlow)
		t.await(c, wire.TypePubcomp, id)
		c.answer(wire.TypePubcomp, id, wire.Success, true)
	}
}

// heldAck is an acknowledgement that waits for the store, or behind one that does: they leave in the order in which the
// packets came [MQTT-4.6.0-2, MQTT-4.6.0-3].
type heldAck struct {
	t     wire.Type
	id    uint16
	code  byte
	waits bool    // for the store
	reply *subAck // instead of id and code
}

// answer acknowledges a packet of the client: at once, or if it waits when stored is called for it.
func (c *conn) answer(t wire.Type, id uint16, code byte, waits bool) {
	if !waits && len(c.acks) == 0 {
		c.sendAck(t, id, code)
		return
	}
	c.acks = append(c.acks, heldAck{t: t, id: id, code: code, waits: waits})
	if t == wire.TypePuback {
		c.heldPubacks++
	}
}

// nextAck is the number of the acknowledgement that is held next.
func (c *conn) nextAck() uint64 { return c.ackBase + uint64(len(c.acks)) }

// stored tells a held acknowledgement that what it waits for has come to pass, and sends every one that waits no more. What
// could not be stored is not acknowledged: the client will send it again.
func (c *conn) stored(n uint64, err error) {
	if err != nil {
		c.close(closeStore)
		return
	}
	c.acks[n-c.ackBase].waits = false
	sent := 0
	for sent < len(c.acks) && !c.acks[sent].waits && c.state == stateOpen {
		a := c.acks[sent]
		c.acks[sent].reply = nil
		sent++
		c.sendHeld(&a)
	}
	c.ackBase += uint64(sent)
	if c.acks = c.acks[sent:]; len(c.acks) == 0 {
		c.acks = nil
		c.setPause(pauseAcks, false)
	}
}

func (c *conn) sendHeld(a *heldAck) {
	if a.reply != nil {
		a.reply.send(c)
		return
	}
	c.sendAck(a.t, a.id, a.code)
	if a.t == wire.TypePuback {
		c.heldPubacks--
	}
}
