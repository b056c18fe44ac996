package broker

import (
	"math"
	"time"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

// message is an application message in transit. Its bytes lie in the read buffer and are valid for this turn only, until keep
// copies them. A kept copy is immutable and may be shared.
type message struct {
	topic   string // never in a read buffer
	payload []byte
	props   []byte         // MQTT 5 properties that are forwarded unchanged, in wire format
	expires int64          // on the broker's clock; 0: never
	read    int64          // start of the turn in which it was read, on the broker's clock
	own     *message       // copy that outlives the turn, shared on this shard; nil: none yet
	group   *group         // target shared subscription; nil: all other subscribers
	stored  *storedMessage // its persisted form; nil: not persisted
	serial  uint64         // sequence number of a retained message; a later one has a higher number
	from    uint32         // source of the publisher's session, for no-local; 0: the broker or the embedding program
	qos     byte
	retain  bool  // RETAIN flag as published
	pooled  bool  // the copy is reused when holders is 0
	pins    int32 // of a pooled copy: number of sessions in which it waits
}

// ownCopy returns a copy of m that stays valid after the turn and is never reused. It copies at most once.
func (m *message) ownCopy() *message {
	if m.own == nil {
		m.copyInto(newKept(len(m.payload) + len(m.props)))
	}
	if m.own.pooled { // only this shard sees a pooled copy; others may already read an unpooled one
		m.own.pooled = false
	}
	return m.own
}

// copyInto makes k the kept copy of m. The payload and the properties share the buffer of k.payload if it is large enough.
func (m *message) copyInto(k *message) {
	own := k.payload[:0]
	*k = *m
	own = append(append(own, m.payload...), m.props...)
	n := len(m.payload)
	k.payload, k.props = own[:n], own[n:]
	k.pooled, k.pins = false, 0
	k.own, m.own = k, k
}

// smallBytes is the largest size in bytes that is allocated together with the message: one allocation instead of two.
const smallBytes = 64

// newKept returns a message with room for n bytes.
func newKept(n int) *message {
	if n <= smallBytes {
		k := new(struct {
			message
			own [smallBytes]byte
		})
		k.payload = k.own[:0]
		return &k.message
	}
	return &message{payload: make([]byte, 0, n)}
}

// size returns the bytes that a message counts for wherever bytes are limited.
func (m *message) size() int { return len(m.topic) + len(m.payload) + len(m.props) + messageOverhead }

const messageOverhead = 160

// expired reports whether the message has expired (MQTT 5 3.3.2.3.3).
func (m *message) expired(now int64) bool { return m.expires != 0 && now >= m.expires }

// fill sets the fields that all encodings of m share. The message expiry interval is the received one minus the time spent
// here [MQTT-3.3.2-6], in whole seconds, rounded up.
func (m *message) fill(o *wire.Outgoing, now int64) {
	*o = wire.Outgoing{}
	o.Topic, o.Payload, o.Props, o.QoS, o.Retain = m.topic, m.payload, m.props, m.qos, m.retain
	if m.expires != 0 {
		o.HasExpiry = true
		o.Expiry = lifetime(m.expires - now)
	}
}

// lifetime converts a duration in ns to whole seconds for a packet, rounded up. It returns 0 if the time is over.
func lifetime(left int64) uint32 {
	if left <= 0 {
		return 0
	}
	return uint32(min((left-1)/int64(time.Second)+1, math.MaxUint32))
}

// public converts m for hooks. It fails if its properties cannot be decoded.
func (m *message) public(now int64) (Message, error) {
	f, err := wire.DecodeProps(m.props)
	if err != nil {
		return Message{}, err
	}
	out := Message{
		Topic: m.topic, Payload: m.payload, QoS: m.qos, Retain: m.retain,
		PayloadFormat: f.PayloadFormat, ContentType: f.ContentType, ResponseTopic: f.ResponseTopic,
		CorrelationData: f.CorrelationData,
	}
	if m.expires != 0 {
		out.MessageExpiry = time.Duration(m.expires - now)
	}
	for _, u := range f.User {
		out.UserProperties = append(out.UserProperties, UserProperty(u))
	}
	return out, nil
}

// internal converts a message of a hook or of the program to the broker's form and shares its payload. It fails if the
// properties cannot be sent.
func (p *Message) internal(now int64) (message, error) {
	f := wire.Forwarded{
		PayloadFormat: p.PayloadFormat, ContentType: p.ContentType, ResponseTopic: p.ResponseTopic,
		CorrelationData: p.CorrelationData,
	}
	for _, u := range p.UserProperties {
		f.User = append(f.User, wire.UserProperty(u))
	}
	if err := f.Check(); err != nil {
		return message{}, err
	}
	m := message{topic: p.Topic, payload: p.Payload, props: f.Append(nil), qos: p.QoS, retain: p.Retain, read: now}
	if p.MessageExpiry > 0 {
		m.expires = after(now, p.MessageExpiry)
	}
	return m, nil
}
