package broker

import (
	"time"

	"github.com/outcry-mqtt/outcry/internal/websocket"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

const (
	// largeMessage is the size of payload and properties from which a message is not copied into outboxes.
	largeMessage = 64 << 10
	// largeProps is the size from which properties are written without a copy.
	largeProps = 16 << 10
	// lentRest is the number of bytes from which a blocked connection may refer to the unsent rest of a turn's frames; a shorter
	// rest is copied.
	lentRest = 16 << 10
	// largeTime is a shard's time in a turn for writing large messages as they are delivered. The kernel copies a megabyte for each
	// subscriber, and other clients must not wait for all of them.
	largeTime = 10 * time.Millisecond
)

// isLarge reports whether the message is written without a copy.
func (m *message) isLarge() bool { return len(m.payload)+len(m.props) >= largeMessage }

// sendLarge writes a large message at once, or when the socket is next found writable if the turn's largeTime is used up. Unsent
// bytes refer to a copy of the message that all connections share.
func (c *conn) sendLarge(d *delivery, o *wire.Outgoing) {
	s := c.shard
	if c.flush(); !c.isUp() {
		return
	}
	blocks := c.largeBlocks(d)
	head, data := c.largeHead(o, blocks), o.Payload
	if blocks != nil {
		data = blocks
		s.stats.bytesSaved += uint64(max(len(o.Payload)-len(blocks), 0))
	}
	if blocked := c.out.wire.len() > 0; blocked || len(data) == 0 || c.sharesProps(o) {
		c.blockLarge(d, head, blocks != nil, 0)
		if !blocked {
			c.flushWire()
		}
		return
	}
	if c.carrier != nil { // the carrier refers to the bytes later
		data = s.ownBytes(d.m, blocks != nil)
	}
	n, began := 0, s.b.clock.now()
	if c.carrier != nil || s.turns.large < int64(largeTime) {
		var err error
		if n, err = c.writeShared(head, data); err != nil {
			c.writeFailed()
			return
		}
		c.wrote(n)
		s.turns.large += s.b.clock.now() - began
	}
	if n < len(head)+len(data) {
		c.blockLarge(d, head, blocks != nil, n)
		c.block()
	}
}

// largeBlocks returns the payload in DEFLATE blocks, without the bytes that end a message (websocket.EmptyBlock); nil: it is sent
// uncompressed.
func (c *conn) largeBlocks(d *delivery) []byte {
	if !c.output.deflates || d.m != c.shard.enc.current || len(d.m.props) >= largeProps {
		return nil
	}
	blocks := c.shard.enc.packer.packed(c.shard)
	if len(blocks) == 0 {
		return nil
	}
	return blocks[:len(blocks)-websocket.EmptyBlock]
}

// sharesProps reports whether the properties are written without a copy, as the payload is.
func (c *conn) sharesProps(o *wire.Outgoing) bool {
	return c.version == wire.V5 && len(o.Props) >= largeProps
}

// largeHead returns all bytes before the shared ones, valid until the next call. blocks is nil for an uncompressed payload.
func (c *conn) largeHead(o *wire.Outgoing, blocks []byte) []byte {
	s := c.shard
	b := s.enc.head[:0]
	b = append(b, s.enc.wsHeader[:]...) // room for the frame's header
	opcode, rest := byte(websocket.Binary), len(o.Payload)
	if c.sharesProps(o) {
		rest += len(o.Props)
	}
	if blocks != nil {
		opcode, rest = websocket.Binary|websocket.Compressed, len(blocks)
		b = append(b, make([]byte, websocket.StoredHead)...)
	}
	b = wire.AppendPublishHead(b, c.version, o)
	if c.version == wire.V5 && !c.sharesProps(o) {
		b = append(b, o.Props...)
	}
	if blocks != nil {
		b = websocket.SealStored(b, websocket.HeaderBytes)
	}
	s.enc.head = b
	if c.ws == nil {
		return b[websocket.HeaderBytes:]
	}
	h := websocket.Header(&s.enc.wsHeader, opcode, len(b)-websocket.HeaderBytes+rest)
	return b[websocket.HeaderBytes-copy(b[websocket.HeaderBytes-len(h):], h):]
}

// blockLarge keeps the unsent bytes of a message of which the socket has accepted n bytes.
func (c *conn) blockLarge(d *delivery, head []byte, packed bool, n int) {
	u := c.backlog()
	u.add(c.shard, head[min(n, len(head)):])
	if c.version == wire.V5 && len(d.m.props) >= largeProps { // then n is 0
		u.share(d.m.ownCopy().props)
	}
	u.share(c.shard.ownBytes(d.m, packed)[max(n-len(head), 0):])
}

// ownBytes returns the shared copy of a message's payload, or of its blocks if packed.
func (s *shard) ownBytes(m *message, packed bool) []byte {
	if packed {
		return s.enc.packer.ownPayload()
	}
	return m.ownCopy().payload
}
