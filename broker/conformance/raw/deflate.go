package raw

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strings"
)

// RSV1 marks a compressed frame in its first byte (RFC 7692 6).
const RSV1 byte = 0x40

// Deflate compresses the payload of a message (RFC 7692 7.2.1).
func Deflate(p []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(p)
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xFF, 0xFF})
}

// Compressed returns one frame with a compressed payload.
func Compressed(payload []byte) []byte {
	b := Frame(OpBinary, true, payload)
	b[0] |= RSV1
	return b
}

// inflate reads a compressed frame of n bytes.
func (f *Frames) inflate(n int) error {
	payload := make([]byte, n)
	if _, err := io.ReadFull(f.r, payload); err != nil {
		return err
	}
	const tail = "\x00\x00\xFF\xFF\x01\x00\x00\xFF\xFF"
	r := flate.NewReader(io.MultiReader(bytes.NewReader(payload), strings.NewReader(tail)))
	if _, err := f.inflated.ReadFrom(r); err != nil {
		return fmt.Errorf("a compressed frame of %d bytes: %w", n, err)
	}
	f.Compressed++
	return nil
}
