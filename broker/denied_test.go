package broker_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// denied reads a notice of $me/denied.
func denied(t *testing.T, p *raw.Received) (count int, topic string, code byte) {
	t.Helper()
	var n struct {
		Denied int
		Topic  string
		Code   byte
		Reason string
		Last   time.Time
	}
	if err := json.Unmarshal([]byte(p.Payload), &n); err != nil || p.Topic != "$me/denied" || n.Reason == "" || n.Last.IsZero() {
		t.Fatalf("%v is no notice: %v", p, err)
	}
	return n.Denied, n.Topic, n.Code
}

// TestDeniedMessagesAreTold holds that a client can hear of messages that were refused without an answer that says so.
func TestDeniedMessagesAreTold(t *testing.T) {
	t.Parallel()
	rules := new(list)
	rules.set("publish open")
	s := start(t, broker.Options{Hooks: []any{rules}})
	for name, k := range map[string]struct {
		version byte
		answers int // of the messages with QoS 1 and 2: those that MQTT answers by itself
	}{"3.1.1": {raw.V311, 0}, "5": {raw.V5, 2}} {
		t.Run(name, func(t *testing.T) {
			c := s.connect(raw.Connect{Version: k.version, ID: name, Clean: true})
			c.Subscribe(0, "$me/denied")
			c.ExpectNothing()
			c.Publish(raw.Publish{Topic: "open", Payload: "x"})
			for qos := range byte(3) {
				c.Publish(raw.Publish{Topic: "secret/" + string('0'+qos), Payload: "x", QoS: qos})
			}
			s.Advance(2 * time.Second)
			count, topic, code := denied(t, c.Expect(raw.PUBLISH))
			want, last := 3-k.answers, "secret/2"
			if k.answers > 0 {
				last = "secret/0"
			}
			if count != want || topic != last || code != 0x87 {
				t.Errorf("told of %d, the last to %q with code 0x%02X", count, topic, code)
			}
			s.Advance(2 * time.Second)
			c.ExpectNothing() // it was told
			c.Subscribe(0, "$me/denied")
			if count, _, _ = denied(t, c.Expect(raw.PUBLISH)); count != want {
				t.Errorf("asked anew, told of %d", count)
			}
			c.Publish(raw.Publish{Topic: "$SYS/x", Payload: "x"})
			s.Advance(2 * time.Second)
			if count, topic, _ = denied(t, c.Expect(raw.PUBLISH)); count != want+1 || topic != "$SYS/x" {
				t.Errorf("then told of %d, the last to %q", count, topic)
			}
		})
	}
}
