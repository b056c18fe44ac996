package broker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
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

// mischief is clients that do at random what makes bytes wait: they don't read, don't acknowledge, go away, and subscribe with a
// maximum rate.
type mischief struct {
	s       *server
	random  *rand.Rand
	clients []*raw.Client
	payload string
}

func newMischief(s *server, seed uint64) *mischief {
	return &mischief{s: s, random: rand.New(rand.NewPCG(seed, 3)), payload: strings.Repeat("x", 20_000)}
}

// step does one of these things.
func (f *mischief) step() {
	r := f.random
	switch k := r.IntN(10); {
	case k == 0 || len(f.clients) == 0:
		id := fmt.Sprint("c", r.IntN(12))
		props := raw.Props{raw.Num(raw.SessionExpiry, r.IntN(2)*3600), raw.Num(raw.ReceiveMaximum, 1+r.IntN(100))}
		c, _ := f.s.slow(raw.Connect{Version: raw.V5, ID: id, Clean: r.IntN(3) == 0, Props: props})
		f.clients = append(f.clients, c)
	case k == 1:
		i := r.IntN(len(f.clients))
		f.clients[i].Close()
		f.clients = append(f.clients[:i], f.clients[i+1:]...)
	case k < 4:
		p := raw.Subscribe{ID: 1 + r.IntN(60000), Filters: []raw.Filter{{Name: fmt.Sprintf("t/%d/#", r.IntN(4)), Options: byte(r.IntN(3))}}}
		if r.IntN(3) == 0 {
			p.Props = raw.Props{raw.User("max_rate", "0.001")}
		}
		_ = f.clients[r.IntN(len(f.clients))].TrySend(p.Bytes(raw.V5))
	default:
		p := raw.Publish{Topic: fmt.Sprintf("t/%d/%d", r.IntN(4), r.IntN(50)), QoS: byte(r.IntN(3)), ID: 1 + r.IntN(60000),
			Payload: f.payload[:r.IntN(len(f.payload))], Retain: r.IntN(8) == 0}
		if p.QoS == 0 {
			p.ID = 0
		}
		c := f.clients[r.IntN(len(f.clients))]
		for range 20 {
			if c.TrySend(p.Bytes(raw.V5)) != nil {
				break
			}
			p.ID++
		}
	}
}

// TestAccountAddsUp holds the account of everything that waits against the sum over all sessions, after random steps, and
// against nothing when the sessions have ended.
func TestAccountAddsUp(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := start(t, broker.Options{Limits: broker.Limits{MaxQueuedBytesTotal: 4 << 20, MaxParkedBytesTotal: 1 << 20, MaxRetainedBytes: 1 << 20}})
			f := newMischief(s, seed)
			for i := range 400 {
				f.step()
				if i%50 == 49 {
					if err := s.Audit(); err != nil {
						t.Fatalf("after step %d: %v", i, err)
					}
				}
			}
			for _, c := range f.clients {
				c.Close()
			}
			s.eventually("no client is connected", func(st broker.Stats) bool { return len(st.Connections) == 0 || st.Sessions == st.SessionsOffline })
			s.Advance(3601e9)
			s.eventually("nothing waits", func(st broker.Stats) bool {
				return st.Sessions == 0 && st.QueuedBytes == 0 && st.InflightBytes == 0 && st.ParkedBytes == 0 && st.Queued == 0 && st.Inflight == 0
			})
			if err := s.Audit(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAccountBoundsTheHeap has many clients that neither read nor acknowledge, with more for each than the totals allow for all:
// the heap holds no more than these, and a little for each client.
func TestAccountBoundsTheHeap(t *testing.T) {
	const total, clients = 4 << 20, 60
	s := start(t, broker.Options{Limits: broker.Limits{MaxQueuedBytesTotal: total, MaxParkedBytesTotal: total}})
	before := heapBytes()
	for i := range clients {
		c, _ := s.slow(raw.Connect{Version: raw.V5, ID: fmt.Sprint("c", i), Props: raw.Props{raw.Num(raw.SessionExpiry, 3600)}})
		c.Subscribe(byte(i%2), fmt.Sprint("own/", i))
	}
	p := s.connect(raw.Connect{Version: raw.V5, ID: "p", Clean: true})
	payload := strings.Repeat("x", 8000)
	for i := range clients {
		for range 100 {
			p.Publish(raw.Publish{Topic: fmt.Sprint("own/", i), Payload: payload, QoS: byte(i % 2)})
		}
	}
	st := s.Stats()
	if most := int64(total + clients*(64<<10)); st.QueuedBytes+st.InflightBytes > most || st.ParkedBytes > most {
		t.Errorf("%d queued, %d in flight, %d parked: want at most %d", st.QueuedBytes, st.InflightBytes, st.ParkedBytes, most)
	}
	if grown, most := heapBytes()-before, int64(2*total+clients*(192<<10)); grown > most {
		t.Errorf("the heap grew by %d bytes, want at most %d", grown, most)
	}
	if err := s.Audit(); err != nil {
		t.Error(err)
	}
}

func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
