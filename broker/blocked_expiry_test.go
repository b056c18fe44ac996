package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// TestParkedMessagesExpire has messages that have expired give their room back while a socket is full: by time, and at the
// limit, so that nothing is lost and nobody disconnected for their sake.
func TestParkedMessagesExpire(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(*server, time.Duration){
		"by time":      func(s *server, d time.Duration) { s.Advance(d) },
		"at the limit": func(s *server, d time.Duration) { s.Skip(d) },
	} {
		t.Run(name, func(t *testing.T) {
			limits := broker.Limits{MaxParkedMessages: 200, MaxParkedBytes: 1 << 30}
			s := start(t, broker.Options{Shards: 1, Limits: limits, Hooks: []any{policy(broker.Disconnect)}})
			reader, _ := s.slow(raw.Connect{Version: raw.V5, ID: "slow", Clean: true})
			reader.Subscribe(0, "t/#")
			pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
			sent := 0
			publish := func(m raw.Publish) {
				m.Topic = fmt.Sprint("t/", sent)
				pub.Publish(m)
				sent++
			}
			large := raw.Publish{Payload: strings.Repeat("x", 100<<10)}
			for s.Stats().Parked == 0 { // until the socket is full
				publish(large)
			}
			for range 20 { // behind which the others wait, if the socket takes a little more
				publish(large)
			}
			first := sent
			for range 100 {
				publish(raw.Publish{Payload: "old", Props: raw.Props{raw.Num(raw.MessageExpiry, 10)}})
			}
			pub.Send(raw.Plain(raw.PINGREQ))
			pub.Expect(raw.PINGRESP)
			wait(s, 10*time.Second)
			if name == "by time" {
				s.eventually("expired", func(st broker.Stats) bool { return st.Dropped["expired"] == 100 })
			}
			for range 150 {
				publish(raw.Publish{Payload: "new"})
			}
			for i := range sent {
				if i >= first && i < first+100 {
					continue
				}
				if p := reader.Expect(raw.PUBLISH); p.Topic != fmt.Sprint("t/", i) {
					t.Fatalf("got %s, want t/%d", p.Topic, i)
				}
			}
			if st := s.Stats(); st.Dropped["expired"] != 100 || st.Dropped["parked_full"] != 0 {
				t.Errorf("dropped %v", st.Dropped)
			}
		})
	}
}

// TestPacedMessagesExpire holds back what a subscription with a maximum rate is not sent yet, until it has expired: it takes
// no room, and is not sent when its turn comes.
func TestPacedMessagesExpire(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Shards: 1, Limits: broker.Limits{MaxParkedBytes: 4000}})
	reader := s.connect(raw.Connect{Version: raw.V5, ID: "reader", Clean: true})
	subscribeAt(reader, "0.001", 0, "t/#")
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	large := strings.Repeat("x", 3000)
	for _, topic := range []string{"t/a", "t/b"} {
		pub.Publish(raw.Publish{Topic: topic, Payload: "at once"})
		reader.ExpectPublish(topic, "at once")
	}
	pub.Publish(raw.Publish{Topic: "t/a", Payload: large, Props: raw.Props{raw.Num(raw.MessageExpiry, 10)}})
	s.Advance(time.Second)
	s.Skip(10 * time.Second)
	pub.Publish(raw.Publish{Topic: "t/c", Payload: "now"}) // a turn
	reader.ExpectPublish("t/c", "now")
	s.eventually("expired", func(st broker.Stats) bool { return st.Dropped["expired"] == 1 })
	pub.Publish(raw.Publish{Topic: "t/b", Payload: large}) // there is room for it to wait
	reader.ExpectNothing()
	s.Skip(1000 * time.Second)
	pub.Publish(raw.Publish{Topic: "t/d", Payload: "now"})
	for range 2 {
		if p := reader.Expect(raw.PUBLISH); p.Topic != "t/b" && p.Topic != "t/d" {
			t.Errorf("got %s", p.Topic)
		}
	}
}
