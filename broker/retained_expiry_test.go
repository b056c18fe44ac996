package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// retainBriefly retains n messages that expire after 10 seconds, and returns when they are acknowledged.
func retainBriefly(c *raw.Client, n int, qos byte) {
	for i := range n {
		c.Publish(raw.Publish{Topic: fmt.Sprint("brief/", i), Payload: "x", QoS: qos, Retain: true, Props: raw.Props{raw.Num(raw.MessageExpiry, 10)}})
	}
	c.Send(raw.Plain(raw.PINGREQ))
	c.Expect(raw.PINGRESP)
}

// TestExpiredRetainedMessagesGo has them go by time, from memory and from the store, though nobody asks for them
// (MQTT 5 3.3.2.3.3).
func TestExpiredRetainedMessagesGo(t *testing.T) {
	t.Parallel()
	for _, qos := range []byte{0, 1} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			d := newStopped(t)
			s := start(t, d.options())
			for i := range 2 { // on both shards
				c := s.connect(raw.Connect{Version: raw.V5, ID: s.idOn(i, "pub"), Clean: true})
				retainBriefly(c, 300, qos)
				c.Publish(raw.Publish{Topic: "lasting", Payload: "x", QoS: qos, Retain: true})
			}
			s.eventually("retained", func(st broker.Stats) bool { return st.Retained == 301 })
			s.Advance(9 * time.Second)
			if st := s.Stats(); st.Retained != 301 {
				t.Fatalf("%d retained after 9 s", st.Retained)
			}
			s.Advance(time.Second)
			s.eventually("expired", func(st broker.Stats) bool { return st.Retained == 1 && st.RetainedBytes < 200 })
			s.eventually("gone from the store", func(broker.Stats) bool { return d.store.count(storage.SpaceRetained) == 1 })
		})
	}
}

// TestRetainedMessagesExpireAfterARestart has those that expire while the broker is down not come back, and the others
// expire when it runs again.
func TestRetainedMessagesExpireAfterARestart(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]time.Duration{"while it is down": 11 * time.Second, "when it runs again": 5 * time.Second} {
		t.Run(name, func(t *testing.T) {
			d := newStopped(t)
			s := start(t, d.options())
			retainBriefly(s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true}), 100, 1)
			d.gone.Store(int64(down))
			b, err := broker.New(d.options())
			if err != nil {
				t.Fatal(err)
			}
			if st := b.Stats(); st.Retained != 0 != (down < 10*time.Second) {
				t.Errorf("%d retained before it runs", st.Retained)
			}
			if err := b.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			s = start(t, d.options())
			s.Advance(6 * time.Second)
			s.eventually("expired", func(st broker.Stats) bool { return st.Retained == 0 && st.RetainedBytes == 0 })
			s.eventually("gone from the store", func(broker.Stats) bool { return d.store.count(storage.SpaceRetained) == 0 })
		})
	}
}

// TestExpiredRetainedMessagesHoldNoLimit retains a message in the very turn in which others have expired.
func TestExpiredRetainedMessagesHoldNoLimit(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]broker.Limits{"messages": {MaxRetainedMessages: 100}, "bytes": {MaxRetainedBytes: 100 * 170}} {
		t.Run(name, func(t *testing.T) {
			s := start(t, broker.Options{Shards: 1, Limits: l})
			c := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
			retainBriefly(c, 100, 1)
			before := s.Stats()
			if before.Retained < 95 {
				t.Fatalf("%d retained", before.Retained)
			}
			s.Skip(10 * time.Second)
			for i := range 20 {
				c.Publish(raw.Publish{Topic: fmt.Sprint("lasting/", i), Payload: "x", QoS: 1, Retain: true})
			}
			s.eventually("expired", func(st broker.Stats) bool { return st.Retained == 20 })
			if st := s.Stats(); st.Dropped["retained_full"] != before.Dropped["retained_full"] {
				t.Errorf("%d not retained", st.Dropped["retained_full"]-before.Dropped["retained_full"])
			}
		})
	}
}
