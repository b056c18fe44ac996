package client

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/tests/crash/history"
)

// WillClient is a client of MQTT 5 that connects with a will and ends without DISCONNECT, or with the broker. It stays
// away until all subscribers have its will, which is due when the session ends, at the latest [MQTT-3.1.2-8]. The
// will counts as promised from a SUBACK on, for an otherwise unused subscription: then the session is on disk.
type WillClient struct {
	Options
	Random *rand.Rand
	Topic  string        // of wills
	Life   time.Duration // average duration of a connection

	number int
}

// willSessionExpiry is the session expiry of a WillClient. Its will is due then at the latest.
const willSessionExpiry = time.Second

// Run connects and disconnects until the stage ends or ctx does.
func (m *WillClient) Run(ctx context.Context) {
	for ctx.Err() == nil && !m.Stage.Ending() {
		m.number++
		will := history.Message{ID: history.ID{Publisher: m.ID, Number: m.number}, Topic: m.Topic, QoS: byte(1 + m.Random.IntN(2)), Will: true}
		m.Log.Send(will)
		m.connectOnce(ctx, will)
		for m.Log.Owes(will.ID) && ctx.Err() == nil && !m.Stage.Ending() {
			pause(ctx, maxPause)
		}
		pause(ctx, willSessionExpiry) // an unpromised will must not be taken for the next one
	}
}

// connectOnce is one connection.
func (m *WillClient) connectOnce(ctx context.Context, will history.Message) {
	k := raw.Connect{Version: raw.V5, ID: m.ID, Props: raw.Props{raw.Num(raw.SessionExpiry, int(willSessionExpiry.Seconds()))},
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
			case !open || !l.handleCommon(p):
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
