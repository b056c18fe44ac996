package broker

import "encoding/binary"

// rsv1 marks a frame whose message is compressed (RFC 7692 6).
const rsv1 = 0x40

const (
	storedHead  = 5     // bytes of a stored block's header (RFC 1951 3.2.4), where it begins at a byte
	storedBytes = 65535 // what a stored block can hold
	emptyBlock  = 4     // 00 00 FF FF, what an empty stored block ends with, is not sent (RFC 7692 7.2.1)
)

// deflation is what permessage-deflate (RFC 7692) adds to a WebSocket that has agreed to it, without context takeover.
//
// A message to many is compressed once: its payload becomes a row of DEFLATE blocks that refer to nothing before them, so
// that they can be put into anyone's frame. Such a frame holds the blocks of all the messages of a turn, and what only
// this connection is sent (acknowledgements, packet identifiers, topic aliases) between them in stored blocks, as it is.
// A frame without any compressed message is not compressed at all.
type deflation struct {
	// What is sent.
	packed bool // the outbox holds blocks: its stretch is one of the packer's
	open   int  // where the header of the stored block at the outbox's end begins, plus one; 0: there is none

	receiving
}

// own is outbox.own where there may be blocks: packets go into a stored block that is still open.
func (c *conn) own() *[]byte {
	if !c.deflates || !c.ws.deflation.packed {
		return c.out.own(c.shard)
	}
	return c.ws.deflation.own(c)
}

func (z *deflation) own(c *conn) *[]byte {
	buf := c.out.unshare(c.shard, c.shard.packer.blocks)
	if z.open == 0 {
		z.open = len(*buf) + 1
		*buf = append(*buf, make([]byte, storedHead)...)
	}
	return buf
}

// unshare copies what is shared into the outbox's own buffer, because it will not go out in this turn.
func (c *conn) unshare() {
	if c.deflates && c.ws.deflation.packed {
		c.out.unshare(c.shard, c.shard.packer.blocks)
		return
	}
	c.out.own(c.shard)
}

// pack has the outbox hold blocks from now on: what is in it becomes a stored one.
func (z *deflation) pack(c *conn) {
	if z.packed {
		return
	}
	if !c.out.holdsPackets() {
		z.packed = true
		return
	}
	buf := c.out.own(c.shard)
	*buf = insert(*buf, 0, storedHead)
	z.packed, z.open = true, 1
}

// share adds the blocks of a frame that is shared.
func (z *deflation) share(c *conn, f stretch) {
	z.pack(c)
	o := &c.out
	switch {
	case len(o.buf) == 0 && o.shared.end == 0:
		o.shared = f
	case len(o.buf) == 0 && o.shared.end == f.start:
		o.shared.end = f.end
	default:
		blocks := c.shard.packer.blocks
		o.unshare(c.shard, blocks)
		z.add(c, blocks[f.start:f.end])
	}
}

// add adds blocks to the outbox's own buffer.
func (z *deflation) add(c *conn, blocks []byte) {
	z.seal(&c.out)
	c.out.buf = append(c.out.buf, blocks...)
	c.shard.pending += len(blocks)
}

// replacePayload puts blocks where the payload, the last n bytes of the outbox's own buffer, is.
func (z *deflation) replacePayload(c *conn, n int, blocks []byte) {
	c.out.buf = c.out.buf[:len(c.out.buf)-n]
	c.shard.pending -= n
	c.shard.stats.bytesSaved += uint64(n - len(blocks))
	z.add(c, blocks)
}

// seal completes the stored block that is open.
func (z *deflation) seal(o *outbox) {
	if z.open == 0 {
		return
	}
	o.buf = sealStored(o.buf, z.open-1)
	z.open = 0
}

// sealStored fills in the header at b[at:] of a stored block that goes on to the end of b. What one block cannot hold
// becomes several.
func sealStored(b []byte, at int) []byte {
	for {
		n := len(b) - at - storedHead
		size := min(n, storedBytes)
		b[at] = 0
		binary.LittleEndian.PutUint16(b[at+1:], uint16(size))
		binary.LittleEndian.PutUint16(b[at+3:], ^uint16(size))
		if size == n {
			return b
		}
		at += storedHead + size
		b = insert(b, at, storedHead)
	}
}

// insert makes room for n bytes at b[at:].
func insert(b []byte, at, n int) []byte {
	b = append(b, make([]byte, n)...)
	copy(b[at+n:], b[at:])
	return b
}

// finish returns the payload of a compressed frame with everything that is in the outbox. Blocks of the packer end with
// an empty stored block, as a compressed message has to; behind other blocks it is added. Its last four bytes are left out.
func (z *deflation) finish(c *conn) []byte {
	o := &c.out
	switch {
	case o.shared.end != 0:
		return c.shard.packer.blocks[o.shared.start : o.shared.end-emptyBlock]
	case z.open == 0:
		return o.buf[:len(o.buf)-emptyBlock]
	}
	z.seal(o)
	o.buf = append(o.buf, 0)
	return o.buf
}
