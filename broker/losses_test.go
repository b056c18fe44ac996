package broker_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// notice reads what a client is told on $me/dropped.
func notice(t *testing.T, p *raw.Received) (dropped int, reasons map[string]int) {
	t.Helper()
	var n struct {
		Dropped int
		Reasons map[string]int
		Last    time.Time
	}
	if err := json.Unmarshal([]byte(p.Payload), &n); err != nil || p.Topic != "$me/dropped" || n.Last.IsZero() {
		t.Fatalf("%v is no notice: %v", p, err)
	}
	return n.Dropped, n.Reasons
}

func TestFullQueue(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		limits broker.Limits
		want   []int // of the messages 0 to 9
	}{
		"drop newest":           {broker.Limits{MaxQueuedMessages: 4}, []int{0, 1, 2, 3}},
		"drop oldest":           {broker.Limits{MaxQueuedMessages: 4, Overflow: broker.OverflowDropOldest}, []int{6, 7, 8, 9}},
		"disconnect, offline":   {broker.Limits{MaxQueuedMessages: 4, Overflow: broker.OverflowDisconnect}, []int{0, 1, 2, 3}},
		"bytes":                 {broker.Limits{MaxQueuedBytes: 3000}, []int{0, 1}},
		"all queues together":   {broker.Limits{MaxQueuedMessagesTotal: 3}, []int{0, 1, 2}},
		"bytes of all together": {broker.Limits{MaxQueuedBytesTotal: 3000, Overflow: broker.OverflowDropOldest}, []int{8, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			store := newMemoryStore()
			s := start(t, broker.Options{Store: store, Limits: test.limits})
			sub := s.connect(v5Durable("sub"))
			sub.Subscribe(1, "t", "$me/dropped")
			sub.Close()
			s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
			pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
			payload := func(i int) string { return fmt.Sprintf("%d%1000d", i, 0) }
			for i := range 10 {
				pub.Publish(raw.Publish{Topic: "t", Payload: payload(i), QoS: 1})
			}
			s.eventually("counted", func(st broker.Stats) bool { return int(st.Dropped["queue_full"]) == 10-len(test.want) })
			s, _ = s.crash(store)
			sub = s.connect(v5Durable("sub"))
			told := 0
			for _, p := range receive(sub, len(test.want)+1) {
				if p.Topic == "$me/dropped" {
					dropped, reasons := notice(t, p)
					if told = dropped; reasons["queue_full"] != dropped {
						t.Errorf("told of %v", reasons)
					}
					continue
				}
				if p.Payload != payload(test.want[0]) {
					t.Errorf("got %.1s, want %d", p.Payload, test.want[0])
				}
				test.want = test.want[1:]
			}
			if len(test.want) > 0 || told == 0 {
				t.Errorf("%v did not come; told of %d", test.want, told)
			}
		})
	}
}

func TestFullQueueDisconnects(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{MaxQueuedMessages: 4, Overflow: broker.OverflowDisconnect}})
	k := v5Durable("sub")
	k.Props = append(k.Props, raw.Num(raw.ReceiveMaximum, 1))
	sub := s.connect(k)
	sub.Subscribe(1, "t")
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	for i := range 6 {
		pub.Publish(raw.Publish{Topic: "t", Payload: fmt.Sprint(i), QoS: 1})
	}
	sub.ExpectPublish("t", "0")
	if got := sub.Expect(raw.DISCONNECT); got.Code != 0x97 {
		t.Errorf("got %v, want 0x97", got)
	}
}

func TestNoticesAreTheClientsOwn(t *testing.T) {
	t.Parallel()
	rules := new(list)
	rules.set("subscribe t", "publish t", "publish $me/dropped")
	s := start(t, broker.Options{Limits: broker.Limits{MaxQueuedMessages: 1}, Hooks: []any{rules}})
	narrow := raw.Connect{Version: raw.V5, ID: "narrow", Clean: true, Props: raw.Props{raw.Num(raw.ReceiveMaximum, 1)}}
	a, b := s.connect(narrow), s.connect(raw.Connect{Version: raw.V311, ID: "b", Clean: true})
	a.Subscribe(1, "t", "$me/dropped")
	b.Subscribe(0, "$me/dropped")
	if codes := b.Subscribe(0, "$share/g/$me/dropped"); codes[0] != 0x80 {
		t.Errorf("a shared subscription to notices: % X", codes)
	}
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	for i := range 5 {
		pub.Publish(raw.Publish{Topic: "t", Payload: fmt.Sprint(i), QoS: 1})
	}
	if code := pub.Publish(raw.Publish{Topic: "$me/dropped", Payload: "forged", QoS: 1}); code != 0x87 {
		t.Errorf("publishing to $me/dropped: 0x%02X", code)
	}
	a.ExpectPublish("t", "0")
	s.Advance(2 * time.Second)
	if dropped, _ := notice(t, a.Expect(raw.PUBLISH)); dropped != 3 {
		t.Errorf("told of %d, want 3", dropped)
	}
	a.Subscribe(0, "$me/dropped") // asks anew
	if dropped, _ := notice(t, a.Expect(raw.PUBLISH)); dropped != 3 {
		t.Errorf("told of %d, want 3", dropped)
	}
	b.ExpectNothing()
}

// TestNoticeThatIsTooLarge has a client that takes neither a message nor the notice of its loss: that is the end of it.
func TestNoticeThatIsTooLarge(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true, Props: raw.Props{raw.Num(raw.MaximumPacketSize, 40)}})
	c.Subscribe(0, "t", "$me/dropped")
	s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true}).Publish(raw.Publish{Topic: "t", Payload: fmt.Sprintf("%100d", 0), QoS: 1})
	for range 5 {
		s.Advance(2 * time.Second)
	}
	if n := s.Stats().Dropped["packet_too_large"]; n != 2 {
		t.Errorf("%d were dropped, want the message and one notice", n)
	}
	c.ExpectNothing()
}

// TestNoticesToAClientThatDoesNotRead drops nothing for the notices' own sake, and tells the client when it reads again.
func TestNoticesToAClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{MaxParkedMessages: 4}})
	c, tcp := s.slow(raw.Connect{Version: raw.V5, ID: s.idOn(0, "c"), Clean: true})
	c.Subscribe(0, "t", "$me/dropped")
	pub := s.connect(raw.Connect{Version: raw.V5, ID: s.idOn(0, "pub"), Clean: true}) // acknowledged when it is delivered
	payload := fmt.Sprintf("%65000d", 0)
	for s.Stats().Dropped["parked_full"] == 0 {
		pub.Publish(raw.Publish{Topic: "t", Payload: payload, QoS: 1})
	}
	dropped := s.Stats().Dropped["parked_full"]
	for range 5 {
		s.Advance(2 * time.Second)
	}
	if n := s.Stats().Dropped["parked_full"]; n != dropped {
		t.Errorf("%d were dropped, want %d", n, dropped)
	}
	_ = tcp.SetReadBuffer(4 << 20)
	for {
		p := c.Expect(raw.PUBLISH)
		if p.Topic == "t" {
			continue
		}
		if n, _ := notice(t, p); uint64(n) != dropped {
			t.Errorf("told of %d, want %d", n, dropped)
		}
		return
	}
}
