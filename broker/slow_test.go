package broker_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// policy gives every topic the same queue policy.
type policy broker.QueuePolicy

func (p policy) QueuePolicy(string) broker.QueuePolicy { return broker.QueuePolicy(p) }

const (
	symbols = 50
	rounds  = 2000
)

func tick(symbol, round int) raw.Publish {
	return raw.Publish{Topic: fmt.Sprintf("ticker/%d", symbol), Payload: fmt.Sprintf("%d %s", round, strings.Repeat("x", 100))}
}

// flood publishes every round of every symbol, more than any socket holds, and waits until all has been routed. Before
// each round it calls pace.
func flood(p *raw.Client, pace func()) {
	for r := range rounds {
		pace()
		var all []byte
		for sym := range symbols {
			all = append(all, tick(sym, r).Bytes(p.Version)...)
		}
		p.Send(all)
	}
	p.Send(raw.Plain(raw.PINGREQ))
	p.Expect(raw.PINGRESP)
}

func roundOf(t *testing.T, p *raw.Received) (r int) {
	t.Helper()
	if _, err := fmt.Sscan(p.Payload, &r); err != nil {
		t.Fatalf("%v: %v", p, err)
	}
	return r
}

func TestSlowReaderOfATickerGetsTheNewest(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{policy(broker.Conflate)}})
	slow, _ := s.slow(raw.Connect{Version: raw.V311, ID: "slow", Clean: true})
	slow.Subscribe(0, "ticker/#")
	p := s.connect(raw.Connect{Version: raw.V311, ID: "publisher", Clean: true})
	flood(p, func() {})
	s.eventually("parked", func(st broker.Stats) bool { return st.Dropped["conflated"] > 0 })

	newest := map[string]int{}
	total := 0
	for len(newest) < symbols || !all(newest, rounds-1) {
		got := slow.Expect(raw.PUBLISH)
		r := roundOf(t, got)
		if before, ok := newest[got.Topic]; ok && r <= before {
			t.Fatalf("%s went back from %d to %d", got.Topic, before, r)
		}
		newest[got.Topic] = r
		total++
	}
	if total > symbols*rounds/2 {
		t.Errorf("%d of %d messages came: nothing was conflated", total, symbols*rounds)
	}
	slow.ExpectNothing()
	if st := s.Stats(); st.Parked != 0 || st.Dropped["conflated"]+uint64(total) != symbols*rounds {
		t.Errorf("parked %d, conflated %d and delivered %d of %d", st.Parked, st.Dropped["conflated"], total, symbols*rounds)
	}
}

func all(newest map[string]int, r int) bool {
	for _, n := range newest {
		if n != r {
			return false
		}
	}
	return true
}

func TestSlowReaderLosesTheOldestAndNobodyElseLosesAnything(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{MaxParkedMessages: 100}})
	slow, _ := s.slow(raw.Connect{Version: raw.V5, ID: "slow", Clean: true})
	slow.Subscribe(0, "ticker/#")
	quick := s.connect(raw.Connect{Version: raw.V5, ID: "quick", Clean: true})
	quick.Subscribe(0, "ticker/#")
	done := make(chan struct{})
	ahead := make(chan struct{}, 20) // rounds that the quick one has not read: what a socket holds easily
	go func() {
		defer close(done)
		for i := range symbols * rounds {
			got, err := quick.Read()
			if err != nil || got.Topic != fmt.Sprintf("ticker/%d", i%symbols) || roundOf(t, got) != i/symbols {
				t.Errorf("message %d: %v, %v", i, got, err)
				return
			}
			if i%symbols == symbols-1 {
				<-ahead
			}
		}
	}()
	p := s.connect(raw.Connect{Version: raw.V5, ID: "publisher", Clean: true})
	flood(p, func() {
		select {
		case ahead <- struct{}{}:
		case <-done:
		}
	})
	<-done
	last, total := -1, 0
	for last < symbols*rounds-1 {
		got := slow.Expect(raw.PUBLISH)
		var sym int
		if _, err := fmt.Sscanf(got.Topic, "ticker/%d", &sym); err != nil {
			t.Fatal(err)
		}
		if i := roundOf(t, got)*symbols + sym; i <= last {
			t.Fatalf("message %d after %d", i, last)
		} else {
			last = i
		}
		total++
	}
	if st := s.Stats(); st.Dropped["parked_full"]+uint64(total) != symbols*rounds {
		t.Errorf("dropped %d and delivered %d of %d", st.Dropped["parked_full"], total, symbols*rounds)
	}
}

