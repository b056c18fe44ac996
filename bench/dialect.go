package bench

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Dialect is a server's protocol.
type Dialect string

// The dialects. All but MQTT are those of the adapters in bench/peers/node: over WebSocket, at QoS 0, with rooms
// instead of topics.
const (
	MQTT     Dialect = ""
	Rooms    Dialect = "rooms"     // a plain WebSocket, with messages of one letter and its arguments
	SocketIO Dialect = "socket.io" // Socket.IO's protocol 5 over Engine.IO's 4; each event has one text
)

// dialect encodes and decodes a protocol other than MQTT. One WebSocket message is one packet.
type dialect interface {
	// opened returns the first message on an open WebSocket; accepted means that the server sends no answer.
	opened() (hello []byte, accepted bool)
	// join appends the request to join a room.
	join(b []byte, room string) []byte
	// publishLen returns the length of a message to a room, which publish writes. publish returns the payload's place
	// in it.
	publishLen(room, payload int) int
	publish(b, room []byte) (payload []byte)
	// putHeader writes a message's header at the start of its payload, which is at least 16 bytes for rooms and 32
	// for Socket.IO. readHeader reads it.
	putHeader(h header, payload []byte)
	readHeader(payload []byte) (header, bool)
	// read classifies a message from the server; the caller sends answer unless it is nil.
	read(message []byte) (kind messageKind, payload, answer []byte)
	opcode() byte // of messages
}

// messageKind is the kind of a server's message.
type messageKind uint8

const (
	messageIgnored messageKind = iota // irrelevant
	messageAccepted
	messageJoined
	messagePublished
	messageInvalid
)

var errUnexpected = errors.New("unexpected message from the server for its dialect")

func newDialect(d Dialect) dialect {
	switch d {
	case Rooms:
		return rooms{}
	case SocketIO:
		return socketIO{}
	}
	return nil
}

// checkDialect refuses options that only MQTT supports.
func (o *Options) checkDialect() error {
	switch {
	case o.Dialect == MQTT:
		return nil
	case newDialect(o.Dialect) == nil:
		return fmt.Errorf("dialect %q: want %s, %s or nothing for MQTT", o.Dialect, Rooms, SocketIO)
	case !o.webSocket() || o.Scenario == Retained || o.Scenario == Fanin || o.Wildcard || o.Check || o.QoS > 0 || o.SubscribeQoS > 0:
		return fmt.Errorf("dialect %s: has WebSockets and rooms at QoS 0, no wildcards, no retained messages and no check of topics", o.Dialect)
	case len(o.Prefix) > 200 || strings.ContainsAny(o.Prefix, "\"\\"):
		return fmt.Errorf("dialect %s: prefix %q: want at most 200 bytes, without quotes and backslashes", o.Dialect, o.Prefix)
	case o.KeepAlive > 0:
		return fmt.Errorf("dialect %s: the client sends no pings", o.Dialect)
	case o.Dialect == SocketIO && o.Payload < 2*headerSize:
		return fmt.Errorf("payload bytes %d: want at least %d in Socket.IO, whose messages are text", o.Payload, 2*headerSize)
	}
	return nil
}

// openDialect starts the protocol on an open WebSocket.
func (w *worker) openDialect(c *conn) {
	c.state = connecting
	hello, accepted := w.dialect.opened()
	if hello != nil {
		w.put(c, hello)
	}
	if accepted {
		w.now = w.clock()
		w.accepted(c)
	}
}

// receivePiece handles a piece of a WebSocket message, and the message when it is complete.
func (w *worker) receivePiece(c *conn, piece []byte) error {
	if !c.frames.complete() {
		c.rest = append(c.rest, piece...)
		return nil
	}
	if len(c.rest) == 0 {
		return w.handleMessage(c, piece)
	}
	message := append(c.rest, piece...)
	c.rest = nil
	return w.handleMessage(c, message)
}

