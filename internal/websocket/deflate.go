package websocket

import (
	"encoding/binary"

	"github.com/klauspost/compress/flate"
)

const (
	StoredHead  = 5     // bytes of a stored block's header at a byte boundary (RFC 1951 3.2.4)
	storedBytes = 65535 // most bytes in a stored block
	EmptyBlock  = 4     // the bytes 00 00 FF FF at the end of an empty stored block, which are not sent (RFC 7692 7.2.1)
)

// deflateLevel costs little more than level 1 for small messages.
const deflateLevel = 5

// Deflater compresses byte strings to DEFLATE blocks without references to earlier data, so that they fit into any message. Its
// zero value is ready.
type Deflater struct {
	flate *flate.Writer // nil until its first use
	out   sink
}

// sink is an io.Writer that appends to a slice.
type sink []byte

func (b *sink) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// Append appends p to dst in blocks, the last of them an empty stored block.
func (z *Deflater) Append(dst, p []byte) []byte {
	if z.flate == nil {
		z.flate, _ = flate.NewWriter(nil, deflateLevel) // fails only for an invalid level
	}
	z.out = dst
	z.flate.Reset(&z.out)
	_, _ = z.flate.Write(p) // a sink never fails
	_ = z.flate.Flush()
	dst, z.out = z.out, nil
	return dst
}

// AppendStored appends p, of at most 65,535 bytes, as a stored block.
func AppendStored(dst, p []byte) []byte {
	dst = append(dst, 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(p)))
	dst = binary.LittleEndian.AppendUint16(dst, ^uint16(len(p)))
	return append(dst, p...)
}

// SealStored fills in the header at b[at:] of a stored block that extends to the end of b. It splits a block that is larger than
// 65,535 bytes.
func SealStored(b []byte, at int) []byte {
	for {
		n := len(b) - at - StoredHead
		size := min(n, storedBytes)
		b[at] = 0
		binary.LittleEndian.PutUint16(b[at+1:], uint16(size))
		binary.LittleEndian.PutUint16(b[at+3:], ^uint16(size))
		if size == n {
			return b
		}
		at += StoredHead + size
		b = Insert(b, at, StoredHead)
	}
}

// Insert makes room for n bytes at b[at:].
func Insert(b []byte, at, n int) []byte {
	b = append(b, make([]byte, n)...)
	copy(b[at+n:], b[at:])
	return b
}
