package broker

import "github.com/outcry-mqtt/outcry/broker/wire"

// stretch is a part of the turn's shared frames.
type stretch struct{ start, end uint32 }

func (x stretch) len() int { return int(x.end - x.start) }

// outbox is what a connection still has to be sent, in the order wire, shared, buf. While everyone in a room gets the
// same frames, an outbox is only the stretch of them that is its own: nothing is copied. It gets a buffer when that does
// not do, and an idle one has none.
type outbox struct {
	wire   []byte  // ready for the socket, WebSocket frames included
	shared stretch // of the shard's frames, until the end of the turn
	buf    []byte  // packets
}

// share adds a shared frame.
func (o *outbox) share(s *shard, f stretch) {
	switch {
	case len(o.buf) > 0:
		o.buf = append(o.buf, s.frames[f.start:f.end]...)
		s.pending += f.len()
	case o.shared.end == 0:
		o.shared = f
	case o.shared.end == f.start:
		o.shared.end = f.end
	default:
		*o.own(s) = append(o.buf, s.frames[f.start:f.end]...)
		s.pending += f.len()
	}
}

// own returns the outbox's own buffer to append packets to; what was shared is copied into it first.
func (o *outbox) own(s *shard) *[]byte { return o.unshare(s, s.frames) }

// unshare is own, given what the outbox's stretch is of.
func (o *outbox) unshare(s *shard, frames []byte) *[]byte {
	if o.buf == nil {
		o.buf = s.buffer()
	}
	if o.shared.end != 0 {
		o.buf = append(o.buf, frames[o.shared.start:o.shared.end]...)
		s.pending += o.shared.len()
		o.shared = stretch{}
	}
	return &o.buf
}

// waits is how many bytes of packets wait to be written.
func (o *outbox) waits() int { return o.shared.len() + len(o.buf) }

func (o *outbox) empty() bool { return len(o.wire) == 0 && !o.holdsPackets() }

// holdsPackets tells whether there is something that is not yet ready for the socket.
func (o *outbox) holdsPackets() bool { return o.shared.end != 0 || len(o.buf) > 0 }

// releaseOut gives the outbox's buffers back.
func (c *conn) releaseOut() {
	c.shard.recycle(c.out.wire)
	c.out.wire = nil
	c.releasePackets()
}

// releasePackets forgets the packets, which were sent or are ready for the socket.
func (c *conn) releasePackets() {
	o := &c.out
	o.shared = stretch{}
	if o.buf != nil {
		c.shard.recycle(o.buf)
		o.buf = nil
	}
	if c.deflates {
		c.ws.deflation.packed, c.ws.deflation.open = false, 0
	}
}

// send adds a packet of the given type to what the connection is sent at the end of the turn. A client that does not take
// an answer of its size [MQTT-3.1.2-24] cannot be served, and is told so.
func (c *conn) send(t wire.Type, packet []byte) {
	s := c.shard
	if c.maxPacket != 0 && len(packet) > int(c.maxPacket) {
		c.closeWith(closeProtocol, wire.PacketTooLarge, "")
		return
	}
	buf := c.own()
	*buf = append(*buf, packet...)
	s.pending += len(packet)
	s.stats.packetsSent[t&15]++
	c.touch()
	c.checkFull()
}

// sendAck adds an acknowledgement.
func (c *conn) sendAck(t wire.Type, id uint16, code byte) {
	s := c.shard
	buf := c.own()
	before := len(*buf)
	*buf = wire.AppendAck(*buf, t, c.version, id, code)
	s.pending += len(*buf) - before
	s.stats.packetsSent[t&15]++
	c.touch()
	c.checkFull()
}

// fullBytes is how much of our answers may wait for a peer that does not read before it is not read either.
const fullBytes = 256 << 10

func (c *conn) checkFull() {
	if c.parked != nil && len(c.out.buf) > fullBytes {
		c.setPause(pauseFull, true)
	}
}

// touch has the connection written to at the end of the turn, or now if it has much already: a large message to many
// must not be copied for all of them before the first has it.
func (c *conn) touch() {
	if len(c.out.buf) > largeBuffer && !c.watchWrite {
		c.flush()
		return
	}
	if !c.queuedFlush {
		c.queuedFlush = true
		c.shard.dirty = append(c.shard.dirty, c)
	}
}

// flush writes what the connection has. What the socket does not take waits, and the connection is parked.
func (c *conn) flush() {
	s, o := c.shard, &c.out
	if len(o.wire) > 0 && !c.flushWire() {
		if o.shared.end != 0 {
			c.unshare()
		}
		return
	}
	if !o.holdsPackets() {
		return
	}
	var head []byte
	opcode, data := c.batch()
	if c.ws != nil {
		head = c.ws.header(&s.wsHeader, opcode, len(data))
	}
	n, err := c.write(head, data)
	if err != nil {
		c.writeFailed()
		return
	}
	c.wrote(n)
	if n < len(head)+len(data) {
		c.keepRest(head, data, n)
		c.block()
	}
	c.releasePackets()
}

// batch returns the packets that wait, as they are sent, and with which opcode and bits if they go into a WebSocket's frame.
func (c *conn) batch() (opcode byte, data []byte) {
	s, o := c.shard, &c.out
	switch {
	case c.deflates && c.ws.deflation.packed:
		return opBinary | rsv1, c.ws.deflation.finish(c)
	case o.shared.end != 0:
		return opBinary, s.frames[o.shared.start:o.shared.end]
	}
	return opBinary, o.buf
}

// keepRest keeps what the socket did not take of a header and data of which it took n bytes.
func (c *conn) keepRest(head, data []byte, n int) {
	w := c.shard.buffer()
	if n < len(head) {
		w = append(w, head[n:]...)
		n = len(head)
	}
	c.out.wire = append(w, data[n-len(head):]...)
}

// flushWire writes what is ready, and tells whether all of it was taken.
func (c *conn) flushWire() bool {
	s, o := c.shard, &c.out
	n, err := c.write(nil, o.wire)
	if err != nil {
		c.writeFailed()
		return false
	}
	c.wrote(n)
	if n < len(o.wire) {
		o.wire = o.wire[:copy(o.wire, o.wire[n:])]
		c.block()
		return false
	}
	s.recycle(o.wire)
	o.wire = nil
	return true
}

// wrote counts what the socket took.
func (c *conn) wrote(n int) {
	c.shard.stats.bytesSent += uint64(n)
	if c.parked != nil && n > 0 {
		c.parked.wrote = c.shard.now
	}
}

// writeFailed notes that nothing more can be said to the peer. The connection is closed at the end of the turn.
func (c *conn) writeFailed() {
	c.releaseOut()
	if c.state == stateLingering {
		c.release()
		return
	}
	c.shard.doomConn(c, closeIO)
}

// write passes a header (or none) and data to the socket, which takes what it has room for.
func (c *conn) write(head, data []byte) (int, error) {
	switch {
	case c.carrier != nil:
		return c.carrier.write(head, data), nil
	case c.shallow:
		return sendFD(c.fd, head, data)
	case len(head) == 0:
		return writeFD(c.fd, data)
	}
	return writeFD2(c.fd, head, data)
}
