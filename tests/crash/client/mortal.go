package client

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/tests/crash/history"
)

// Mortal is a client of MQTT 5 that connects with a will and goes without a word, or with the broker. It stays away until
// everybody has its will, which is due when the session ends, at the latest [MQTT-3.1.2-8]. The will is promised from
// the SUBACK on that the client gets for a subscription of no interest: then the session is on disk.
type Mortal struct {
	Options
	Random *rand.Rand
	Topic  string        // of wills
	Life   time.Duration // of a connection, on the average

	number int
}

// mortalExpiry is when a mortal's session ends, and so when its will is due whatever else a broker has in mind.
const mortalExpiry = time.Second

// Run connects and dies until the stage ends or ctx does.
func (m *Mortal) Run(ctx context.Context) {
	for ctx.Err() == nil && !m.Stage.Ending() {
		m.number++
		will := history.Message{ID: history.ID{Publisher: m.ID, Number: m.number}, Topic: m.Topic, QoS: byte(1 + m.Random.IntN(2)), Will: true}
		m.Log.Send(will)
		m.live(ctx, will)
		for m.Log.Owes(will.ID) && ctx.Err() == nil && !m.Stage.Ending() {
			pause(ctx, rest)
		}
		pause(ctx, mortalExpiry) // one that nobody has been promised must not be taken for the next
	}
}

// live is one connection.
func (m *Mortal) live(ctx context.Context, will history.Message) {
	k := raw.Connect{Version: raw.V5, ID: m.ID, Props: raw.Props{raw.Num(raw.SessionExpiry, int(mortalExpiry.Seconds()))},
		Will: &raw.Will{Topic: m.Topic, Payload: will.Payload(), QoS: will.QoS}}
	m.Log.Trace(m.ID, "  will %v %s qos=%d", will.ID, m.Topic, will.QoS)
	l, err := m.connect(ctx, k)
	if err != nil {
		return
	}
	defer l.close()
	subscribe := raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "mortal"}}}
	if l.send("SUBSCRIBE mortal", subscribe.Bytes(m.Version)) != nil {
		return
	}
	end := time.After(time.Duration(m.Random.ExpFloat64() * float64(m.Life)))
	for {
		select {
		case p, open := <-l.packets:
			switch {
			case open && p.Type == raw.SUBACK && p.Codes[0] == 0:
				m.Log.Trace(m.ID, "< SUBACK, which promises the will %v", will.ID)
				m.Log.Ack(will.ID)
			case !open || !l.other(p):
				return
			}
		case <-end:
			m.Log.Trace(m.ID, "  drops its connection, with the will %v", will.ID)
			return
		case <-ctx.Done():
			return
		}
	}
}
