//go:build unix

package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// TestReplayIsNotGathered has a subscriber who does not read sent much that is retained: it waits where it is retained.
func TestReplayIsNotGathered(t *testing.T) {
	const messages, size, most = 30_000, 1 << 10, 8 << 20
	s := start(t, broker.Options{})
	for i := range messages {
		m := broker.Message{Topic: fmt.Sprint("r/", i), Payload: []byte(strings.Repeat("x", size)), Retain: true}
		if err := s.Publish(m); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually("all is retained", func(st broker.Stats) bool { return st.Retained == messages })
	c, _ := s.slow(raw.Connect{Version: raw.V311, ID: "slow", Clean: true})
	before := measureMemory(t)
	c.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "r/#"}}}.Bytes(raw.V311))
	s.eventually("its socket is full", func(st broker.Stats) bool { return st.Parked == 1 && st.MessagesSent[0] > 0 })
	if heap, _ := measureMemory(t).since(before, 1); heap > most {
		t.Errorf("%.1f MiB more for a replay of %d", heap/(1<<20), messages*size>>20)
	}
	c.Expect(raw.SUBACK)
	for range messages {
		if p := c.Expect(raw.PUBLISH); len(p.Payload) != size {
			t.Fatalf("%d bytes of %q", len(p.Payload), p.Topic)
		}
	}
}
