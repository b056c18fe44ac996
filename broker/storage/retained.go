package storage

import "encoding/binary"

// Retained is the retained message of a topic. Its key is the topic.
type Retained struct {
	Topic   string
	QoS     byte
	Expires int64  // stamp; 0: never
	Props   []byte // MQTT 5 properties that go on unaltered, in their wire form
	Payload []byte
}

// A retained message's value is: a version byte, flags, the stamp at which it expires if it does, the length of the
// properties, the properties, and the payload to the end.
const (
	retainedVersion   = 1
	retainedHasExpiry = 4 // beside qosBits
)

// Key is the retained message's key.
func (m *Retained) Key() string { return m.Topic }

// Append adds the retained message's value to b.
func (m *Retained) Append(b []byte) []byte {
	flags := m.QoS & qosBits
	if m.Expires != 0 {
		flags |= retainedHasExpiry
	}
	b = append(b, retainedVersion, flags)
	if m.Expires != 0 {
		b = binary.AppendVarint(b, m.Expires)
	}
	b = appendBytes(b, m.Props)
	return append(b, m.Payload...)
}

// Parse reads a retained message. Its properties and its payload lie in value.
func (m *Retained) Parse(key string, value []byte) error {
	r := reader{rest: value}
	r.version(retainedVersion)
	flags := r.byte()
	*m = Retained{Topic: key, QoS: r.qos(flags)}
	if flags&retainedHasExpiry != 0 {
		m.Expires = r.expiry()
	}
	m.Props = r.bytes()
	m.Payload = r.rest
	return r.result("retained message")
}
