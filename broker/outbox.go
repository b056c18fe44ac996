package broker

import (
	"github.com/outcry-mqtt/outcry/internal/poller"
	"github.com/outcry-mqtt/outcry/internal/websocket"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// span is a range of bytes in the turn's shared frames.
type span struct{ start, end uint32 }

func (x span) len() int { return int(x.end - x.start) }

// outbox holds the unsent output of a connection, in the order wire, shared, buf. While all subscribers get the same frames,
// it is only a span of them and copies nothing. It gets a buffer for its own packets only, and an idle one has none.
type outbox struct {
	wire   *backlog // ready for the socket, WebSocket frames included; nil: nothing
	shared span     // span of the shard's frames, valid until the end of the turn
	buf    []byte   // packets
}

// share adds a shared frame.
func (o *outbox) share(s *shard, f span) {
	switch {
	case len(o.buf) > 0:
		o.buf = append(o.buf, s.enc.frames[f.start:f.end]...)
		s.enc.pending += f.len()
	case o.shared.end == 0:
		o.shared = f
	case o.shared.end == f.start:
		o.shared.end = f.end
	default:
		*o.own(s) = append(o.buf, s.enc.frames[f.start:f.end]...)
		s.enc.pending += f.len()
	}
}

// own returns the connection's own buffer, to append packets. It first copies the shared span into it.
func (o *outbox) own(s *shard) *[]byte { return o.unshare(s, s.enc.frames) }

// unshare is own with the frames that the outbox's span refers to.
func (o *outbox) unshare(s *shard, frames []byte) *[]byte {
	if o.buf == nil {
		o.buf = s.pools.buffer()
	}
	if o.shared.end != 0 {
		o.buf = append(o.buf, frames[o.shared.start:o.shared.end]...)
		s.enc.pending += o.shared.len()
		o.shared = span{}
	}
	return &o.buf
}

// waits returns the number of bytes of packets to be written.
func (o *outbox) waits() int { return o.shared.len() + len(o.buf) }

func (o *outbox) empty() bool { return o.wire.len() == 0 && !o.holdsPackets() }

// holdsPackets reports whether there are packets that are not yet ready for the socket.
func (o *outbox) holdsPackets() bool { return o.shared.end != 0 || len(o.buf) > 0 }

// releaseOut returns the buffers of the outbox to the pool.
func (c *conn) releaseOut() {
	c.releaseBacklog()
	c.releasePackets()
}

// releasePackets drops the packets after they were sent or made ready for the socket.
func (c *conn) releasePackets() {
	o := &c.out
	o.shared = span{}
	if o.buf != nil {
		c.shard.pools.recycle(o.buf)
		o.buf = nil
	}
	if c.output.deflates {
		c.ws.deflation.packed, c.ws.deflation.open = false, 0
	}
}

// send adds a packet of the given type to the output of this turn. If the packet exceeds the client's Maximum Packet Size
// [MQTT-3.1.2-24], it closes the connection with Packet too large.
func (c *conn) send(t wire.Type, packet []byte) {
	s := c.shard
	if c.output.maxPacket != 0 && len(packet) > int(c.output.maxPacket) {
		c.closeWith(closeProtocol, wire.PacketTooLarge, "")
		return
	}
	buf := c.own()
	*buf = append(*buf, packet...)
	s.enc.pending += len(packet)
	s.stats.packetsSent[t&15]++
	c.touch()
	c.checkFull()
}

func (c *conn) sendAck(t wire.Type, id uint16, code byte) {
	s := c.shard
	buf := c.own()
	before := len(*buf)
	*buf = wire.AppendAck(*buf, t, c.version, id, code)
	s.enc.pending += len(*buf) - before
	s.stats.packetsSent[t&15]++
	c.touch()
	c.checkFull()
}

// fullBytes is the number of bytes of answers that may wait for a client that does not read. Above it the client is not read either.
const fullBytes = 256 << 10

func (c *conn) checkFull() {
	if c.output.blocked != nil && len(c.out.buf) > fullBytes {
		c.setPause(pauseFull, true)
	}
}

// touch schedules a write at the end of the turn, or writes now if much output waits: a large message to many subscribers
// must reach the first before it is copied for all.
func (c *conn) touch() {
	if len(c.out.buf) > largeBuffer && !c.polled.watchWrite {
		c.flush()
		return
	}
	if !c.output.queuedFlush {
		c.output.queuedFlush = true
		c.shard.conns.dirty = append(c.shard.conns.dirty, c)
	}
}

// flush writes the output of the connection. The rest waits, and the connection's output is blocked.
func (c *conn) flush() {
	s, o := c.shard, &c.out
	if o.wire != nil && !c.flushWire() {
		if o.shared.end != 0 {
			c.unshare()
		}
		return
	}
	if !o.holdsPackets() {
		return
	}
	var head []byte
	lends := o.shared.end != 0
	opcode, data := c.batch()
	if c.ws != nil {
		head = websocket.Header(&s.enc.wsHeader, opcode, len(data))
	}
	n, err := 0, error(nil)
	if lends && c.carrier != nil && s.lend(data) { // it keeps a reference to the data
		n, err = c.writeShared(head, data)
	} else {
		n, err = c.write(head, data)
	}
	if err != nil {
		c.writeFailed()
		return
	}
	c.wrote(n)
	if n < len(head)+len(data) {
		c.blockRest(head, data, n, lends)
		c.block()
	}
	c.releasePackets()
}

// batch returns the packets to write in their final form, with the opcode and reserved bits of their WebSocket frame.
func (c *conn) batch() (opcode byte, data []byte) {
	s, o := c.shard, &c.out
	switch {
	case c.output.deflates && c.ws.deflation.packed:
		return websocket.Binary | websocket.Compressed, c.ws.deflation.finish(c)
	case o.shared.end != 0:
		return websocket.Binary, s.enc.frames[o.shared.start:o.shared.end]
	}
	return websocket.Binary, o.buf
}

// blockRest stores the unsent rest of a header and data after n bytes were written. lends means that data is the turn's
// frames: if the rest is most of them, the connection refers to them, and they are not reused.
func (c *conn) blockRest(head, data []byte, n int, lends bool) {
	s, u := c.shard, c.backlog()
	u.add(s, head[min(n, len(head)):])
	rest := data[max(n-len(head), 0):]
	if lends && s.lend(rest) {
		u.share(rest)
		return
	}
	u.add(s, rest)
}

// lend makes a part of the turn's frames immutable, so that a connection may refer to it. It returns false for a part that is
// better copied, because a reference keeps all of the frames in memory.
func (s *shard) lend(part []byte) bool {
	if len(part) < lentRest || 2*len(part) < max(cap(s.enc.frames), cap(s.enc.packer.blocks)) {
		return false
	}
	s.enc.shared = true
	return true
}

// flushWire writes the ready bytes and reports whether the socket took all of them.
func (c *conn) flushWire() bool {
	s, u := c.shard, c.out.wire
	for len(u.pieces) > 0 {
		data, shared := u.next()
		write := c.write
		if shared {
			write = c.writeShared
		}
		n, err := write(nil, data)
		if err != nil {
			c.writeFailed()
			return false
		}
		c.wrote(n)
		u.took(s, n)
		if n < len(data) {
			c.block()
			return false
		}
	}
	c.releaseBacklog()
	return true
}

// wrote counts n bytes written to the socket.
func (c *conn) wrote(n int) {
	c.shard.stats.bytesSent += uint64(n)
	if c.output.blocked != nil && n > 0 {
		c.output.blocked.wrote = c.shard.now
	}
}

// writeFailed notes that the socket cannot be written to any more. The connection is closed at the end of the turn.
func (c *conn) writeFailed() {
	c.releaseOut()
	if c.state == stateLingering {
		c.release()
		return
	}
	c.shard.doomConn(c, closeIO)
}

// write writes an optional header and data to the socket and returns the number of bytes taken.
func (c *conn) write(head, data []byte) (int, error) {
	switch {
	case c.carrier != nil:
		return c.carrier.write(head, data, false), nil
	case c.output.lowWater:
		return poller.SendFD(c.fd, head, data)
	case len(head) == 0:
		return poller.WriteFD(c.fd, data)
	}
	return poller.WriteTwoFD(c.fd, head, data)
}

// writeShared is write for immutable data, which a carrier need not copy.
func (c *conn) writeShared(head, data []byte) (int, error) {
	if c.carrier != nil {
		return c.carrier.write(head, data, true), nil
	}
	return c.write(head, data)
}
