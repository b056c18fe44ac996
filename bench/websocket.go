package bench

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// Opcodes of frames, RFC 6455 5.2.
const (
	opContinue = 0
	opText     = 1
	opBinary   = 2
	opClose    = 8
	opPing     = 9
	opPong     = 10
)

// maxUpgrade bounds the answer to an upgrade, in bytes.
const maxUpgrade = 8 << 10

// upgrade is the request for a WebSocket; all connections use the same key.
type upgrade struct {
	request     []byte
	accept      string
	subprotocol string // "": none
}

func newUpgrade(u *url.URL, subprotocol string) upgrade {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	key := base64.StdEncoding.EncodeToString(raw[:])
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n", u.RequestURI(), u.Host, key)
	if subprotocol != "" {
		request += "Sec-WebSocket-Protocol: " + subprotocol + "\r\n"
	}
	return upgrade{[]byte(request + "\r\n"), base64.StdEncoding.EncodeToString(sum[:]), subprotocol}
}

// answered parses the answer and returns its size, 0 if it is incomplete.
func (u *upgrade) answered(b []byte) (size int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxUpgrade {
			return 0, errors.New("the answer to the WebSocket upgrade is too long")
		}
		return 0, nil
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b[:end+4])), nil)
	if err != nil {
		return 0, fmt.Errorf("the answer to the WebSocket upgrade is not HTTP: %w", err)
	}
	_ = resp.Body.Close()
	switch {
	case resp.StatusCode != http.StatusSwitchingProtocols:
		return 0, fmt.Errorf("the WebSocket upgrade was answered with %s: is the path right?", resp.Status)
	case resp.Header.Get("Sec-WebSocket-Accept") != u.accept:
		return 0, errors.New("the WebSocket upgrade was answered with a wrong Sec-WebSocket-Accept")
	case resp.Header.Get("Sec-WebSocket-Protocol") != u.subprotocol:
		return 0, fmt.Errorf("the broker did not choose the WebSocket subprotocol %q", u.subprotocol)
	}
	return end + 4, nil
}

// frameHeader returns the size of a client's frame header.
func frameHeader(payload int) int {
	switch {
	case payload < 126:
		return 6
	case payload < 1<<16:
		return 8
	}
	return 14
}

// putFrameHeader writes the header of a masked frame into b, which has exactly its length.
func putFrameHeader(b []byte, op byte, payload int, key uint32) {
	b[0] = 0x80 | op
	switch len(b) {
	case 6:
		b[1] = 0x80 | byte(payload)
	case 8:
		b[1] = 0x80 | 126
		binary.BigEndian.PutUint16(b[2:], uint16(payload))
	default:
		b[1] = 0x80 | 127
		binary.BigEndian.PutUint64(b[2:], uint64(payload))
	}
	binary.LittleEndian.PutUint32(b[len(b)-4:], key)
}

// mask masks a payload from its start, RFC 6455 5.3.
func mask(b []byte, key uint32) {
	wide := uint64(key) | uint64(key)<<32
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(wide >> (8 * i))
	}
}

// unframer removes the frames from a server's bytes.
type unframer struct {
	head    [10]byte // an incomplete header
	headLen int
	left    uint64 // unread payload bytes of the frame
	inFrame bool   // within a frame
	more    bool   // the message continues in another frame
	op      byte
	text    bool   // messages are text, not binary
	control []byte // payload of an incomplete control frame
}

var errFrame = errors.New("the broker broke the WebSocket protocol")

// next takes one piece off b: part of a data frame's payload, or the whole payload of a control frame, with its
// opcode. It returns the rest of b. If done is false there is no data and no complete control frame.
func (u *unframer) next(b []byte) (op byte, piece, rest []byte, done bool, err error) {
	if !u.inFrame {
		if b, err = u.header(b); err != nil || !u.inFrame {
			return 0, nil, b, false, err
		}
	}
	n := min(u.left, uint64(len(b)))
	piece, rest = b[:n], b[n:]
	u.left -= n
	u.inFrame = u.left > 0
	if u.op < opClose {
		return u.op, piece, rest, n > 0, nil
	}
	u.control = append(u.control, piece...)
	return u.op, u.control, rest, !u.inFrame, nil
}

// complete reports whether the piece returned by next ends a message.
func (u *unframer) complete() bool { return !u.inFrame && !u.more }

// header reads the available part of a frame's header.
func (u *unframer) header(b []byte) (rest []byte, err error) {
	for {
		if need := u.need(); u.headLen == need {
			return b, u.begin()
		}
		if len(b) == 0 {
			return nil, nil
		}
		u.head[u.headLen] = b[0]
		u.headLen++
		b = b[1:]
	}
}

// need returns the size of the header, as far as known.
func (u *unframer) need() int {
	if u.headLen < 2 {
		return 2
	}
	switch u.head[1] & 0x7f {
	case 126:
		return 4
	case 127:
		return 10
	}
	return 2
}

// begin starts the frame of a complete header.
func (u *unframer) begin() error {
	h := u.head[:]
	u.op, u.left = h[0]&15, uint64(h[1]&0x7f)
	switch u.headLen {
	case 4:
		u.left = uint64(binary.BigEndian.Uint16(h[2:]))
	case 10:
		u.left = binary.BigEndian.Uint64(h[2:])
	}
	u.headLen, u.inFrame = 0, true
	final := h[0]&0x80 != 0
	switch {
	case h[0]&0x70 != 0 || h[1]&0x80 != 0 || u.left>>63 != 0:
		return errFrame // reserved bits, or masked
	case u.op >= opClose:
		u.control = u.control[:0]
		if !final || u.left > 125 || u.op > opPong {
			return errFrame
		}
		return nil
	case u.op != opContinue && (u.op == opText) != u.text, u.op > opBinary, (u.op == opContinue) != u.more:
		return errFrame
	}
	u.more = !final
	return nil
}
