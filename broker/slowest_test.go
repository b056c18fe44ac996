package broker_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

func (s *server) slowest(n int) []broker.SlowClient {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), raw.Patience)
	defer cancel()
	all, err := s.Slowest(ctx, n)
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func TestSlowest(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{policy(broker.Conflate)}, Limits: broker.Limits{MaxQueuedMessages: 2}})
	for i := range 20 {
		s.connect(raw.Connect{Version: raw.V311, ID: fmt.Sprint("quick", i), Clean: true}).Subscribe(0, "other")
	}
	if all := s.slowest(10); len(all) != 0 {
		t.Fatalf("nobody is slow: %+v", all)
	}
	var slow []*raw.Client
	for i := range 3 {
		c, _ := s.slow(raw.Connect{Version: raw.V311, ID: fmt.Sprint("slow", i), Clean: true})
		c.Subscribe(0, "ticker/#")
		slow = append(slow, c)
	}
	silent := s.connect(raw.Connect{Version: raw.V5, ID: "silent", Clean: true, Props: raw.Props{raw.Num(raw.ReceiveMaximum, 1)}})
	silent.Subscribe(1, "q")
	began := time.Now()
	p := s.connect(raw.Connect{Version: raw.V5, ID: "publisher", Clean: true})
	for i := range 5 {
		p.Publish(raw.Publish{Topic: "q", Payload: fmt.Sprint(i), QoS: 1})
	}
	flood(p, func() {})
	s.eventually("parked", func(st broker.Stats) bool { return st.Parked == 3 && st.Dropped["conflated"] > 0 })
	var found, two []broker.SlowClient
	s.eventually("the sockets take nothing more", func(broker.Stats) bool {
		found, two = s.slowest(10), s.slowest(2)
		same := func(a, b broker.SlowClient) bool {
			return a.ID == b.ID && a.Bytes == b.Bytes && maps.Equal(a.Lost, b.Lost)
		}
		return len(found) > 2 && slices.EqualFunc(two, found[:2], same) && slices.EqualFunc(found, s.slowest(10), same)
	})
	var ids []string
	for i, x := range found {
		ids = append(ids, x.ID)
		if i > 0 && x.Bytes > found[i-1].Bytes {
			t.Errorf("%s has more bytes than %s before it", x.ID, found[i-1].ID)
		}
		if x.ID == "silent" {
			if x.Queued != 2 || x.Inflight != 1 || x.Waiting != 0 || !x.ParkedSince.IsZero() || !maps.Equal(x.Lost, map[string]uint64{"queue_full": 2}) {
				t.Errorf("%+v", x)
			}
			continue
		}
		if x.Waiting == 0 || x.Waiting > symbols || x.Bytes == 0 || len(x.Lost) != 1 || x.Lost["conflated"] == 0 || x.Remote == "" || x.Listener != "tcp" {
			t.Errorf("%+v", x)
		}
		if x.ParkedSince.Before(began.Add(-time.Second)) || x.LastWrite.Before(x.ParkedSince) || x.LastWrite.After(time.Now().Add(time.Second)) {
			t.Errorf("parked since %v, written last at %v", x.ParkedSince, x.LastWrite)
		}
	}
	slices.Sort(ids)
	if want := []string{"silent", "slow0", "slow1", "slow2"}; !slices.Equal(ids, want) {
		t.Errorf("slow are %v, want %v", ids, want)
	}
	if none := s.slowest(0); len(none) != 0 {
		t.Errorf("none: %+v", none)
	}
	for newest := map[string]int{}; len(newest) < symbols || !all(newest, rounds-1); { // it reads again
		got := slow[0].Expect(raw.PUBLISH)
		newest[got.Topic] = roundOf(t, got)
	}
	s.eventually("it has everything", func(broker.Stats) bool {
		return slices.ContainsFunc(s.slowest(10), func(x broker.SlowClient) bool {
			return x.ID == "slow0" && x.Waiting == 0 && x.ParkedSince.IsZero() && x.Lost["conflated"] > 0
		})
	})
}

func TestSlowestOfABrokerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	b, err := broker.New(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Slowest(t.Context(), 1); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("one that does not run: %v", err)
	}
	s := start(t, broker.Options{})
	s.connect(raw.Connect{Version: raw.V311, ID: "a", Clean: true})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Slowest(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("one that has no time: %v", err)
	}
}

// What the operator alone is told of is not kept, nor told to the client.
func TestSkippedMessagesAreNoGap(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	sub := s.connect(v5Durable("sub"))
	sub.Subscribe(1, "t", "$me/dropped")
	sub.Close()
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	pub.Publish(raw.Publish{Topic: "t", Payload: "old", QoS: 1, Props: raw.Props{raw.Num(raw.MessageExpiry, 1)}})
	s.Advance(2 * time.Second)
	sub = s.connect(v5Durable("sub"))
	s.eventually("expired", func(st broker.Stats) bool { return st.Dropped["expired"] == 1 })
	if all := s.slowest(1); len(all) != 1 || !maps.Equal(all[0].Lost, map[string]uint64{"expired": 1}) || all[0].Bytes != 0 {
		t.Errorf("slowest: %+v", all)
	}
	sub.Subscribe(0, "$me/dropped")
	sub.ExpectNothing()
	sub.Close()
	s, _ = s.crash(store)
	sub = s.connect(v5Durable("sub"))
	pub = s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	pub.Publish(raw.Publish{Topic: "t", Payload: "new", QoS: 1})
	sub.ExpectPublish("t", "new")
}