// handleMessage handles a message of the server.
func (w *worker) handleMessage(c *conn, message []byte) error {
	kind, payload, answer := w.dialect.read(message)
	if answer != nil {
		w.put(c, answer)
	}
	switch kind {
	case messageIgnored:
	case messageAccepted:
		if c.state != connecting {
			return errUnexpected
		}
		w.accepted(c)
	case messageJoined:
		if c.state != subscribing {
			return errUnexpected
		}
		w.arrive(c)
	case messagePublished:
		if c.state < subscribing {
			return errUnexpected
		}
		w.incoming = publication{payload: payload}
		c.role.message(w, c, &w.incoming)
	default:
		return errUnexpected
	}
	return nil
}

// rooms is the dialect of the ws adapter: j and a room joins it, answered with j; p, the length of the room's name in
// a byte, the name and a payload publishes; m and a payload comes to everybody in the room.
type rooms struct{}

func (rooms) opened() ([]byte, bool) { return nil, true }

func (rooms) join(b []byte, room string) []byte { return append(append(b, 'j'), room...) }

func (rooms) publishLen(room, payload int) int { return 2 + room + payload }

func (rooms) publish(b, room []byte) []byte {
	b[0], b[1] = 'p', byte(len(room))
	return b[2+copy(b[2:], room):]
}

func (rooms) putHeader(h header, payload []byte) { h.put(payload) }

func (rooms) readHeader(payload []byte) (header, bool) { return readHeader(payload) }

func (rooms) read(m []byte) (messageKind, []byte, []byte) {
	switch {
	case len(m) == 1 && m[0] == 'j':
		return messageJoined, nil, nil
	case len(m) > 1 && m[0] == 'm':
		return messagePublished, m[1:], nil
	}
	return messageInvalid, nil, nil
}

func (rooms) opcode() byte { return opBinary }

// socketIO is Socket.IO. Its adapter has the events join, with a room and an acknowledgement, and say, with a room
// and a text. It sends the event m, with the text, to the room. The header is in hexadecimal, since it is text.
type socketIO struct{}

// Prefixes of Engine.IO and Socket.IO packets.
var (
	engineOpen   = []byte("0")
	enginePing   = []byte("2")
	enginePong   = []byte("3")
	socketOpen   = []byte("40")
	socketJoined = []byte("430")
	socketBegin  = []byte(`42["m","`)
	socketEnd    = []byte(`"]`)
	sayBegin     = []byte(`42["say","`)
	sayBetween   = []byte(`","`)
)

func (socketIO) opened() ([]byte, bool) { return nil, false }

func (socketIO) join(b []byte, room string) []byte {
	return append(append(append(b, `420["join","`...), room...), socketEnd...)
}

func (socketIO) publishLen(room, payload int) int {
	return len(sayBegin) + room + len(sayBetween) + payload + len(socketEnd)
}

func (socketIO) publish(b, room []byte) []byte {
	i := copy(b, sayBegin)
	i += copy(b[i:], room)
	i += copy(b[i:], sayBetween)
	end := len(b) - len(socketEnd)
	copy(b[end:], socketEnd)
	return b[i:end]
}

func (socketIO) putHeader(h header, payload []byte) {
	var raw [headerSize]byte
	h.put(raw[:])
	hex.Encode(payload, raw[:])
}

func (socketIO) readHeader(payload []byte) (header, bool) {
	var raw [headerSize]byte
	if len(payload) < 2*headerSize {
		return header{}, false
	}
	if _, err := hex.Decode(raw[:], payload[:2*headerSize]); err != nil {
		return header{}, false
	}
	return readHeader(raw[:])
}

func (socketIO) read(m []byte) (messageKind, []byte, []byte) {
	switch {
	case bytes.HasPrefix(m, socketBegin) && bytes.HasSuffix(m[len(socketBegin):], socketEnd):
		return messagePublished, m[len(socketBegin) : len(m)-len(socketEnd)], nil
	case bytes.Equal(m, enginePing):
		return messageIgnored, nil, enginePong
	case bytes.HasPrefix(m, engineOpen):
		return messageIgnored, nil, socketOpen
	case bytes.HasPrefix(m, socketOpen):
		return messageAccepted, nil, nil
	case bytes.HasPrefix(m, socketJoined):
		return messageJoined, nil, nil
	}
	return messageInvalid, nil, nil
}

func (socketIO) opcode() byte { return opText }
