package storage

import (
	"encoding/binary"
	"errors"
	"math"
)

// Message is an application message, which is kept once for all the sessions that are not done with it. Its key is its number.
type Message struct {
	Number  uint64 // which message was read after which
	Topic   string
	QoS     byte
	Retain  bool   // as published
	Expires int64  // stamp; 0: never
	Props   []byte // MQTT 5 properties that go on unaltered, in their wire form
	Payload []byte
	Targets []Target
}

// Target is one session that a message is for.
type Target struct {
	Session uint64   // its number
	Seq     uint64   // the message's place among the session's
	QoS     byte     // the lower of the message's and the subscription's
	Retain  bool     // the RETAIN flag that the client is shown
	IDs     []uint32 // subscription identifiers
	Share   string   // the share name of the shared subscription that chose the session; empty: none did
	Filter  string   // of this shared subscription
}

// A message's value is: a version byte, flags, the stamp at which it expires if it does, topic, properties and payload
// with their lengths in front, then its targets to the end.
const (
	messageVersion   = 1
	messageRetain    = 4 // beside qosBits
	messageHasExpiry = 8
)

// A target is: the session's number, the message's place in it, flags, and where the flags say so the subscription
// identifiers with their number in front, and the shared subscription.
const (
	targetRetain = 4 // beside qosBits
	targetIDs    = 8
	targetShared = 16
)

var errShare = errors.New("a shared subscription has no share name or no filter")

// Key is the message's key.
func (m *Message) Key() string { return NumberKey(m.Number) }

// Append adds the message's value to b. More targets can be appended to that.
func (m *Message) Append(b []byte) []byte {
	flags := m.QoS & qosBits
	if m.Retain {
		flags |= messageRetain
	}
	if m.Expires != 0 {
		flags |= messageHasExpiry
	}
	b = append(b, messageVersion, flags)
	if m.Expires != 0 {
		b = binary.AppendVarint(b, m.Expires)
	}
	b = appendBytes(b, m.Topic)
	b = appendBytes(b, m.Props)
	b = appendBytes(b, m.Payload)
	for i := range m.Targets {
		b = m.Targets[i].Append(b)
	}
	return b
}

// Append adds the target to the value of its message.
func (t *Target) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, t.Session)
	b = binary.AppendUvarint(b, t.Seq)
	flags := t.QoS & qosBits
	if t.Retain {
		flags |= targetRetain
	}
	if t.IDs != nil {
		flags |= targetIDs
	}
	if t.Filter != "" {
		flags |= targetShared
	}
	b = append(b, flags)
	if t.IDs != nil {
		b = binary.AppendUvarint(b, uint64(len(t.IDs)))
		for _, id := range t.IDs {
			b = binary.AppendUvarint(b, uint64(id))
		}
	}
	if t.Filter != "" {
		b = appendBytes(b, t.Share)
		b = appendBytes(b, t.Filter)
	}
	return b
}

// Parse reads a message. Its properties and its payload lie in value, and it uses the memory of its former targets again, so
// that a store of many messages is read without an allocation for each list of them.
func (m *Message) Parse(key string, value []byte) error {
	r := reader{rest: value}
	r.version(messageVersion)
	flags := r.byte()
	*m = Message{QoS: r.qos(flags), Retain: flags&messageRetain != 0, Targets: m.Targets[:0]}
	m.Number = r.numberKey(key)
	if flags&messageHasExpiry != 0 {
		m.Expires = r.expiry()
	}
	m.Topic, m.Props, m.Payload = string(r.bytes()), r.bytes(), r.bytes()
	for len(r.rest) > 0 {
		m.Targets = append(m.Targets, r.target())
	}
	return r.result("message")
}

func (r *reader) target() (t Target) {
	t.Session, t.Seq = r.uvarint(), r.uvarint()
	flags := r.byte()
	t.QoS, t.Retain = r.qos(flags), flags&targetRetain != 0
	if flags&targetIDs != 0 {
		n := r.count(1)
		t.IDs = make([]uint32, 0, n)
		for range n {
			t.IDs = append(t.IDs, uint32(r.upTo(math.MaxUint32)))
		}
	}
	if flags&targetShared != 0 {
		if t.Share, t.Filter = string(r.bytes()), string(r.bytes()); t.Share == "" || t.Filter == "" {
			r.fail(errShare)
		}
	}
	return t
}
