package broker

import (
	"time"

	"github.com/outcry-mqtt/outcry/broker/wire"
)

// message is an application message on its way. Its bytes lie in the buffer it was read into, and are good for the
// turn only, until keep gives it bytes of its own. What is kept is immutable and may be shared by everyone.
type message struct {
	topic   string // never in a read buffer
	payload []byte
	props   []byte   // MQTT 5 properties that go on unaltered, in their wire form
	expires int64    // on the broker's clock; 0: never
	read    int64    // on the broker's clock, when its turn began
	from    *session // the publisher's, for no-local; nil: the broker or the program around it
	kept    *message // the copy that may be kept, shared by all on this shard who need one
	group   *group   // the shared subscription that this copy goes to; nil: everybody else
	stored  *stored  // what the store keeps of it; nil: nothing
	serial  uint64   // of a retained message: which came after which
	qos     byte
	retain  bool  // as published
	pooled  bool  // a copy that is used again when nobody holds it any more
	holders int32 // of such a copy: sessions it waits in
}

// keep returns a copy of m that outlives the turn, for good. It is made once.
func (m *message) keep() *message {
	if m.kept == nil {
		m.copyInto(newKept(len(m.payload) + len(m.props)))
	}
	if m.kept.pooled { // this shard's alone; others may look at what is kept already
		m.kept.pooled = false
	}
	return m.kept
}

// copyInto makes k the copy of m that is kept. What k.payload has room for takes the bytes of both parts.
func (m *message) copyInto(k *message) {
	own := k.payload[:0]
	*k = *m
	own = append(append(own, m.payload...), m.props...)
	n := len(m.payload)
	k.payload, k.props = own[:n], own[n:]
	k.pooled, k.holders = false, 0
	k.kept, m.kept = k, k
}

// smallBytes is how many bytes a message may have beside it: one allocation in place of two.
const smallBytes = 64

// newKept makes a message with room for n bytes.
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

// size is what a message counts for where bytes are bounded.
func (m *message) size() int { return len(m.topic) + len(m.payload) + len(m.props) + messageOverhead }

const messageOverhead = 160

// expired tells whether the message's time is over (MQTT 5 3.3.2.3.3).
func (m *message) expired(now int64) bool { return m.expires != 0 && now >= m.expires }

// fill sets what every encoding of m has in common. The remaining lifetime is what was received less the time spent
// waiting here [MQTT-3.3.2-6], in whole seconds, rounded up.
func (m *message) fill(o *wire.Outgoing, now int64) {
	*o = wire.Outgoing{}
	o.Topic, o.Payload, o.Props, o.QoS, o.Retain = m.topic, m.payload, m.props, m.qos, m.retain
	if m.expires != 0 {
		o.HasExpiry = true
		o.Expiry = uint32(max(m.expires-now+int64(time.Second)-1, 0) / int64(time.Second)) // 0 if it is sent again too late
	}
}

// public returns m as hooks see it.
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

// internal returns a hook's or program's message as the broker carries it, sharing the payload, or an error if its
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
		m.expires = now + int64(p.MessageExpiry)
	}
	return m, nil
}
