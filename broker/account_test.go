package broker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// TestReadersLoseNothingToAbsentSessions has a thousand absent sessions fill what may wait in all. A hundred clients that
// read at full speed get everything all the same, and what waits stays within the limit.
func TestReadersLoseNothingToAbsentSessions(t *testing.T) {
	t.Parallel()
	// A reader has at most first+publishers*ahead messages in its queue, which counts as less than 4 KiB for one that reads.
	const absent, readers, publishers, each, ahead, first = 1000, 100, 4, 100, 5, 90
	const limit = 12 << 20
	s := start(t, broker.Options{Store: newMemoryStore(), Limits: broker.Limits{MaxQueuedBytesTotal: limit}})
	s.AddSessions(absent, func(int) string { return "absent" })
	s.eventually("subscribed", func(st broker.Stats) bool { return st.Subscriptions == absent })
	p := s.connect(raw.Connect{Version: raw.V311, ID: "filler", Clean: true})
	for s.Stats().Dropped["queue_full"] == 0 {
		p.Publish(raw.Publish{Topic: "absent", Payload: strings.Repeat("a", 1000), QoS: 1})
	}
	before := s.Stats()
	if before.QueuedBytes < limit*7/8 {
		t.Fatalf("%d bytes wait when messages are lost", before.QueuedBytes)
	}
	news := raw.Publish{Topic: "news", Payload: strings.Repeat("n", 500), QoS: 1}
	var clients []*raw.Client
	for i := range readers {
		c := s.connect(raw.Connect{Version: raw.V5, ID: fmt.Sprint("reader", i), Clean: true, Props: raw.Props{raw.Num(raw.ReceiveMaximum, 4)}})
		c.Subscribe(1, "news")
		clients = append(clients, c)
	}
	for range first { // wait for all, since none has begun to read
		p.Publish(news)
	}
	if s.Stats().Dropped["queue_full"] == before.Dropped["queue_full"] {
		t.Error("nobody had to give way: the test shows nothing")
	}
	var wg sync.WaitGroup
	var missing [first + publishers*each]atomic.Int64 // readers that have not got so many messages
	for n := range missing {
		missing[n].Store(readers)
	}
	slots := make(chan struct{}, publishers*ahead) // messages that some reader has not got
	failed, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i, c := range clients {
		wg.Go(func() {
			for n := range missing {
				m, err := c.Read()
				if err != nil || m.Type != raw.PUBLISH {
					t.Errorf("reader %d: message %d: %v, %v", i, n, m, err)
					cancel()
					return
				}
				c.Send(raw.Ack(raw.PUBACK, m.ID))
				if missing[n].Add(-1) == 0 && n >= first {
					<-slots
				}
			}
		})
	}
	for i := range publishers {
		c := s.connect(raw.Connect{Version: raw.V311, ID: fmt.Sprint("publisher", i), Clean: true})
		wg.Go(func() {
			for range each {
				select {
				case slots <- struct{}{}:
				case <-failed.Done():
					return
				}
				c.Publish(news)
				if waits := s.Stats().QueuedBytes; waits > limit {
					t.Errorf("%d bytes wait, %d may", waits, limit)
				}
			}
		})
	}
	wg.Wait()
}

