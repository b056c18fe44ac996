package broker

import (
	"encoding/json"
	"time"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

// deniedTopic is the topic of notices about refused messages that MQTT cannot report: QoS 0 messages, and every message of a 3.x
// client.
const deniedTopic = "$me/denied"

// denials counts a session's messages that were refused without an answer. It is not stored.
type denials struct {
	count   uint64
	topic   string // topic of the last one
	code    byte   // MQTT 5 reason code of the last one
	last    int64  // stamp of the last one
	changed bool   // changed since the last notice
}

// tellDenied records a refused message, unless an acknowledgement tells the client.
func (c *conn) tellDenied(topic string, qos, code byte) {
	if qos > 0 && c.version == wire.V5 {
		return
	}
	s, g := c.shard, c.session.ensureLosses()
	if g.denied == nil {
		g.denied = new(denials)
	}
	d := g.denied
	d.count++
	d.topic, d.code, d.last, d.changed = topic, code, s.b.clock.stamp(s.now), true
	c.session.listLosses()
}

// encode returns a notice's payload.
func (d *denials) encode() []byte {
	b, _ := json.Marshal(struct {
		Denied uint64    `json:"denied"` // in the session's life
		Topic  string    `json:"topic"`  // topic of the last one
		Code   byte      `json:"code"`   // its reason code
		Reason string    `json:"reason"` // text of the code
		Last   time.Time `json:"last"`
	}{d.count, d.topic, d.code, wire.ReasonString(d.code), time.UnixMilli(d.last).UTC()}) // strings, numbers and a time: it cannot fail
	return b
}
