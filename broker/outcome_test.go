package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// TestNoRoomToRetain holds what the publisher of a message is told that is not retained because of a limit.
func TestNoRoomToRetain(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]broker.Limits{
		"messages": {MaxRetainedMessages: 1}, "bytes": {MaxRetainedBytes: 300},
	} {
		for qos := range byte(3) {
			for _, version := range []byte{raw.V311, raw.V5} {
				t.Run(fmt.Sprint(name, ", QoS ", qos, ", version ", version), func(t *testing.T) {
					t.Parallel()
					s := start(t, broker.Options{Limits: limits, Store: newMemoryStore()})
					sub := s.connect(raw.Connect{Version: raw.V5, ID: "sub", Clean: true})
					sub.Subscribe(0, "#")
					pub := s.connect(raw.Connect{Version: version, ID: "pub", Clean: true})
					pub.Subscribe(0, "$me/dropped")
					publish := func(topic, payload string) byte {
						return pub.Publish(raw.Publish{Topic: topic, Payload: payload, QoS: qos, Retain: true})
					}
					if code := publish("a", "1"); code != 0 {
						t.Fatalf("with room: code 0x%02X", code)
					}
					sub.ExpectPublish("a", "1")
					code := publish("b", strings.Repeat("x", 200))
					if isTold := qos > 0 && version == raw.V5; isTold {
						if code != 0x97 {
							t.Errorf("without room: code 0x%02X", code)
						}
						sub.ExpectNothing()
					} else {
						sub.ExpectPublish("b", strings.Repeat("x", 200))
						if got := pub.Expect(raw.PUBLISH); got.Topic != "$me/dropped" || !strings.Contains(got.Payload, `"retained_full":1`) {
							t.Errorf("got %v", got)
						}
					}
					if st := s.Stats(); st.Retained != 1 || st.Dropped["retained_full"] != 1 {
						t.Errorf("%d retained, dropped %v", st.Retained, st.Dropped)
					}
					publish("a", "") // makes room
					sub.ExpectPublish("a", "")
					if code := publish("b", "2"); code != 0 {
						t.Errorf("with room again: code 0x%02X", code)
					}
					sub.ExpectPublish("b", "2")
				})
			}
		}
	}
}

// TestPublisherIsToldOfFullQueues holds that a publisher is told 0x97 of a message that no session was given because their queues
// are full, and success of one that somebody was given.
func TestPublisherIsToldOfFullQueues(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 2000)
	for name, k := range map[string]struct {
		limits   broker.Limits
		filter   string
		payloads []string // the last of them finds no room
	}{
		"messages":          {limits: broker.Limits{MaxQueuedMessages: 2}, filter: "a/#", payloads: []string{"1", "2", "3"}},
		"bytes":             {limits: broker.Limits{MaxQueuedBytes: 1000}, filter: "a/b", payloads: []string{"1", large}},
		"messages in total": {limits: broker.Limits{MaxQueuedMessagesTotal: 1}, filter: "+/b", payloads: []string{"1", "2"}},
		"bytes in total":    {limits: broker.Limits{MaxQueuedBytesTotal: 1000}, filter: "#", payloads: []string{"1", large}},
		"shared":            {limits: broker.Limits{MaxQueuedMessages: 1}, filter: "$share/g/a/b", payloads: []string{"1", "2"}},
		"larger than all": {limits: broker.Limits{MaxQueuedBytes: 1000, Overflow: broker.OverflowDropOldest}, filter: "a/b",
			payloads: []string{large}},
	} {
		for qos := byte(1); qos <= 2; qos++ {
			for shard := range 2 {
				t.Run(fmt.Sprint(name, ", QoS ", qos, ", shard ", shard), func(t *testing.T) {
					t.Parallel()
					store := newMemoryStore()
					s := start(t, broker.Options{Limits: k.limits, Store: store})
					away := s.connect(v5Durable(s.idOn(0, "away")))
					away.Subscribe(2, k.filter)
					away.Close()
					s.eventually("away", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
					pub := s.connect(v5Durable(s.idOn(shard, "pub")))
					last := len(k.payloads) - 1
					for i, payload := range k.payloads {
						want := byte(0)
						if i == last {
							want = 0x97
						}
						if code := pub.Publish(raw.Publish{Topic: "a/b", Payload: payload, QoS: qos, ID: 7}); code != want {
							t.Errorf("message %d: code 0x%02X, want 0x%02X", i, code, want)
						}
					}
					old := s.connect(raw.Connect{Version: raw.V311, ID: "old", Clean: true})
					old.Publish(raw.Publish{Topic: "a/b", Payload: k.payloads[last], QoS: qos}) // cannot be told
					here := s.connect(raw.Connect{Version: raw.V5, ID: "here", Clean: true})
					here.Subscribe(0, "a/b")
					if code := pub.Publish(raw.Publish{Topic: "a/b", Payload: k.payloads[last], QoS: qos, ID: 7}); code != 0 {
						t.Errorf("with somebody who is given it: code 0x%02X", code)
					}
					here.ExpectPublish("a/b", k.payloads[last])
					if st := s.Stats(); st.Dropped["queue_full"] != 3 || st.Queued != int64(last) {
						t.Errorf("%d queued, dropped %v", st.Queued, st.Dropped)
					}
					s, _ = s.crash(store)
					if st := s.Stats(); st.Queued != int64(last) {
						t.Errorf("after a restart %d are queued, want %d", st.Queued, last)
					}
				})
			}
		}
	}
}
