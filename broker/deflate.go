package broker

import "github.com/outcry-mqtt/outcry/internal/websocket"

// deflation is a WebSocket's permessage-deflate state (RFC 7692), without context takeover.
//
// A message to many subscribers is compressed once. Its payload becomes DEFLATE blocks without references to earlier data, so they
// fit into any connection's frame. A frame holds the blocks of all messages of a turn. Bytes of this connection alone
// (acknowledgements, packet identifiers, topic aliases) lie between them, uncompressed, in stored blocks. A frame without a
// compressed message is not compressed at all.
type deflation struct {
	// Output.
	packed bool // the outbox holds blocks: its span refers to the packer's blocks
	open   int  // offset plus one of the open stored block's header at the outbox's end; 0: none

	receiving
}

// own returns the buffer for the connection's own packets. If the outbox holds blocks, they go into an open stored block.
func (c *conn) own() *[]byte {
	if !c.output.deflates || !c.ws.deflation.packed {
		return c.out.own(c.shard)
	}
	return c.ws.deflation.own(c)
}

func (z *deflation) own(c *conn) *[]byte {
	buf := c.out.unshare(c.shard, c.shard.enc.packer.blocks)
	if z.open == 0 {
		z.open = len(*buf) + 1
		*buf = append(*buf, make([]byte, websocket.StoredHead)...)
	}
	return buf
}

// unshare copies shared bytes into the outbox's own buffer, because they are not sent in this turn.
func (c *conn) unshare() {
	if c.output.deflates && c.ws.deflation.packed {
		c.out.unshare(c.shard, c.shard.enc.packer.blocks)
		return
	}
	c.out.own(c.shard)
}

// pack makes the outbox hold blocks from now on. Its packets become a stored block.
func (z *deflation) pack(c *conn) {
	if z.packed {
		return
	}
	if !c.out.holdsPackets() {
		z.packed = true
		return
	}
	buf := c.out.own(c.shard)
	*buf = websocket.Insert(*buf, 0, websocket.StoredHead)
	z.packed, z.open = true, 1
}

// share adds the blocks of a shared frame.
func (z *deflation) share(c *conn, f span) {
	z.pack(c)
	o := &c.out
	switch {
	case len(o.buf) == 0 && o.shared.end == 0:
		o.shared = f
	case len(o.buf) == 0 && o.shared.end == f.start:
		o.shared.end = f.end
	default:
		blocks := c.shard.enc.packer.blocks
		o.unshare(c.shard, blocks)
		z.add(c, blocks[f.start:f.end])
	}
}

// add appends blocks to the outbox's own buffer.
func (z *deflation) add(c *conn, blocks []byte) {
	z.seal(&c.out)
	c.out.buf = append(c.out.buf, blocks...)
	c.shard.enc.pending += len(blocks)
}

// replacePayload replaces the payload, the last n bytes of the outbox's own buffer, with blocks.
func (z *deflation) replacePayload(c *conn, n int, blocks []byte) {
	c.out.buf = c.out.buf[:len(c.out.buf)-n]
	c.shard.enc.pending -= n
	c.shard.stats.bytesSaved += uint64(n - len(blocks))
	z.add(c, blocks)
}

func (z *deflation) seal(o *outbox) {
	if z.open == 0 {
		return
	}
	o.buf = websocket.SealStored(o.buf, z.open-1)
	z.open = 0
}

// finish returns the outbox as the payload of a compressed frame. A compressed message ends with an empty stored block without its
// last four bytes: the packer's blocks already have one, and finish adds it behind other blocks.
func (z *deflation) finish(c *conn) []byte {
	o := &c.out
	switch {
	case o.shared.end != 0:
		return c.shard.enc.packer.blocks[o.shared.start : o.shared.end-websocket.EmptyBlock]
	case z.open == 0:
		return o.buf[:len(o.buf)-websocket.EmptyBlock]
	}
	z.seal(o)
	o.buf = append(o.buf, 0)
	return o.buf
}
