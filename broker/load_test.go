package broker_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// TestLoadIsRightWhenAsked looks at the averages for the first time when there was traffic, and again later.
func TestLoadIsRightWhenAsked(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	p := raw.New(t, s.conn(s.tcp), raw.V5)
	p.Connect(raw.Connect{Version: raw.V5, ID: "p", Clean: true})
	const topic = "$SYS/broker/load/publish/received/15min"
	for round, least := range []float64{5, 10} { // of 100 messages and more within two minutes
		for n := range 100 {
			p.Publish(raw.Publish{Topic: "a", Payload: fmt.Sprint(n), QoS: 1, ID: 1 + n})
		}
		s.Skip(time.Minute)
		c := raw.New(t, s.conn(s.tcp), raw.V5)
		c.Connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
		c.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: topic}}}.Bytes(raw.V5))
		c.Expect(raw.SUBACK)
		got, err := strconv.ParseFloat(c.Expect(raw.PUBLISH).Payload, 64)
		if err != nil || got < least || got > 2*least {
			t.Errorf("round %d: %v, %v, want %v or more", round, got, err, least)
		}
		c.Close()
	}
}
