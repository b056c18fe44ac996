package broker

import (
	"time"

	"github.com/outcry-mqtt/outcry/broker/wire"
)

// will is the message that is published for a client that went without a word (MQTT 5 3.1.2.5).
type will struct {
	client  *Client // who it is published as
	message message
	expiry  time.Duration // counted from when it is published; 0: none
	delay   time.Duration
}

// setWill gives the session the will of its new connection, in place of any other.
func (ss *session) setWill(w *wire.Will) {
	ss.will = nil
	if w == nil {
		return
	}
	ss.will = &will{
		client:  ss.conn.client,
		message: message{topic: w.Topic, payload: w.Payload, props: w.Props, qos: w.QoS, retain: w.Retain, from: ss},
		expiry:  time.Duration(w.Expiry) * time.Second,
		delay:   time.Duration(w.Delay) * time.Second,
	}
}

// publishWill publishes the will, if there is one and the rules still allow it.
func (ss *session) publishWill() {
	s, w := ss.shard, ss.will
	ss.will = nil
	if w == nil {
		return
	}
	ss.saveNow(savingSession) // in the transaction that the will is in
	if m := &w.message; !s.b.grant(w.client, Publish, m.topic).takes(m.qos, m.retain) {
		s.stats.dropped[dropNotAuthorized]++
		return
	}
	m := w.message
	m.read = s.now
	if w.expiry > 0 {
		m.expires = s.now + int64(w.expiry)
	}
	s.publish(&m, s.routeOf(m.topic), nil, nil)
}
