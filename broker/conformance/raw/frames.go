package raw

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// Opcodes of WebSocket frames (RFC 6455 5.2).
const (
	OpContinuation byte = 0x0
	OpText         byte = 0x1
	OpBinary       byte = 0x2
	OpClose        byte = 0x8
	OpPing         byte = 0x9
	OpPong         byte = 0xA
)

// Frames is a connection whose bytes are the payload of WebSocket frames, after the upgrade. Each Write is one binary
// frame; Read reads across frames. It never sends control frames by itself.
type Frames struct {
	net.Conn
	CloseCode int      // of the server's close frame, after Read returned io.EOF; 0 if it had none
	Pongs     []string // payloads of received pongs
	Pings     int      // number of received pings

	Deflate    bool // permessage-deflate was agreed: written frames are compressed, received ones may be
	Compressed int  // number of received compressed frames

	r        *bufio.Reader
	left     int          // unread payload bytes of the current frame
	inflated bytes.Buffer // unread payload of a compressed frame
}

// NewFrames returns a connection that frames nc's bytes.
func NewFrames(conn net.Conn) *Frames { return &Frames{Conn: conn, r: bufio.NewReader(conn)} }

// Frame returns one masked frame, as a client must send it (RFC 6455 5.3).
func Frame(opcode byte, final bool, payload []byte) []byte {
	if final {
		opcode |= 0x80
	}
	b := append([]byte{opcode}, length(len(payload))...)
	b[1] |= 0x80
	mask := []byte{0x12, 0xFE, 0x56, 0x78}
	b = append(b, mask...)
	for i, x := range payload {
		b = append(b, x^mask[i%4])
	}
	return b
}

func length(n int) []byte {
	switch {
	case n < 126:
		return []byte{byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{126}, uint16(n))
	}
	return binary.BigEndian.AppendUint64([]byte{127}, uint64(n))
}

// Write writes p as one binary frame.
func (f *Frames) Write(p []byte) (int, error) {
	frame := Frame(OpBinary, true, p)
	if f.Deflate {
		frame = Compressed(Deflate(p))
	}
	if _, err := f.Conn.Write(frame); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Read reads payload. It records control frames on the way.
func (f *Frames) Read(p []byte) (int, error) {
	for f.left == 0 && f.inflated.Len() == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	if f.inflated.Len() > 0 {
		return f.inflated.Read(p)
	}
	n, err := f.r.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, err
}

// next reads the header of the next frame, and the whole frame if it is a control frame.
func (f *Frames) next() error {
	var head [2]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return err
	}
	compressed := head[0] == 0x80|RSV1|OpBinary && f.Deflate // the server's frames are always final
	if head[0]&0x70 != 0 && !compressed || head[1]&0x80 != 0 {
		return fmt.Errorf("a frame with head % X: reserved bits, or masked by a server", head)
	}
	n, err := f.length(head[1])
	if err != nil {
		return err
	}
	op := head[0] & 0xF
	if compressed {
		return f.inflate(n)
	}
	if op == OpBinary || op == OpContinuation {
		f.left = n
		return nil
	}
	if head[0]&0x80 == 0 || n > 125 {
		return fmt.Errorf("a control frame with head % X: in parts, or too long", head)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(f.r, payload); err != nil {
		return err
	}
	return f.control(op, payload)
}

func (f *Frames) length(b byte) (int, error) {
	size := map[byte]int{126: 2, 127: 8}[b]
	if size == 0 {
		return int(b), nil
	}
	var ext [8]byte
	if _, err := io.ReadFull(f.r, ext[8-size:]); err != nil {
		return 0, err
	}
	return int(binary.BigEndian.Uint64(ext[:])), nil
}

func (f *Frames) control(op byte, payload []byte) error {
	switch op {
	case OpClose:
		if len(payload) >= 2 {
			f.CloseCode = int(binary.BigEndian.Uint16(payload))
		}
		return io.EOF
	case OpPong:
		f.Pongs = append(f.Pongs, string(payload))
	case OpPing:
		f.Pings++
	default:
		return fmt.Errorf("a frame with opcode 0x%X from the server", op)
	}
	return nil
}