// TestLongestQueueGivesWay fills the account with the queue of one absent session, and has another one get messages, on the
// same shard or another. The longest queue loses messages by the policy, is told, and loses them in the store as well.
func TestLongestQueueGivesWay(t *testing.T) {
	t.Parallel()
	const most, others = 64, 16
	for name, policy := range map[string]broker.OverflowPolicy{
		"drop newest": broker.OverflowDropNewest, "drop oldest": broker.OverflowDropOldest, "disconnect": broker.OverflowDisconnect,
	} {
		for _, shard := range []int{0, 1} {
			t.Run(fmt.Sprint(name, ", shard ", shard), func(t *testing.T) {
				t.Parallel()
				store := newMemoryStore()
				s := start(t, broker.Options{Store: store, Limits: broker.Limits{MaxQueuedMessagesTotal: most, Overflow: policy}})
				pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
				long, short := v5Durable(s.idOn(0, "long")), v5Durable(s.idOn(shard, "short"))
				for k, filters := range map[*raw.Connect][]string{&long: {"long", "$me/dropped"}, &short: {"short"}} {
					c := s.connect(*k)
					c.Subscribe(1, filters...)
					c.Close()
				}
				s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 2 })
				for i := range most {
					pub.Publish(raw.Publish{Topic: "long", Payload: fmt.Sprint(i), QoS: 1})
				}
				for i := range others {
					pub.Publish(raw.Publish{Topic: "short", Payload: fmt.Sprint(i), QoS: 1})
				}
				s.eventually("the longest has given way", func(st broker.Stats) bool { return st.Queued <= most && s.AllStored() })
				before := s.Stats()
				s, _ = s.crash(store)
				if st := s.Stats(); st.Queued != before.Queued || st.QueuedBytes != before.QueuedBytes {
					t.Errorf("%d messages wait after the start, %d did before", st.Queued, before.Queued)
				}
				for i, p := range receive(s.connect(short), others) {
					if p.Payload != fmt.Sprint(i) {
						t.Fatalf("the short queue has %s for %d", p.Payload, i)
					}
				}
				left := int(before.Queued) - others
				first := 0
				if policy == broker.OverflowDropOldest {
					first = most - left
				}
				told := 0
				for _, p := range receive(s.connect(long), left+1) {
					if p.Topic == "$me/dropped" {
						told, _ = notice(t, p)
						continue
					}
					if p.Payload != fmt.Sprint(first) {
						t.Fatalf("the long queue has %s, want %d", p.Payload, first)
					}
					first++
				}
				if told != most-left || told == 0 {
					t.Errorf("told of %d, want %d", told, most-left)
				}
			})
		}
	}
}

// TestWhatGaveWayStaysAway has a session lose messages that the store still keeps for another one, and get later ones: a start
// does not bring back those that it has lost.
func TestWhatGaveWayStaysAway(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store, Limits: broker.Limits{MaxQueuedMessagesTotal: 64}})
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	for id, filters := range map[string][]string{"long": {"own", "common"}, "other": {"common"}, "short": {"short"}} {
		c := s.connect(v5Durable(id))
		c.Subscribe(1, filters...)
		c.Close()
	}
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 3 })
	publish := func(topic string, n int) {
		for i := range n {
			pub.Publish(raw.Publish{Topic: topic, Payload: fmt.Sprint(i), QoS: 1})
		}
	}
	publish("own", 40)
	publish("common", 10)
	publish("short", 10)
	s.eventually("room", func(st broker.Stats) bool { return st.Queued <= 60 && st.Dropped["queue_full"] > 5 })
	c := s.connect(v5Durable("short"))
	receive(c, 10)
	bye(c)
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 3 && st.Inflight == 0 })
	publish("own", 2)
	s.eventually("all is stored", func(broker.Stats) bool { return s.AllStored() })
	before := s.Stats()
	s, _ = s.crash(store)
	if st := s.Stats(); st.Queued != before.Queued || st.QueuedBytes != before.QueuedBytes {
		t.Errorf("%d messages of %d bytes wait after the start, %d of %d did before", st.Queued, st.QueuedBytes, before.Queued, before.QueuedBytes)
	}
	got := receive(s.connect(v5Durable("long")), int(before.Queued)-10)
	for i, p := range got[len(got)-2:] {
		if p.Topic != "own" || p.Payload != fmt.Sprint(i) {
			t.Errorf("message %d from the end is %v", 2-i, p)
		}
	}
}

// TestMessageThatGaveWayIsNotSpoiled has a queue give way with the very message that another session is about to get.
func TestMessageThatGaveWayIsNotSpoiled(t *testing.T) {
	t.Parallel()
	for fill := 38; fill < 46; fill++ {
		s := start(t, broker.Options{Shards: 1, Limits: broker.Limits{MaxQueuedMessagesTotal: 64}})
		subscribers := []string{"long", "a", "b", "c"}
		for _, id := range subscribers {
			c := s.connect(v5Durable(id))
			c.Subscribe(1, "common", id)
			bye(c)
		}
		s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 4 })
		p := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
		for i := range fill {
			p.Publish(raw.Publish{Topic: "long", Payload: fmt.Sprint(i), QoS: 1})
		}
		for i := range 10 {
			p.Publish(raw.Publish{Topic: "common", Payload: fmt.Sprint("common ", i), QoS: 1})
		}
		for _, id := range subscribers[1:] {
			for i, got := range receive(s.connect(v5Durable(id)), 10) {
				if got.Payload != fmt.Sprint("common ", i) {
					t.Fatalf("%d messages before: %s got %.20q for message %d", fill, id, got.Payload, i)
				}
			}
		}
	}
}
