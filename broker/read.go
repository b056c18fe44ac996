package broker

import (
	"slices"
	"time"

	"github.com/outcry-mqtt/outcry/broker/wire"
)

// Protocol errors that only a connection's state can tell.
var (
	errNotConnect     = &wire.Error{Code: wire.ProtocolError, Reason: "the first packet is not CONNECT [MQTT-3.1.0-1]"}
	errSecondConnect  = &wire.Error{Code: wire.ProtocolError, Reason: "a second CONNECT [MQTT-3.1.0-2]"}
	errServerPacket   = &wire.Error{Code: wire.ProtocolError, Reason: "a packet that only servers send"}
	errPacketTooLarge = &wire.Error{Code: wire.PacketTooLarge, Reason: "packet larger than the server takes [MQTT-3.2.2-15]"}
	errAuthPacket     = &wire.Error{Code: wire.ProtocolError, Reason: "AUTH without an authentication method [MQTT-4.12.0-7]"}
	errReservedType   = &wire.Error{Code: wire.MalformedPacket, Reason: "packet type 15 is reserved before MQTT 5"}
	errBody           = &wire.Error{Code: wire.MalformedPacket, Reason: "PINGREQ has a body"}
)

// readable reads once, at most readBytes: the next turn reads what is left, after everyone else had theirs. It returns
// false if the connection has left the shard: then it must not be touched any more.
func (c *conn) readable() bool {
	s := c.shard
	if c.state != stateLingering && (c.paused != 0 || c.stores && s.throttle(c)) {
		return true
	}
	n, err := readFD(c.fd, s.rbuf)
	switch {
	case err == errAgain:
	case err != nil:
		c.lost(closeIO)
	case n == 0:
		c.lost(closePeer)
	default:
		return c.received(s.rbuf[:n])
	}
	return true
}

// lost is called when the peer has closed, or its socket has failed.
func (c *conn) lost(r closeReason) {
	if c.state == stateLingering {
		c.release()
		return
	}
	c.close(r)
}

// received takes bytes that were read. They are changed in place and are not kept. It returns false if the connection
// has left the shard: then it must not be touched any more.
func (c *conn) received(data []byte) bool {
	s := c.shard
	s.stats.bytesReceived += uint64(len(data))
	if c.state == stateLingering {
		return true
	}
	if c.deflates {
		c.ws.deflation.budget = readBytes
	}
	if c.ws != nil {
		c.ws.receive(c, data)
	} else {
		c.feed(data)
	}
	return c.handOver()
}

// handOver has the credentials of a CONNECT that was just read checked. It returns false if the connection has left the
// shard for that.
func (c *conn) handOver() bool {
	k := c.connecting
	if k == nil || c.state != stateChecking {
		return true
	}
	c.connecting = nil
	c.depart()
	c.b.authenticate(k)
	return false
}

// depart takes the connection out of the shard and out of everything that the shard would still do with it.
func (c *conn) depart() {
	s := c.shard
	c.flush()
	if c.queuedFlush {
		c.queuedFlush = false
		s.dirty = slices.DeleteFunc(s.dirty, func(other *conn) bool { return other == c })
	}
	c.leave()
}

// feed parses the packets in data, and keeps the beginning of one that is not complete.
func (c *conn) feed(data []byte) {
	held := len(c.in) > 0
	if held && c.paused&pauseRate != 0 {
		c.in = append(c.in, data...)
		return
	}
	if held {
		c.in = append(c.in, data...)
		data = c.in
	}
	rest, err := c.parse(data)
	if err != nil {
		c.fail(err)
		return
	}
	switch {
	case c.state == stateLingering || c.state == stateClosed:
	case len(rest) == 0:
		if held {
			c.shard.recycle(c.in)
		}
		c.in = nil
	case held:
		c.in = c.in[:copy(c.in, rest)]
	default:
		c.in = append(c.shard.buffer(), rest...)
	}
}

