package broker

import (
	"encoding/binary"

	"github.com/klauspost/compress/flate"
)

const (
	minDeflate   = 256 // bytes of a payload from which compressing it pays
	deflateLevel = 5   // costs little more than 1 where messages are small
)

// packer is a shard's compressor. Each message that someone gets compressed is compressed once.
type packer struct {
	flate    *flate.Writer // nil until it is used
	blocks   []byte        // the turn's shared frames in blocks, for those who get them so
	payload  sink          // of the message that is being delivered, in blocks; empty: not worth it
	delivery uint64        // of the message that payload and forms are of
	forms    [8]stretch    // of blocks, as in shard.encoded
}

// sink is bytes that are written to.
type sink []byte

func (b *sink) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// packed returns the payload of the message that is being delivered in DEFLATE blocks that end with an empty stored one,
// or nothing if it is not worth it.
func (p *packer) packed(s *shard) []byte {
	if p.delivery == s.delivery {
		return p.payload
	}
	p.delivery = s.delivery
	p.payload = p.payload[:0]
	p.forms = [len(p.forms)]stretch{}
	payload := s.current.payload
	if len(payload) < minDeflate {
		return nil
	}
	p.compress(payload)
	if len(p.payload)+storedHead >= len(payload)-len(payload)/16 {
		p.payload = p.payload[:0]
	}
	return p.payload
}

func (p *packer) compress(payload []byte) {
	if p.flate == nil {
		p.flate, _ = flate.NewWriter(nil, deflateLevel) // fails for a wrong level only
	}
	p.flate.Reset(&p.payload)
	_, _ = p.flate.Write(payload) // a sink takes everything
	_ = p.flate.Flush()
}

// frame returns the blocks of a frame that is shared: all but its payload in a stored block, and the compressed payload. It
// is empty if the payload is not worth compressing.
func (p *packer) frame(s *shard, form int, f stretch) stretch {
	payload := p.packed(s)
	if len(payload) == 0 {
		return stretch{}
	}
	z := &p.forms[form]
	if z.end == 0 {
		start := len(p.blocks)
		head := s.frames[f.start : int(f.end)-len(s.current.payload)]
		p.blocks = append(p.blocks, 0)
		p.blocks = binary.LittleEndian.AppendUint16(p.blocks, uint16(len(head)))
		p.blocks = binary.LittleEndian.AppendUint16(p.blocks, ^uint16(len(head)))
		p.blocks = append(append(p.blocks, head...), payload...)
		*z = stretch{uint32(start), uint32(len(p.blocks))}
	}
	return *z
}

// forget drops the turn's blocks.
func (p *packer) forget() {
	if len(p.blocks) == 0 {
		return
	}
	p.blocks = p.blocks[:0]
	p.forms = [len(p.forms)]stretch{}
	if cap(p.blocks) > 4*logBytes {
		p.blocks = nil
	}
	if cap(p.payload) > 4*largeBuffer {
		p.payload, p.delivery = nil, 0
	}
}

// blocksOf returns the payload of a message in blocks, if it is the one that is being delivered, the connection takes
// blocks and it is worth it. The connection's outbox then holds blocks.
func (c *conn) blocksOf(d *delivery) []byte {
	if !c.deflates || d.m != c.shard.current {
		return nil
	}
	blocks := c.shard.packer.packed(c.shard)
	if len(blocks) == 0 {
		return nil
	}
	c.ws.deflation.pack(c)
	return blocks
}

// sharePacked is outbox.share for a connection that takes blocks.
func (c *conn) sharePacked(d *delivery, f stretch) {
	s, z := c.shard, c.ws.deflation
	if d.m == s.current {
		if blocks := s.packer.frame(s, form(c.version, d), f); blocks.end != 0 {
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
	*buf = append(*buf, s.frames[f.start:f.end]...)
	s.pending += f.len()
}
