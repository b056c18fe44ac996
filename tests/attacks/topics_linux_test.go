package attacks_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// maliciousClient connects a malicious client.
func (s *server) maliciousClient(id string) *raw.Client {
	s.t.Helper()
	conn, err := net.DialTimeout("tcp", s.Address("tcp"), waitLimit)
	if err != nil {
		s.t.Fatal(err)
	}
	c := raw.New(s.t, conn, raw.V5)
	c.Connect(raw.Connect{Version: raw.V5, ID: id, Clean: true, KeepAlive: 600})
	return c
}

// deepFilter returns a filter of many levels, some of them wildcards, distinct for each n.
func deepFilter(n int) string {
	levels := make([]string, 10)
	for i := range levels {
		levels[i] = "a"
		if i == 9 || n>>i&1 == 1 {
			levels[i] = "+"
		}
	}
	return strings.Join(levels, "/")
}

// A client subscribes to as many filters as possible. All match the thousands of topics that another one publishes to
// and has retained messages for. A third requests all retained messages, in many ways and repeatedly. Limits apply,
// and other clients keep working.
func TestFloodOfTopicsAndWildcards(t *testing.T) {
	t.Parallel() // in parallel with tests that do not measure delays
	const subscriptions, retained, topics = 500, 2000, 4_000
	s := serve(t, set(fmt.Sprint("limits.max_subscriptions=", subscriptions), fmt.Sprint("limits.max_retained_messages=", retained))...)
	ws := s.honestClients(5, "", "tcp", "ws")
	before := s.memory("VmRSS")

	c := s.maliciousClient("vandal")
	granted := 0
	for from := 0; from < 2*subscriptions; from += 100 {
		filters := make([]string, 100)
		for i := range filters {
			filters[i] = deepFilter((from+i)%512) + strings.Repeat("/#", (from+i)/512)
		}
		for _, code := range c.Subscribe(0, filters...) {
			switch {
			case code == 0 && granted < subscriptions:
				granted++
			case code != 0x97 || granted < subscriptions:
				t.Fatalf("after %d subscriptions the next is answered by 0x%02X", granted, code)
			}
		}
	}
	s.newcomers(2, "", "tcp", "ws")

	flood := s.maliciousClient("flood")
	for i := range topics { // each is cached with all its matches
		flood.Send(raw.Publish{Topic: strings.Repeat("a/", 9) + fmt.Sprint(i)}.Bytes(raw.V5))
	}
	if code := flood.Publish(raw.Publish{Topic: "last", QoS: 1, ID: 1}); code != 0x10 && code != 0 {
		t.Errorf("PUBACK has 0x%02X", code)
	}
	s.newcomers(2, "", "tcp", "ws")

	for i := range 2 * retained {
		topic := strings.Repeat("a/", 9) + string(rune('a'+i%2)) + fmt.Sprint(i)
		flood.Send(raw.Publish{Topic: topic, Payload: "x", Retain: true}.Bytes(raw.V5))
	}
	flood.Publish(raw.Publish{Topic: "last", QoS: 1, ID: 2})
	if n := s.metric("outcry_broker_retained_messages "); n != retained {
		t.Errorf("%v messages are retained, want %d", n, retained)
	}

	greedy := s.maliciousClient("greedy") // does not read
	for id := 1; id <= 20; id++ {
		filters := make([]raw.Filter, subscriptions)
		for i := range filters {
			filters[i].Name = deepFilter(rand.N(1<<9)) + "/#"
		}
		if err := greedy.TrySend(raw.Subscribe{ID: id, Filters: filters}.Bytes(raw.V5)); err != nil {
			t.Fatal(err)
		}
	}
	all := strings.Repeat("\x00\x01#\x00", 10_000) // in one packet
	if err := greedy.TrySend(raw.Packet(0x82, raw.U16(21), []byte{0}, []byte(all))); err != nil {
		t.Fatal(err)
	}
	s.newcomers(5, "", "tcp", "ws")
	eventually(t, "the subscriptions are made", func() bool {
		return s.metric("outcry_broker_subscriptions ") >= 2*subscriptions
	})
	s.newcomers(5, "", "tcp", "ws")
	ws.finish()
	s.wantGrowth(before, 256<<20)
}
