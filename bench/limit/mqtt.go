package main

import (
	"encoding/binary"
	"log"
)

// The supported packet types, as first bytes at QoS 0.
const (
	connect   = 0x10
	publish   = 0x30
	subscribe = 0x82
)

// packets answers the packets before the first PUBLISH. That determines the subscribers of everything that follows.
func (l *loop) packets(c *conn) {
	for c.to == nil {
		first, body, rest, whole := nextPacket(c.in)
		if !whole {
			return
		}
		switch first {
		case connect:
			writeFD(c.fd, []byte{0x20, 2, 0, 0})
		case subscribe:
			name := readString(body[2:])
			c.hear = l.topics.audienceOn(name, l)
			c.hear.fds = append(c.hear.fds, c.fd)
			writeFD(c.fd, []byte{0x90, 3, body[0], body[1], 0})
		case publish:
			if c.to = l.topics.audiencesOf(readString(body)); c.to == nil {
				log.Fatal("no subscriber receives the messages")
			}
			l.forward(c, c.in)
			rest = nil
		}
		c.in = rest
	}
	c.in = nil
}

// nextPacket splits off a packet.
func nextPacket(b []byte) (first byte, body, rest []byte, whole bool) {
	if len(b) == 0 {
		return 0, nil, nil, false
	}
	length, n := binary.Uvarint(b[1:])
	if n <= 0 || uint64(len(b)-1-n) < length {
		return 0, nil, nil, false
	}
	b, first = b[1+n:], b[0]
	return first, b[:length], b[length:], true
}

// readString returns the string at the start of b.
func readString(b []byte) string { return string(b[2 : 2+int(binary.BigEndian.Uint16(b))]) }
