package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// expiring is a message of QoS 1 that expires after 10 seconds.
func expiring(topic string, payload any) raw.Publish {
	return raw.Publish{Topic: topic, Payload: fmt.Sprint(payload), QoS: 1, Props: raw.Props{raw.Num(raw.MessageExpiry, 10)}}
}

// away makes a session that subscribes to q, and whose client has gone.
func (s *server) away(k raw.Connect) {
	s.t.Helper()
	before := s.Stats().SessionsOffline
	c := s.connect(k)
	c.Subscribe(2, "q")
	c.Close()
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == before+1 })
}

// TestExpiredMessagesMakeRoomForOthers fills a queue with messages that expire, and then with as many others in the very
// turn in which they have [MQTT-3.3.2-5].
func TestExpiredMessagesMakeRoomForOthers(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]broker.Limits{
		"messages":       {MaxQueuedMessages: 100},
		"bytes":          {MaxQueuedBytes: 100 * 170},
		"messages total": {MaxQueuedMessagesTotal: 100},
		"bytes total":    {MaxQueuedBytesTotal: 100 * 170},
		"drop oldest":    {MaxQueuedMessages: 100, Overflow: broker.OverflowDropOldest},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, broker.Options{Shards: 1, Limits: l, Store: newMemoryStore()})
			s.away(v5Durable("away"))
			pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
			pub.Publish(raw.Publish{Topic: "q", Payload: "first", QoS: 1})
			for i := range 60 {
				pub.Publish(expiring("q", i))
			}
			pub.Publish(raw.Publish{Topic: "q", Payload: "second", QoS: 1})
			s.Skip(10 * time.Second)
			for i := range 90 {
				pub.Publish(raw.Publish{Topic: "q", Payload: fmt.Sprint(i), QoS: 1})
			}
			s.eventually("expired", func(st broker.Stats) bool { return st.Queued == 92 })
			if st := s.Stats(); st.Dropped["queue_full"] != 0 || st.Dropped["expired"] != 60 {
				t.Errorf("dropped %v", st.Dropped)
			}
			c := s.connect(v5Durable("away"))
			for i, p := range receive(c, 92) {
				want := fmt.Sprint(i - 2)
				if i < 2 {
					want = []string{"first", "second"}[i]
				}
				if p.Payload != want {
					t.Errorf("message %d is %q, want %q", i, p.Payload, want)
				}
			}
		})
	}
}

// TestExpiredMessagesLeaveTheQueue has them go by time, from memory and from the store, whoever else waits for some of them.
func TestExpiredMessagesLeaveTheQueue(t *testing.T) {
	t.Parallel()
	d := newStopped(t)
	s := start(t, d.options())
	for i := range 4 {
		s.away(v5Durable(fmt.Sprint("away", i)))
	}
	s.away(raw.Connect{Version: raw.V5, ID: "another", Props: raw.Props{raw.Num(raw.SessionExpiry, 500)}})
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	for i := range 300 { // times are so long that what the test takes does not matter
		m := expiring("q", i)
		m.QoS, m.Props = 1+byte(i%2), raw.Props{raw.Num(raw.MessageExpiry, 1000)}
		pub.Publish(m)
	}
	s.eventually("queued", func(st broker.Stats) bool { return st.Queued == 5*300 })
	s.Advance(600 * time.Second)
	s.eventually("a session has ended", func(st broker.Stats) bool { return st.Queued == 4*300 })
	s.Advance(400 * time.Second)
	s.eventually("expired", func(st broker.Stats) bool { return st.Queued == 0 && st.QueuedBytes == 0 })
	s.eventually("gone from the store", func(broker.Stats) bool { return d.store.count(storage.SpaceMessages) == 0 })
	if n := s.Stats().Dropped["expired"]; n != 4*300 {
		t.Errorf("%d dropped as expired", n)
	}
}

// TestExpiredMessagesDoNotComeBack reads a store with messages that have expired since they were written.
func TestExpiredMessagesDoNotComeBack(t *testing.T) {
	t.Parallel()
	d := newStopped(t)
	s := start(t, d.options())
	s.away(v5Durable("away"))
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	pub.Publish(expiring("q", "old"))
	pub.Publish(raw.Publish{Topic: "q", Payload: "lasting", QoS: 1})
	pub.Publish(expiring("q", "old"))
	s.eventually("stored", func(broker.Stats) bool { return d.store.count(storage.SpaceMessages) == 3 })
	d.gone.Store(int64(11 * time.Second))
	b, err := broker.New(d.options())
	if err != nil {
		t.Fatal(err)
	}
	if st := b.Stats(); st.Queued != 1 || st.Dropped["expired"] != 2 {
		t.Errorf("before it runs: %d queued, dropped %v", st.Queued, st.Dropped)
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = start(t, d.options())
	s.eventually("gone from the store", func(broker.Stats) bool { return d.store.count(storage.SpaceMessages) == 1 })
	pub = s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	pub.Publish(raw.Publish{Topic: "q", Payload: "later", QoS: 1})
	s, d.store = s.crash(d.store)
	c := s.connect(v5Durable("away"))
	for i, p := range receive(c, 2) {
		if want := []string{"lasting", "later"}[i]; p.Payload != want {
			t.Errorf("message %d is %q, want %q", i, p.Payload, want)
		}
	}
	s.eventually("an empty store", func(broker.Stats) bool { return d.store.count(storage.SpaceMessages) == 0 })
}

// TestMessagesInFlightExpireUnlessTheyWereSent has a client go while one message is unacknowledged and others wait for the
// disk: it is sent the first again, and not the others.
func TestMessagesInFlightExpireUnlessTheyWereSent(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	c := s.connect(v5Durable("c"))
	c.Subscribe(2, "q")
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	pub.Publish(expiring("q", "sent"))
	c.Expect(raw.PUBLISH)
	store.hold(storage.SpaceMessages)
	for i := range 5 {
		m := expiring("q", i)
		m.QoS, m.ID = 2, i+1
		pub.Send(m.Bytes(raw.V5))
	}
	s.eventually("in flight", func(st broker.Stats) bool { return st.Inflight == 6 })
	c.Close()
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
	s.Advance(10 * time.Second)
	s.eventually("expired", func(st broker.Stats) bool { return st.Inflight == 1 && st.Dropped["expired"] == 5 })
	store.release()
	s.eventually("gone from the store", func(broker.Stats) bool { return store.count(storage.SpaceMessages) == 1 })
	c = s.connect(v5Durable("c"))
	if got := receive(c, 1); got[0].Payload != "sent" || !got[0].Dup {
		t.Errorf("got %v", got[0])
	}
	s.eventually("nothing in flight", func(st broker.Stats) bool { return st.Inflight == 0 })
}
