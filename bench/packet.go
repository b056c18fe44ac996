package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// The types of control packets, in the high bits of their first byte.
const (
	typeConnect    = 1 << 4
	typeConnack    = 2 << 4
	typePublish    = 3 << 4
	typePuback     = 4 << 4
	typePubrec     = 5 << 4
	typePubrel     = 6<<4 | 2
	typePubcomp    = 7 << 4
	typeSubscribe  = 8<<4 | 2
	typeSuback     = 9 << 4
	typePingreq    = 12 << 4
	typePingresp   = 13 << 4
	typeDisconnect = 14 << 4
)

// MQTT 5 properties that the bench sends or reads.
const (
	propServerKeepAlive = 0x13
	propReceiveMaximum  = 0x21
)

var errMalformed = errors.New("the broker sent a malformed packet")

func varintLen(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	}
	return 4
}

func appendVarint(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

// varint decodes a variable byte integer: its value and size, 0 if it is incomplete, -1 if it is longer than four
// bytes.
func varint(b []byte) (value, size int) {
	for i, c := range b {
		if i == 4 {
			return 0, -1
		}
		value |= int(c&0x7f) << (7 * i)
		if c < 0x80 {
			return value, i + 1
		}
	}
	if len(b) >= 4 {
		return 0, -1
	}
	return 0, 0
}

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// appendConnect appends a CONNECT with clean start.
func appendConnect(b []byte, o *Options, id string) []byte {
	flags, n := byte(2), 10+2+len(id)
	if o.Version == 5 {
		n++
	}
	if o.User != "" {
		flags |= 0x80
		n += 2 + len(o.User)
	}
	if len(o.Password) > 0 {
		flags |= 0x40
		n += 2 + len(o.Password)
	}
	b = appendVarint(append(b, typeConnect), n)
	b = append(appendString(b, "MQTT"), o.Version, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(o.KeepAlive/time.Second))
	if o.Version == 5 {
		b = append(b, 0)
	}
	b = appendString(b, id)
	if o.User != "" {
		b = appendString(b, o.User)
	}
	if len(o.Password) > 0 {
		b = appendString(b, o.Password)
	}
	return b
}

// subscribeID is the packet identifier of every SUBSCRIBE: a connection sends only one.
const subscribeID = 1

func appendSubscribe(b []byte, version byte, filter string, qos int) []byte {
	n := 2 + 2 + len(filter) + 1
	if version == 5 {
		n++
	}
	b = appendVarint(append(b, typeSubscribe), n)
	b = binary.BigEndian.AppendUint16(b, subscribeID)
	if version == 5 {
		b = append(b, 0)
	}
	return append(appendString(b, filter), byte(qos))
}

// publishLen returns the whole length of a PUBLISH, and its remaining length.
func publishLen(version byte, topic, payload int, qos byte) (whole, remaining int) {
	remaining = 2 + topic + payload
	if qos > 0 {
		remaining += 2
	}
	if version == 5 {
		remaining++
	}
	return 1 + varintLen(remaining) + remaining, remaining
}

// putPublish writes a PUBLISH into b, which has exactly its length, and returns the place of its payload.
func putPublish(b []byte, version byte, topic []byte, qos byte, retain bool, id uint16, remaining int) (payload []byte) {
	b[0] = typePublish | qos<<1
	if retain {
		b[0] |= 1
	}
	i := 1 + len(appendVarint(b[1:1], remaining))
	binary.BigEndian.PutUint16(b[i:], uint16(len(topic)))
	i += 2 + copy(b[i+2:], topic)
	if qos > 0 {
		binary.BigEndian.PutUint16(b[i:], id)
		i += 2
	}
	if version == 5 {
		b[i] = 0
		i++
	}
	return b[i:]
}

// publication is a received PUBLISH.
type publication struct {
	topic, payload []byte
	qos            byte
	retain         bool
	id             uint16
}

// readPublish decodes a PUBLISH: its first byte, and the part behind the remaining length.
func readPublish(p *publication, first byte, b []byte, version byte) bool {
	p.qos, p.retain = first>>1&3, first&1 != 0
	if len(b) < 2 || p.qos == 3 {
		return false
	}
	i := 2 + int(binary.BigEndian.Uint16(b))
	if len(b) < i {
		return false
	}
	p.topic = b[2:i]
	if p.qos > 0 {
		if len(b) < i+2 {
			return false
		}
		p.id = binary.BigEndian.Uint16(b[i:])
		i += 2
	}
	if version == 5 {
		properties, size := varint(b[i:])
		if i += size + properties; size <= 0 || len(b) < i {
			return false
		}
	}
	p.payload = b[i:]
	return true
}

// connack is an accepting CONNACK.
type connack struct {
	receiveMaximum int
	keepAlive      time.Duration // -1: the requested one
}

func readConnack(b []byte, version byte) (connack, error) {
	c := connack{receiveMaximum: 65535, keepAlive: -1}
	if len(b) < 2 || version == 4 && len(b) != 2 {
		return c, errMalformed
	}
	if b[1] != 0 {
		return c, &RefusedError{Code: b[1], version: version}
	}
	if version == 4 {
		return c, nil
	}
	length, size := varint(b[2:])
	if size <= 0 || len(b) != 2+size+length {
		return c, errMalformed
	}
	return c, c.properties(b[2+size:])
}

// properties decodes the properties of a CONNACK.
func (c *connack) properties(b []byte) error {
	for len(b) > 0 {
		size := propertySize(b)
		if size < 0 || len(b) < size {
			return errMalformed
		}
		switch b[0] {
		case propServerKeepAlive:
			c.keepAlive = time.Duration(binary.BigEndian.Uint16(b[1:])) * time.Second
		case propReceiveMaximum:
			c.receiveMaximum = int(binary.BigEndian.Uint16(b[1:]))
		}
		b = b[size:]
	}
	return nil
}

// propertySize returns the size of the first property, including its identifier; -1 if a CONNACK cannot have it.
func propertySize(b []byte) int {
	str := func(i int) int {
		if len(b) < i+2 {
			return len(b) + 1
		}
		return i + 2 + int(binary.BigEndian.Uint16(b[i:]))
	}
	switch b[0] {
	case 0x24, 0x25, 0x28, 0x29, 0x2a:
		return 2
	case propServerKeepAlive, propReceiveMaximum, 0x22:
		return 3
	case 0x11, 0x27:
		return 5
	case 0x12, 0x15, 0x16, 0x1a, 0x1c, 0x1f:
		return str(1)
	case 0x26:
		return str(str(1))
	}
	return -1
}

// reasons names frequent codes of CONNACK in MQTT 3.1.1 (1 to 5) and of MQTT 5.
var reasons = map[byte]string{
	1: "unacceptable protocol version", 2: "identifier rejected", 3: "server unavailable", 4: "bad user name or password",
	5: "not authorized", 0x84: "unsupported protocol version", 0x85: "client identifier not valid",
	0x86: "bad user name or password", 0x87: "not authorized", 0x88: "server unavailable", 0x89: "server busy",
	0x8b: "server shutting down", 0x8e: "session taken over", 0x8f: "topic filter invalid", 0x93: "receive maximum exceeded",
	0x95: "packet too large", 0x96: "message rate too high", 0x97: "quota exceeded", 0x9a: "retain not supported",
	0x9b: "QoS not supported", 0x9e: "shared subscriptions not supported", 0x9f: "connection rate exceeded",
}

func reason(code, version byte) string {
	text, known := reasons[code]
	if !known || version == 5 && code < 0x80 {
		text = "reason code"
	}
	return fmt.Sprintf("%s (0x%02x)", text, code)
}
