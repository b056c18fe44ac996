package broker

import (
	"slices"

	"github.com/outcry-mqtt/outcry/internal/websocket"
)

// minDeflate is the smallest payload in bytes that is worth compressing.
const minDeflate = 256

// packer is a shard's compressor. It compresses each message once for all subscribers.
type packer struct {
	deflater websocket.Deflater
	blocks   []byte  // the turn's shared frames in DEFLATE blocks
	payload  []byte  // of the current message, in blocks; empty: not worth compressing
	own      []byte  // copy of payload for connections that write it later; nil: none
	delivery uint64  // number of the message in payload and forms
	forms    [8]span // spans of blocks, by form as in shard.encoded
}

// packed returns the payload of the current message in DEFLATE blocks, the last of them an empty stored block. It returns
// nothing if compression does not pay.
func (p *packer) packed(s *shard) []byte {
	if p.delivery == s.fan.number {
		return p.payload
	}
	p.delivery = s.fan.number
	p.payload, p.own = p.payload[:0], nil
	p.forms = [len(p.forms)]span{}
	payload := s.enc.current.payload
	if len(payload) < minDeflate {
		return nil
	}
	p.payload = p.deflater.Append(p.payload, payload)
	if len(p.payload)+websocket.StoredHead >= len(payload)-len(payload)/16 {
		p.payload = p.payload[:0]
	}
	return p.payload
}

// ownPayload returns an immutable copy of the current message's blocks, without the final block that a WebSocket message omits.
func (p *packer) ownPayload() []byte {
	if p.own == nil {
		p.own = slices.Clone(p.payload[:len(p.payload)-websocket.EmptyBlock])
	}
	return p.own
}

// frame returns the blocks of a shared frame: a stored block with everything but the payload, then the compressed payload. It
// is empty if the payload is not worth compressing.
func (p *packer) frame(s *shard, form int, f span) span {
	payload := p.packed(s)
	if len(payload) == 0 {
		return span{}
	}
	z := &p.forms[form]
	if z.end == 0 {
		start := len(p.blocks)
		head := s.enc.frames[f.start : int(f.end)-len(s.enc.current.payload)]
		p.blocks = append(websocket.AppendStored(p.blocks, head), payload...)
		*z = span{uint32(start), uint32(len(p.blocks))}
	}
	return *z
}

// forget drops the turn's blocks. Lent blocks are not reused.
func (p *packer) forget(lent bool) {
	p.own = nil
	if cap(p.payload) > 4*largeBuffer {
		p.payload, p.delivery = nil, 0
	}
	if len(p.blocks) == 0 {
		return
	}
	p.blocks = p.blocks[:0]
	p.forms = [len(p.forms)]span{}
	if lent || cap(p.blocks) > 4*logBytes {
		p.blocks = nil
	}
}

// blocksOf returns the payload of a message in blocks, if it is the current one, the connection takes blocks and compression
// pays. The connection's outbox then holds blocks.
func (c *conn) blocksOf(d *delivery) []byte {
	if !c.output.deflates || d.m != c.shard.enc.current {
		return nil
	}
	blocks := c.shard.enc.packer.packed(c.shard)
	if len(blocks) == 0 {
		return nil
	}
	c.ws.deflation.pack(c)
	return blocks
}

// sharePacked is outbox.share for a connection that takes blocks.
func (c *conn) sharePacked(d *delivery, f span) {
	s, z := c.shard, c.ws.deflation
	if d.m == s.enc.current {
		if blocks := s.enc.packer.frame(s, form(c.version, d), f); blocks.end != 0 {
			s.stats.bytesSaved += uint64(f.len() - blocks.len())
			z.share(c, blocks)
			return
		}
	}
	if !z.packed {
		c.out.share(s, f)
		return
	}
	buf := z.own(c)
	*buf = append(*buf, s.enc.frames[f.start:f.end]...)
	s.enc.pending += f.len()
}
