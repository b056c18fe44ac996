package broker

import (
	"encoding/binary"
	"log/slog"

	"github.com/outcry-mqtt/outcry/internal/websocket"
)

// webSocket is the frame state of one connection. Input is unmasked in place and passed on as one stream of packets, so that
// a packet may span frames and a frame may hold packets [MQTT-6.0.0-2].
type webSocket struct {
	in        websocket.Decoder
	control   []byte     // payload of an incomplete control frame
	deflation *deflation // nil: no compression
	verdict   uint16     // close code for an invalid frame; 0: none
	closedIn  bool       // the client has sent a close frame
	closedOut bool
	ping      uint32 // silence in ticks before a client is sent a ping; 0: no pings
}

func (w *webSocket) receive(c *conn, data []byte) {
	for len(data) > 0 && c.state != stateClosed && c.state != stateLingering && !w.closedIn {
		if w.deflation != nil && w.deflation.holds(c, data) {
			return
		}
		if !w.in.InFrame() {
			n, code := w.in.Header(data, w.deflation != nil)
			data = data[n:]
			if code != 0 {
				w.fail(c, code)
				return
			}
			if !w.in.InFrame() {
				return // the header is incomplete
			}
			if w.in.IsCompressed() && !w.deflation.admits(c, w.in.Left()) {
				w.fail(c, websocket.TooBig)
				return
			}
		}
		chunk := w.in.Payload(data)
		data = data[len(chunk):]
		switch {
		case w.in.IsControl():
			w.control = append(w.control, chunk...)
		case w.in.IsCompressed():
			w.deflation.keep(c, chunk)
		case len(chunk) > 0:
			c.feed(chunk)
		}
		if w.in.End() {
			w.endFrame(c)
		}
	}
}

// endFrame handles a complete frame.
func (w *webSocket) endFrame(c *conn) {
	switch {
	case w.in.IsControl():
		w.onControl(c)
	case w.in.IsFinal() && w.in.IsCompressed():
		w.deflation.begin(c)
	}
}

// onControl answers a complete control frame.
func (w *webSocket) onControl(c *conn) {
	switch w.in.Opcode() {
	case websocket.Ping:
		w.append(c, websocket.Pong, w.control)
		c.touch()
	case websocket.Close:
		w.closedIn = true
		w.close(c, websocket.CloseAnswer(w.control))
		c.touch()
		c.close(closePeer)
	}
	w.control = nil
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
	w.append(c, websocket.Close, append(binary.BigEndian.AppendUint16(nil, code), closeTexts[code]...))
}

// closeTexts describes the close codes for readers of a browser's console; at most 123 bytes each.
var closeTexts = map[uint16]string{
	websocket.GoingAway:   "the server is shutting down",
	websocket.Protocol:    "a frame or packet violates the protocol",
	websocket.Unsupported: "MQTT requires binary frames, not text frames",
	websocket.Invalid:     "text or compressed data is ill-formed",
	websocket.Policy:      "the server refused or disconnected the client",
	websocket.TooBig:      "a compressed message is too large when decompressed",
}

// append adds a frame to the output that is ready for the socket, behind the packets sent before it.
func (w *webSocket) append(c *conn, opcode byte, payload []byte) {
	s, u := c.shard, c.backlog()
	var head [websocket.HeaderBytes]byte
	if opcode == websocket.Close && c.out.holdsPackets() {
		batch, data := c.batch()
		u.add(s, websocket.Header(&head, batch, len(data)))
		u.add(s, data)
		c.releasePackets()
	}
	u.add(s, websocket.Header(&head, opcode, len(payload)))
	u.add(s, payload)
	if u.own > fullBytes {
		c.setPause(pauseFull, true)
	}
}
