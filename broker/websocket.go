package broker

import (
	"encoding/binary"
	"log/slog"
	"unicode/utf8"
)

// Frame opcodes (RFC 6455 5.2).
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// Close codes (RFC 6455 7.4.1).
const (
	wsNormal      = 1000
	wsGoingAway   = 1001
	wsProtocol    = 1002
	wsUnsupported = 1003
	wsInvalid     = 1007
	wsPolicy      = 1008
	wsTooBig      = 1009
	wsInternal    = 1011
)

const (
	wsHeaderBytes  = 10  // longest header of a server's frame
	maxControl     = 125 // bytes of a control frame's payload (RFC 6455 5.5)
	maxFrameHeader = 14  // longest header of a client's frame
)

// webSocket is the frame state of one connection. Input is unmasked in place and passed on as one stream of packets, so that
// a packet may span frames and a frame may hold packets [MQTT-6.0.0-2].
type webSocket struct {
	head      [maxFrameHeader]byte // incomplete header of a frame
	control   []byte               // payload of an incomplete control frame
	deflation *deflation           // nil: no compression
	left      uint64               // payload bytes of the frame not yet received
	mask      uint64               // the masking key, twice, rotated to the next payload byte
	verdict   uint16               // close code for an invalid frame; 0: none
	headLen   uint8
	opcode    uint8
	inMessage bool // a message has begun and not ended
	inFrame   bool
	final     bool
	closedIn  bool // the client has sent a close frame
	closedOut bool
	isControl bool
	ping      uint32 // silence in ticks before a client is sent a ping; 0: no pings
}

func (w *webSocket) receive(c *conn, data []byte) {
	for len(data) > 0 && c.state != stateClosed && c.state != stateLingering && !w.closedIn {
		if w.deflation != nil && w.deflation.holds(c, data) {
			return
		}
		if !w.inFrame {
			n, code := w.takeHeader(data)
			data = data[n:]
			if code != 0 {
				w.fail(c, code)
				return
			}
			if !w.inFrame {
				return // the header is incomplete
			}
			if w.isCompressed() && !w.deflation.admits(c, w.left) {
				w.fail(c, wsTooBig)
				return
			}
		}
		n := int(min(w.left, uint64(len(data))))
		chunk := data[:n]
		data = data[n:]
		w.unmask(chunk)
		w.left -= uint64(n)
		switch {
		case w.isControl:
			w.control = append(w.control, chunk...)
		case w.isCompressed():
			w.deflation.keep(c, chunk)
		case n > 0:
			c.feed(chunk)
		}
		if w.left == 0 {
			w.endFrame(c)
		}
	}
}

// endFrame finishes a complete frame.
func (w *webSocket) endFrame(c *conn) {
	w.inFrame = false
	switch {
	case w.isControl:
		w.onControl(c)
	case w.final && w.isCompressed():
		w.deflation.begin(c)
	}
}

// isCompressed reports whether the frame is a part of a compressed message.
func (w *webSocket) isCompressed() bool {
	return w.deflation != nil && w.deflation.compressed && !w.isControl
}

// takeHeader consumes bytes of a frame's header. It returns their number, or the close code for an invalid header.
func (w *webSocket) takeHeader(data []byte) (n int, code uint16) {
	n = copy(w.head[w.headLen:], data)
	have := int(w.headLen) + n
	if have < 2 {
		w.headLen = uint8(have)
		return n, 0
	}
	need := 6
	switch w.head[1] & 0x7F {
	case 126:
		need = 8
	case 127:
		need = 14
	}
	if w.head[1]&0x80 == 0 {
		return n, wsProtocol // a client must mask its frames (RFC 6455 5.1)
	}
	if have < need {
		w.headLen = uint8(have)
		return n, 0
	}
	n = need - int(w.headLen)
	w.headLen = 0
	return n, w.beginFrame(w.head[:need])
}

