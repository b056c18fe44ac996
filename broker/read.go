package broker

import (
	"slices"
	"time"

	"github.com/outcry-mqtt/outcry/internal/poller"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// Protocol errors that depend on a connection's state.
var (
	errNotConnect     = &wire.Error{Code: wire.ProtocolError, Reason: "the first packet is not CONNECT [MQTT-3.1.0-1]"}
	errSecondConnect  = &wire.Error{Code: wire.ProtocolError, Reason: "a second CONNECT [MQTT-3.1.0-2]"}
	errServerPacket   = &wire.Error{Code: wire.ProtocolError, Reason: "packet type that only a server may send"}
	errPacketTooLarge = &wire.Error{Code: wire.PacketTooLarge, Reason: "packet larger than the server's maximum packet size [MQTT-3.2.2-15]"}
	errAuthPacket     = &wire.Error{Code: wire.ProtocolError, Reason: "AUTH without an authentication method [MQTT-4.12.0-7]"}
	errReservedType   = &wire.Error{Code: wire.MalformedPacket, Reason: "packet type 15 is reserved before MQTT 5"}
	errBody           = &wire.Error{Code: wire.MalformedPacket, Reason: "PINGREQ has a body"}
)

// inputBuffers holds the packet that a shard is handling, and memory for it.
type inputBuffers struct {
	read     []byte                 // last bytes from a socket
	inflated []byte                 // last inflated bytes
	publish  wire.Publish           // being decoded
	message  message                // made from publish
	filters  subscribing            // the SUBSCRIBE or UNSUBSCRIBE being handled
	partial  map[*conn]*subscribing // unfinished SUBSCRIBEs and UNSUBSCRIBEs of connections that have yielded
	suback   []byte                 // reason codes for the answer
}

// readable reads the socket once, at most readBytes. The rest is read in the next turn, after all other connections. It
// returns false if the connection has left the shard: the caller must not touch it any more.
func (c *conn) readable() bool {
	s := c.shard
	if c.state != stateLingering && (c.input.paused != 0 || c.input.stores && s.throttle(c)) {
		c.watch() // a connection that has yielded is watched until now
		return true
	}
	n, err := poller.ReadFD(c.fd, s.input.read)
	switch {
	case err == poller.ErrAgain:
	case err != nil:
		c.lost(closeIO)
	case n == 0:
		c.lost(closePeer)
	default:
		return c.received(s.input.read[:n])
	}
	return true
}

// lost handles a connection closed by the peer, or a failed socket.
func (c *conn) lost(r closeReason) {
	if c.state == stateLingering {
		c.release()
		return
	}
	c.close(r)
}

// received handles bytes from the socket. It changes them in place and keeps no reference. It returns false if the connection
// has left the shard: the caller must not touch it any more.
func (c *conn) received(data []byte) bool {
	s := c.shard
	s.stats.bytesReceived += uint64(len(data))
	if c.state == stateLingering {
		return true
	}
	if c.output.deflates {
		c.ws.deflation.budget = readBytes
	}
	if c.ws != nil {
		c.ws.receive(c, data)
	} else {
		c.feed(data)
	}
	return c.handOver()
}

// handOver sends the credentials of a CONNECT to a checker. It returns false if the connection has left the shard for that.
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

// depart removes the connection from the shard and from its pending work.
func (c *conn) depart() {
	s := c.shard
	c.flush()
	if c.output.queuedFlush {
		c.output.queuedFlush = false
		s.conns.dirty = slices.DeleteFunc(s.conns.dirty, func(other *conn) bool { return other == c })
	}
	c.leave()
}

// feed parses the packets in data and keeps the start of an incomplete one.
func (c *conn) feed(data []byte) {
	held := len(c.input.partial) > 0
	if held && c.input.paused&(pauseRate|pauseTurn) != 0 {
		c.input.partial = append(c.input.partial, data...)
		return
	}
	if held {
		c.input.partial = append(c.input.partial, data...)
		data = c.input.partial
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
			c.shard.pools.recycle(c.input.partial)
		}
		c.input.partial = nil
	case held:
		c.input.partial = c.input.partial[:copy(c.input.partial, rest)]
	default:
		c.input.partial = append(c.shard.pools.buffer(), rest...)
	}
}

// parse handles every complete packet and returns the rest. It stops when the connection leaves the shard for a check of its
// credentials, when the client is above a limit, and at the end of its slice of the turn.
func (c *conn) parse(data []byte) (rest []byte, err error) {
	s := c.shard
	s.turns.budget.begin(c)
	for len(data) > 0 && (c.state == stateOpen || c.state == stateNew) && c.doom == closeNone {
		if s.turns.budget.work >= s.turns.budget.look && s.spent() || c.input.paused != 0 && c.stops() {
			c.yield()
			return data, nil
		}
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
		if c.input.meter != nil && c.state == stateOpen && !c.input.meter.takes(h.Type, size) {
			return data, nil
		}
		c.input.lastRead = s.now / int64(tick) // packets count, not bytes [MQTT-3.1.2-22]
		s.turns.budget.work += 2
		s.stats.packetsReceived[h.Type&15]++
		err = c.packet(h, data[h.Size:size:size])
		if s.topics.settled != nil {
			s.topics.settled = nil
		}
		if err == errYield {
			s.stats.packetsReceived[h.Type&15]--
			if c.input.meter != nil {
				c.input.meter.paid = true
			}
			c.yield()
			return data, nil
		}
		if err != nil {
			return nil, err
		}
		data = data[size:]
	}
	return data, nil
}

// stops reports whether a paused connection may not handle the packets that it has already sent either.
func (c *conn) stops() bool {
	return c.input.paused&(pauseChoked|pauseGroups|pauseStoring) != 0 || c.holdsMost()
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
		c.send(wire.TypePingresp, wire.AppendPingresp(c.shard.input.suback[:0]))
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

// onDisconnect ends the connection at the client's request (MQTT 5 3.14).
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
	if d.Code == 0 { // a normal DISCONNECT discards the will [MQTT-3.14.4-3]
		c.session.replaceWill(nil)
	}
	c.close(closeClient)
	return nil
}

var errExpiryFromZero = &wire.Error{Code: wire.ProtocolError,
	Reason: "DISCONNECT sets a session expiry interval after CONNECT with 0 (MQTT 5 3.14.2.2.2)"}

// seconds converts a session expiry interval; 0xFFFFFFFF means never (MQTT 5 3.1.2.11.2).
func seconds(n uint32) time.Duration {
	if n == ^uint32(0) {
		return unlimitedTime
	}
	return time.Duration(n) * time.Second
}
