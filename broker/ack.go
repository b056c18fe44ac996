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
		o.state, o.d = awaitComp, delivery{}
		c.sendAck(wire.TypePubrel, a.PacketID, wire.Success)
	default:
		return errAckState
	}
	return nil
}

// acknowledged ends a message's way to the client, and lets the next one go.
func (c *conn) acknowledged(o *outgoing) {
	c.session.window.settle(o)
	c.shard.stats.inflight--
	c.quota = min(c.quota+1, c.maxQuota) // never above where it began (MQTT 5 4.9)
	c.session.pump()
}

// onPubrel releases a QoS 2 message: its packet identifier may be used anew.
func (c *conn) onPubrel(id uint16) {
	code := wire.Success
	if !c.session.received.remove(id) {
		code = wire.PacketIDNotFound
	}
	c.sendAck(wire.TypePubcomp, id, code)
}

// heldAck is an acknowledgement that waits for the store, or behind one that does: they leave in the order in which the
// messages came [MQTT-4.6.0-2, MQTT-4.6.0-3].
type heldAck struct {
	t     wire.Type
	id    uint16
	code  byte
	ready bool
}

// answer acknowledges a message of the client: at once, or when the store says so.
func (c *conn) answer(t wire.Type, id uint16, code byte, wait bool) {
	if !wait && len(c.acks) == 0 {
		c.sendAck(t, id, code)
		return
	}
	c.acks = append(c.acks, heldAck{t, id, code, !wait})
	if t == wire.TypePuback {
		c.heldPubacks++
	}
}

// whenStored returns what the store is to call for the acknowledgement that is held next.
func (c *conn) whenStored() func(error) {
	n, home := c.ackBase+uint64(len(c.acks)), c.shard
	return func(err error) {
		home.post(call(func(*shard) {
			if c.state == stateOpen {
				c.stored(n, err)
			}
		}))
	}
}

// stored sends every acknowledgement that waits for nothing any more. What could not be stored is not acknowledged: the
// client will send it again.
func (c *conn) stored(n uint64, err error) {
	if err != nil {
		if a := c.acks[n-c.ackBase]; a.t == wire.TypePubrec {
			c.session.received.remove(a.id)
		}
		c.close(closeStore)
		return
	}
	c.acks[n-c.ackBase].ready = true
	sent := 0
	for sent < len(c.acks) && c.acks[sent].ready {
		a := c.acks[sent]
		c.sendAck(a.t, a.id, a.code)
		if a.t == wire.TypePuback {
			c.heldPubacks--
		}
		sent++
	}
	c.ackBase += uint64(sent)
	if c.acks = c.acks[sent:]; len(c.acks) == 0 {
		c.acks = nil
		c.setPause(pauseAcks, false)
	}
}
