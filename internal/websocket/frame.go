// Package websocket has the frames of WebSockets and their compression as a server needs them (RFC 6455, RFC 7692). It knows no
// connection: it decodes and encodes bytes that its caller reads and writes.
package websocket

import (
	"encoding/binary"
	"unicode/utf8"
)

// Opcodes (RFC 6455 5.2).
const (
	Continuation = 0x0
	Text         = 0x1
	Binary       = 0x2
	Close        = 0x8
	Ping         = 0x9
	Pong         = 0xA
)

// Compressed is the header bit of a compressed message's first frame, RSV1 (RFC 7692 6).
const Compressed = 0x40

// Close codes (RFC 6455 7.4.1).
const (
	Normal      = 1000
	GoingAway   = 1001
	Protocol    = 1002
	Unsupported = 1003
	Invalid     = 1007
	Policy      = 1008
	TooBig      = 1009
	Internal    = 1011
)

const (
	HeaderBytes  = 10  // longest header of a server's frame
	maxHeader    = 14  // longest header of a client's frame
	controlBytes = 125 // most bytes of a control frame's payload (RFC 6455 5.5)
)

// Decoder decodes the frames of a client. Its zero value is ready for a connection without compression.
type Decoder struct {
	left       uint64          // payload bytes of the frame not yet received
	mask       uint64          // the masking key, twice, rotated to the next payload byte
	head       [maxHeader]byte // incomplete header of a frame
	headLen    uint8
	opcode     uint8
	inMessage  bool // a message has begun and not ended
	inFrame    bool
	final      bool
	compressed bool // the message is compressed
}

// Header takes the bytes of a frame's header from data and returns their number. Unless InFrame reports true then, the header is
// incomplete and data used up. code is the close code for an invalid header; 0: none. deflates permits compressed messages.
func (d *Decoder) Header(data []byte, deflates bool) (n int, code uint16) {
	n = copy(d.head[d.headLen:], data)
	have := int(d.headLen) + n
	if have < 2 {
		d.headLen = uint8(have)
		return n, 0
	}
	need := 6
	switch d.head[1] & 0x7F {
	case 126:
		need = 8
	case 127:
		need = 14
	}
	if d.head[1]&0x80 == 0 {
		return n, Protocol // a client must mask its frames (RFC 6455 5.1)
	}
	if have < need {
		d.headLen = uint8(have)
		return n, 0
	}
	n = need - int(d.headLen)
	d.headLen = 0
	return n, d.begin(d.head[:need], deflates)
}

// begin checks a complete header (RFC 6455 5.2, 5.4, 5.5).
func (d *Decoder) begin(h []byte, deflates bool) (code uint16) {
	d.final, d.opcode = h[0]&0x80 != 0, h[0]&0x0F
	compressed := h[0]&Compressed != 0
	if h[0]&0x30 != 0 || compressed && (!deflates || d.opcode != Binary && d.opcode != Text) {
		return Protocol // a reserved bit without an extension that defines it here (RFC 7692 6)
	}
	d.left = uint64(h[1] & 0x7F)
	switch d.left {
	case 126:
		d.left = uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		d.left = binary.BigEndian.Uint64(h[2:])
	}
	key := uint64(binary.LittleEndian.Uint32(h[len(h)-4:]))
	d.mask = key | key<<32
	d.inFrame = true
	switch {
	case d.left > 1<<62:
		return Protocol
	case d.IsControl():
		if !d.final || d.left > controlBytes || d.opcode > Pong {
			return Protocol
		}
		return 0
	case d.opcode == Text:
		return Unsupported // [MQTT-6.0.0-1]
	case d.opcode > Binary, (d.opcode == Continuation) != d.inMessage:
		return Protocol
	}
	d.inMessage = !d.final
	if d.opcode == Binary {
		d.compressed = compressed
	}
	return 0
}

// Payload removes the masking of the frame's bytes at the beginning of data, in place, and returns them.
func (d *Decoder) Payload(data []byte) []byte {
	b := data[:min(d.left, uint64(len(data)))]
	d.left -= uint64(len(b))
	d.unmask(b)
	return b
}

// unmask removes the masking, eight bytes at a time.
func (d *Decoder) unmask(b []byte) {
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^d.mask)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(d.mask >> (8 * (i & 3)))
	}
	turn := 8 * (len(b) & 3)
	d.mask = d.mask>>turn | d.mask<<(64-turn)
}

// End ends the frame if its payload is complete, and reports whether it did.
func (d *Decoder) End() bool {
	if d.left > 0 {
		return false
	}
	d.inFrame = false
	return true
}

// InFrame reports whether a header is complete and its frame has not ended.
func (d *Decoder) InFrame() bool { return d.inFrame }

// Left returns the number of payload bytes of the frame that Payload has not returned.
func (d *Decoder) Left() uint64 { return d.left }

// Opcode returns the frame's opcode.
func (d *Decoder) Opcode() byte { return d.opcode }

// IsControl reports whether the frame is a control frame.
func (d *Decoder) IsControl() bool { return d.opcode >= Close }

// IsFinal reports whether the frame is the last of its message.
func (d *Decoder) IsFinal() bool { return d.final }

// IsCompressed reports whether the frame is a part of a compressed message.
func (d *Decoder) IsCompressed() bool { return d.compressed && !d.IsControl() }

// Header writes the header of an unmasked, final frame with a payload of n bytes into h, and returns it. opcode may include
// Compressed.
func Header(h *[HeaderBytes]byte, opcode byte, n int) []byte {
	h[0] = 0x80 | opcode
	switch {
	case n < 126:
		h[1] = byte(n)
		return h[:2]
	case n < 1<<16:
		h[1] = 126
		binary.BigEndian.PutUint16(h[2:], uint16(n))
		return h[:4]
	}
	h[1] = 127
	binary.BigEndian.PutUint64(h[2:], uint64(n))
	return h[:10]
}

// CloseAnswer returns the close code for the answer to a close frame with the payload: the same code, or an error code for an
// invalid frame (RFC 6455 5.5.1, 7.4).
func CloseAnswer(payload []byte) uint16 {
	if len(payload) == 0 {
		return Normal
	}
	if len(payload) == 1 {
		return Protocol
	}
	code := binary.BigEndian.Uint16(payload)
	switch {
	case code < 1000, code >= 1004 && code <= 1006, code > 1014 && code < 3000, code > 4999:
		return Protocol
	case !utf8.Valid(payload[2:]):
		return Invalid
	}
	return code
}
