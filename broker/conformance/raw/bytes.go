package raw

import (
	"encoding/binary"
	"slices"
)

// U16 encodes a two byte integer (MQTT 5 1.5.2).
func U16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }

// U32 encodes a four byte integer (MQTT 5 1.5.3).
func U32(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// Str encodes a string or binary data behind its length (MQTT 5 1.5.4). It is not checked.
func Str(s string) []byte { return append(U16(len(s)), s...) }

// VarInt encodes a variable byte integer in its shortest form (MQTT 5 1.5.5).
func VarInt(n int) []byte {
	var b []byte
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

// Packet returns a control packet with a correct remaining length: header is its first byte.
func Packet(header byte, body ...[]byte) []byte {
	b := slices.Concat(body...)
	return slices.Concat([]byte{header}, VarInt(len(b)), b)
}

// reader decodes a packet's body. After the first missing field, every result is empty and bad is true.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, n)
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) u8() byte    { return r.take(1)[0] }
func (r *reader) u16() int    { return int(binary.BigEndian.Uint16(r.take(2))) }
func (r *reader) u32() int    { return int(binary.BigEndian.Uint32(r.take(4))) }
func (r *reader) str() string { return string(r.take(r.u16())) }

func (r *reader) varInt() int {
	n := 0
	for i := range 4 {
		b := r.u8()
		n |= int(b&0x7F) << (7 * i)
		if b < 0x80 {
			r.bad = r.bad || i > 0 && b == 0 // not the shortest form [MQTT-1.5.5-1]
			return n
		}
	}
	r.bad = true
	return 0
}