// beginFrame checks a complete header (RFC 6455 5.2, 5.4, 5.5).
func (w *webSocket) beginFrame(h []byte) (code uint16) {
	w.final, w.opcode = h[0]&0x80 != 0, h[0]&0x0F
	compressed := h[0]&rsv1 != 0
	if h[0]&0x30 != 0 || compressed && (w.deflation == nil || w.opcode != opBinary && w.opcode != opText) {
		return wsProtocol // a reserved bit without an extension that defines it here (RFC 7692 6)
	}
	w.left = uint64(h[1] & 0x7F)
	switch w.left {
	case 126:
		w.left = uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		w.left = binary.BigEndian.Uint64(h[2:])
	}
	key := uint64(binary.LittleEndian.Uint32(h[len(h)-4:]))
	w.mask = key | key<<32
	w.inFrame, w.isControl = true, w.opcode >= opClose
	switch {
	case w.left > 1<<62:
		return wsProtocol
	case w.isControl:
		w.control = w.control[:0]
		if !w.final || w.left > maxControl || w.opcode > opPong {
			return wsProtocol
		}
		return 0
	case w.opcode == opText:
		return wsUnsupported // [MQTT-6.0.0-1]
	case w.opcode > opBinary, (w.opcode == opContinuation) != w.inMessage:
		return wsProtocol
	}
	w.inMessage = !w.final
	if w.deflation != nil && w.opcode == opBinary {
		w.deflation.compressed = compressed
	}
	return 0
}

// unmask removes the masking, eight bytes at a time.
func (w *webSocket) unmask(b []byte) {
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^w.mask)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(w.mask >> (8 * (i & 3)))
	}
	turn := 8 * (len(b) & 3)
	w.mask = w.mask>>turn | w.mask<<(64-turn)
}

// onControl answers a complete control frame.
func (w *webSocket) onControl(c *conn) {
	switch w.opcode {
	case opPing:
		w.append(c, opPong, w.control)
		c.touch()
	case opClose:
		w.closedIn = true
		w.close(c, closeAnswer(w.control))
		c.touch()
		c.close(closePeer)
	}
	w.control = nil
}

// closeAnswer returns the close code for the answer to a close frame: the same code, or an error code for an invalid frame
// (RFC 6455 5.5.1, 7.4).
func closeAnswer(payload []byte) uint16 {
	if len(payload) == 0 {
		return wsNormal
	}
	if len(payload) == 1 {
		return wsProtocol
	}
	code := binary.BigEndian.Uint16(payload)
	switch {
	case code < 1000, code >= 1004 && code <= 1006, code > 1014 && code < 3000, code > 4999:
		return wsProtocol
	case !utf8.Valid(payload[2:]):
		return wsInvalid
	}
	return code
}

// fail closes the connection for an invalid frame.
func (w *webSocket) fail(c *conn, code uint16) {
	c.b.lines.write(slog.LevelDebug, "websocket_violation", "websocket violation", "remote", c.remote, "client", shown(c.id()), "close_code", code)
	w.verdict = code
	c.close(closeProtocol)
}

// close sends a close frame, once.
func (w *webSocket) close(c *conn, code uint16) {
	if w.closedOut {
		return
	}
	if w.verdict != 0 {
		code = w.verdict
	}
	w.closedOut = true
	w.append(c, opClose, append(binary.BigEndian.AppendUint16(nil, code), closeTexts[code]...))
}

// closeTexts describes the close codes for readers of a browser's console; at most 123 bytes each.
var closeTexts = map[uint16]string{
	wsGoingAway:   "the server is shutting down",
	wsProtocol:    "a frame or packet is against the protocol",
	wsUnsupported: "MQTT goes in binary frames, not in text",
	wsInvalid:     "text or compressed data is ill-formed",
	wsPolicy:      "the client may not stay connected",
	wsTooBig:      "a compressed message holds more than the server takes",
}

// append adds a frame to the output that is ready for the socket, behind the packets sent before it.
func (w *webSocket) append(c *conn, opcode byte, payload []byte) {
	s, u := c.shard, c.backlog()
	var head [wsHeaderBytes]byte
	if opcode == opClose && c.out.holdsPackets() {
		batch, data := c.batch()
		u.add(s, w.header(&head, batch, len(data)))
		u.add(s, data)
		c.releasePackets()
	}
	u.add(s, w.header(&head, opcode, len(payload)))
	u.add(s, payload)
	if u.own > fullBytes {
		c.setPause(pauseFull, true)
	}
}

// header writes the header of an unmasked, final frame.
func (w *webSocket) header(h *[wsHeaderBytes]byte, opcode byte, n int) []byte {
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