// parse handles every complete packet and returns what is left. It stops where the connection leaves the shard to have
// its credentials checked, and where the client has sent more than it may.
func (c *conn) parse(data []byte) (rest []byte, err error) {
	for len(data) > 0 && (c.state == stateOpen || c.state == stateNew) && c.doom == closeNone {
		h, ok, err := c.header(data)
		if err != nil {
			return nil, err
		}
		if !ok {
			return data, nil
		}
		size := h.Size + h.Remaining
		if size > c.mostBytes() {
			return nil, errPacketTooLarge
		}
		if len(data) < size {
			if c.state == stateNew && h.Type != wire.TypeConnect {
				return nil, errNotConnect
			}
			return data, nil
		}
		if c.meter != nil && c.state == stateOpen && !c.meter.takes(h.Type, size) {
			return data, nil
		}
		c.lastRead = c.shard.now / int64(tick) // packets count, not bytes [MQTT-3.1.2-22]
		c.shard.stats.packetsReceived[h.Type&15]++
		if err := c.packet(h, data[h.Size:size:size]); err != nil {
			return nil, err
		}
		data = data[size:]
	}
	return data, nil
}

func (c *conn) header(data []byte) (wire.Header, bool, error) {
	if c.version == wire.V31 {
		return wire.ParseHeaderV31(data)
	}
	return wire.ParseHeader(data)
}

func (c *conn) mostBytes() int {
	if c.state == stateNew {
		return min(c.b.limits.MaxConnectBytes, c.b.limits.MaxPacketBytes)
	}
	return c.b.limits.MaxPacketBytes
}

func (c *conn) packet(h wire.Header, body []byte) error {
	if c.state == stateNew {
		if h.Type != wire.TypeConnect {
			return errNotConnect
		}
		return c.onConnect(body)
	}
	switch h.Type {
	case wire.TypePublish:
		return c.onPublish(h.Flags, body)
	case wire.TypePuback, wire.TypePubrec, wire.TypePubrel, wire.TypePubcomp:
		return c.onAck(h.Type, body)
	case wire.TypeSubscribe:
		return c.onSubscribe(body)
	case wire.TypeUnsubscribe:
		return c.onUnsubscribe(body)
	case wire.TypePingreq:
		if len(body) != 0 {
			return errBody
		}
		c.send(wire.TypePingresp, wire.AppendPingresp(c.shard.suback[:0]))
		return nil
	case wire.TypeDisconnect:
		return c.onDisconnect(body)
	case wire.TypeAuth:
		if c.version != wire.V5 {
			return errReservedType
		}
		return c.onAuth(body)
	case wire.TypeConnect:
		return errSecondConnect
	}
	return errServerPacket
}

// onDisconnect ends the connection as the client wishes (MQTT 5 3.14).
func (c *conn) onDisconnect(body []byte) error {
	var d wire.Disconnect
	if err := wire.DecodeDisconnect(body, c.version, &d); err != nil {
		return err
	}
	if d.HasSessionExpiry {
		if c.session.expiry == 0 && d.SessionExpiry != 0 {
			return errExpiryFromZero
		}
		c.session.setExpiry(seconds(d.SessionExpiry), c.b.limits.MaxSessionExpiry)
	}
	if d.Code == 0 { // a normal end takes the will with it [MQTT-3.14.4-3]
		c.session.will = nil
	}
	c.close(closeClient)
	return nil
}

var errExpiryFromZero = &wire.Error{Code: wire.ProtocolError,
	Reason: "DISCONNECT sets a session expiry where CONNECT had none (MQTT 5 3.14.2.2.2)"}

// seconds is a session expiry interval; all ones mean never (MQTT 5 3.1.2.11.2).
func seconds(n uint32) time.Duration {
	if n == ^uint32(0) {
		return unlimitedTime
	}
	return time.Duration(n) * time.Second
}