func TestSlowReaderIsDisconnectedWhereThePolicySaysSo(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{policy(broker.Disconnect)}, Limits: broker.Limits{MaxParkedMessages: 100}})
	slow, _ := s.slow(raw.Connect{Version: raw.V5, ID: "slow", Clean: true})
	slow.Subscribe(0, "ticker/#")
	flood(s.connect(raw.Connect{Version: raw.V5, ID: "publisher", Clean: true}), func() {})
	s.eventually("disconnected", func(st broker.Stats) bool { return st.Closed["slow_consumer"] == 1 && st.Parked == 0 })
}

func TestSlowReaderLosesNoQoS1(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{MaxQueuedMessages: -1, MaxQueuedBytes: -1}})
	slow, _ := s.slow(raw.Connect{Version: raw.V311, ID: "slow", Clean: true})
	slow.Subscribe(1, "q/#")
	p := s.connect(raw.Connect{Version: raw.V311, ID: "publisher", Clean: true})
	const n = 5000
	body := strings.Repeat("y", 2000)
	go func() {
		for i := range n {
			p.Send(raw.Publish{Topic: "q/1", Payload: fmt.Sprint(i, " ", body), QoS: 1, ID: i%60000 + 1}.Bytes(raw.V311))
		}
	}()
	for i := range n {
		p.ExpectAck(raw.PUBACK, i%60000+1)
	}
	for i := range n {
		got := slow.Expect(raw.PUBLISH)
		if r := roundOf(t, got); r != i || got.Dup {
			t.Fatalf("message %d is %d, dup %v", i, r, got.Dup)
		}
		slow.Send(raw.Ack(raw.PUBACK, got.ID))
	}
	s.eventually("all acknowledged", func(st broker.Stats) bool { return st.Inflight == 0 && st.Queued == 0 && st.QueuedBytes == 0 })
}

func TestRetainedReplayAtTheReadersPace(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	p := s.connect(raw.Connect{Version: raw.V311, ID: "publisher", Clean: true})
	const n = 20000
	var all []byte
	for i := range n {
		all = append(all, raw.Publish{Topic: fmt.Sprintf("r/%d", i), Payload: strings.Repeat("z", 200), Retain: true}.Bytes(raw.V311)...)
	}
	p.Send(all)
	s.eventually("retained", func(st broker.Stats) bool { return st.Retained == n })
	for _, qos := range []byte{0, 1} {
		slow, _ := s.slow(raw.Connect{Version: raw.V311, ID: fmt.Sprint("slow", qos), Clean: true})
		slow.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "r/#", Options: qos}}}.Bytes(raw.V311))
		slow.ExpectAck(raw.SUBACK, 1)
		seen := map[string]bool{}
		for range n {
			got := slow.Expect(raw.PUBLISH)
			if !got.Retain || seen[got.Topic] {
				t.Fatalf("%v: not retained, or seen before", got)
			}
			seen[got.Topic] = true
		}
		slow.ExpectNothing()
	}
	if st := s.Stats(); st.Dropped["parked_full"] != 0 {
		t.Errorf("%d dropped", st.Dropped["parked_full"])
	}
}

// TestReplayForgetsEndedSubscriptions has a client subscribe and unsubscribe while its quota holds up the retained messages. The
// subscriptions that stand get theirs, in order.
func TestReplayForgetsEndedSubscriptions(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Shards: 1})
	filters := []string{"first", "second", "third"}
	for _, topic := range filters {
		if err := s.Publish(broker.Message{Topic: topic, Payload: []byte("x"), QoS: 1, Retain: true}); err != nil {
			t.Fatal(err)
		}
	}
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true, Props: raw.Props{raw.Num(raw.ReceiveMaximum, 1)}})
	pair := append(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "none", Options: 1}}}.Bytes(raw.V5),
		raw.Unsubscribe{ID: 1, Filters: []string{"none"}}.Bytes(raw.V5)...)
	var got *raw.Received // unacknowledged
	for _, filter := range filters {
		c.Subscribe(1, filter)
		if got == nil {
			got = c.Expect(raw.PUBLISH)
		}
		c.Send(bytes.Repeat(pair, 1000))
		for range 1000 {
			c.ExpectAck(raw.SUBACK, 1)
			c.ExpectAck(raw.UNSUBACK, 1)
		}
	}
	if n := s.ReplayParts(); n > 100 {
		t.Errorf("%d parts of a replay for %d subscriptions", n, len(filters))
	}
	for i, topic := range filters {
		if i > 0 {
			got = c.Expect(raw.PUBLISH)
		}
		if got.Topic != topic {
			t.Errorf("got %q, want %q", got.Topic, topic)
		}
		c.Send(raw.Ack(raw.PUBACK, got.ID))
	}
}
