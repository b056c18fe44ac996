package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// stopped is a broker with a store that can be down for any time.
type stopped struct {
	t     *testing.T
	store *memoryStore
	gone  atomic.Int64 // on the system clock, in nanoseconds
	begin time.Time
}

func newStopped(t *testing.T) *stopped {
	return &stopped{t: t, store: newMemoryStore(), begin: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// options are those of a broker that finds what the store holds now.
func (d *stopped) options() broker.Options {
	o := broker.Options{Shards: 2}
	broker.SetWallClock(&o, func() time.Time { return d.begin.Add(time.Duration(d.gone.Load())) })
	d.store = d.store.copied()
	o.Store = d.store
	return o
}

// nothingStored waits until the store holds no session and no message.
func (d *stopped) nothingStored(s *server) {
	d.t.Helper()
	for _, space := range []storage.Space{storage.SpaceSessions, storage.SpaceSubscriptions, storage.SpaceFlows, storage.SpaceMessages, storage.SpaceRetained} {
		s.eventually("an empty space of the store", func(broker.Stats) bool { return d.store.count(space) == 0 })
	}
}

// TestSessionThatExpiredWhileTheBrokerWasDown ends before anybody can resume it, and leaves nothing in the store
// [MQTT-4.1.0-2].
func TestSessionThatExpiredWhileTheBrokerWasDown(t *testing.T) {
	t.Parallel()
	d := newStopped(t)
	s := start(t, d.options())
	brief := raw.Connect{Version: raw.V5, ID: "brief", Props: raw.Props{raw.Num(raw.SessionExpiry, 100)}}
	c := s.connect(brief)
	c.Subscribe(1, "q")
	c.Close()
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	pub.Publish(raw.Publish{Topic: "q", Payload: "waits", QoS: 1})
	s.eventually("stored", func(broker.Stats) bool { return d.store.count(storage.SpaceMessages) == 1 })

	d.gone.Store(int64(101 * time.Second))
	b, err := broker.New(d.options())
	if err != nil {
		t.Fatal(err)
	}
	if st := b.Stats(); st.Sessions != 0 || st.SessionsExpired != 1 || st.Queued != 0 || st.Subscriptions != 0 {
		t.Errorf("before it runs: %d sessions, %d expired, %d queued, %d subscriptions", st.Sessions, st.SessionsExpired, st.Queued, st.Subscriptions)
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = start(t, d.options())
	d.nothingStored(s)
	if ack := s.dial(raw.V5).Connect(brief); ack.SessionPresent {
		t.Error("the session is resumed")
	}
}

// TestWillThatWasDueWhileTheBrokerWasDown is published though its client is the first to connect.
func TestWillThatWasDueWhileTheBrokerWasDown(t *testing.T) {
	t.Parallel()
	for name, expiry := range map[string]int{"its session has ended": 100, "its session stands": 3600} {
		t.Run(name, func(t *testing.T) {
			d := newStopped(t)
			s := start(t, d.options())
			watcher := s.connect(v5Durable("watcher"))
			watcher.Subscribe(1, "will")
			k := raw.Connect{Version: raw.V5, ID: "c", Props: raw.Props{raw.Num(raw.SessionExpiry, expiry)}, Will: &raw.Will{
				Topic: "will", Payload: "gone", QoS: 1, Props: raw.Props{raw.Num(raw.WillDelay, 60)}}}
			s.connect(k).Close()
			watcher.Close()
			s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 2 })
			s.eventually("stored", func(broker.Stats) bool { return d.store.count(storage.SpaceSessions) == 2 })

			d.gone.Store(int64(200 * time.Second))
			s = start(t, d.options())
			if ack := s.dial(raw.V5).Connect(k); ack.SessionPresent != (expiry == 3600) {
				t.Errorf("session present %v", ack.SessionPresent)
			}
			watcher = s.connect(v5Durable("watcher"))
			if got := receive(watcher, 1); got[0].Payload != "gone" {
				t.Errorf("got %v", got[0])
			}
		})
	}
}

// TestSessionEndsForWhoComesBeforeItsTimer has a client connect in the very turn in which its session has expired.
func TestSessionEndsForWhoComesBeforeItsTimer(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Shards: 1, Limits: broker.Limits{ConnectTimeout: time.Hour}}) // longer than is skipped
	k := raw.Connect{Version: raw.V5, ID: "c", Props: raw.Props{raw.Num(raw.SessionExpiry, 100)}}
	s.connect(k).Close()
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
	next := s.dial(raw.V5)
	s.eventually("accepted", func(st broker.Stats) bool { return st.Shards[0].Connections == 1 })
	s.Skip(100 * time.Second)
	if ack := next.Connect(k); ack.SessionPresent {
		t.Error("the session is resumed")
	}
	if st := s.Stats(); st.SessionsExpired != 1 || st.SessionsOffline != 0 {
		t.Errorf("%d expired, %d offline", st.SessionsExpired, st.SessionsOffline)
	}
}

// TestWillThatExpiresWhileTheStoreFails is not published when the store works again, however often that was tried: its time
// goes on from when it was due. Nothing of it or of its session stays behind.
func TestWillThatExpiresWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]time.Duration{"for long": 8 * time.Second, "for a moment": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			store := newMemoryStore()
			s := start(t, broker.Options{Store: store})
			watcher := s.connect(v5Durable("watcher"))
			watcher.Subscribe(2, "will")
			mortal := s.connect(raw.Connect{Version: raw.V5, ID: "mortal", Props: raw.Props{raw.Num(raw.SessionExpiry, 1)},
				Will: &raw.Will{Topic: "will", Payload: "gone", QoS: 2, Props: raw.Props{raw.Num(raw.MessageExpiry, 6)}}})
			s.eventually("both are in the store", func(broker.Stats) bool { return store.count(storage.SpaceSessions) == 2 })
			store.setFail(errors.New("disk full"))
			mortal.Close()
			s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
			for d := time.Duration(0); d < fails; d += time.Second {
				s.Advance(time.Second)
			}
			s.eventually("the session has ended", func(st broker.Stats) bool { return st.Sessions == 1 })
			store.setFail(nil)
			s.Advance(1500 * time.Millisecond) // it tries again every second
			if fails < 6*time.Second {
				if got := receive(watcher, 1); got[0].Payload != "gone" {
					t.Errorf("got %v", got[0])
				}
			}
			watcher.ExpectNothing()
			s.eventually("nothing is left of it", func(st broker.Stats) bool {
				return store.count(storage.SpaceSessions) == 1 && store.count(storage.SpaceMessages) == 0 && st.Inflight == 0
			})
		})
	}
}

// TestSharedMessagesOfASessionThatExpiredWhileTheBrokerWasDown go to a member that is left.
func TestSharedMessagesOfASessionThatExpiredWhileTheBrokerWasDown(t *testing.T) {
	t.Parallel()
	for shard := range 2 {
		d := newStopped(t)
		s := start(t, d.options())
		brief := s.connect(raw.Connect{Version: raw.V5, ID: s.idOn(shard, "brief"), Props: raw.Props{raw.Num(raw.SessionExpiry, 100)}})
		brief.Subscribe(1, "$share/g/jobs")
		pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
		for i := range 3 {
			pub.Publish(raw.Publish{Topic: "jobs", Payload: fmt.Sprint(i), QoS: 1})
		}
		id := s.idOn(0, "stays")
		s.connect(v5Durable(id)).Subscribe(1, "$share/g/jobs")
		brief.Close()
		s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
		s.eventually("stored", func(broker.Stats) bool { return d.store.count(storage.SpaceMessages) == 3 })
		d.gone.Store(int64(200 * time.Second))
		s = start(t, d.options())
		if got := receive(s.connect(v5Durable(id)), 3); len(got) != 3 {
			t.Errorf("got %v", got)
		}
	}
}

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

// retainBriefly retains n messages that expire after 10 seconds, and returns when they are acknowledged.
func retainBriefly(c *raw.Client, n int, qos byte) {
	for i := range n {
		c.Publish(raw.Publish{Topic: fmt.Sprint("brief/", i), Payload: "x", QoS: qos, Retain: true, Props: raw.Props{raw.Num(raw.MessageExpiry, 10)}})
	}
	c.Send(raw.Plain(raw.PINGREQ))
	c.Expect(raw.PINGRESP)
}

// TestExpiredRetainedMessagesGo has them go by time, from memory and from the store, though nobody asks for them
// (MQTT 5 3.3.2.3.3).
func TestExpiredRetainedMessagesGo(t *testing.T) {
	t.Parallel()
	for _, qos := range []byte{0, 1} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			d := newStopped(t)
			s := start(t, d.options())
			for i := range 2 { // on both shards
				c := s.connect(raw.Connect{Version: raw.V5, ID: s.idOn(i, "pub"), Clean: true})
				retainBriefly(c, 300, qos)
				c.Publish(raw.Publish{Topic: "lasting", Payload: "x", QoS: qos, Retain: true})
			}
			s.eventually("retained", func(st broker.Stats) bool { return st.Retained == 301 })
			s.Advance(9 * time.Second)
			if st := s.Stats(); st.Retained != 301 {
				t.Fatalf("%d retained after 9 s", st.Retained)
			}
			s.Advance(time.Second)
			s.eventually("expired", func(st broker.Stats) bool { return st.Retained == 1 && st.RetainedBytes < 200 })
			s.eventually("gone from the store", func(broker.Stats) bool { return d.store.count(storage.SpaceRetained) == 1 })
		})
	}
}

// TestRetainedMessagesExpireAfterARestart has those that expire while the broker is down not come back, and the others
// expire when it runs again.
func TestRetainedMessagesExpireAfterARestart(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]time.Duration{"while it is down": 11 * time.Second, "when it runs again": 5 * time.Second} {
		t.Run(name, func(t *testing.T) {
			d := newStopped(t)
			s := start(t, d.options())
			retainBriefly(s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true}), 100, 1)
			d.gone.Store(int64(down))
			b, err := broker.New(d.options())
			if err != nil {
				t.Fatal(err)
			}
			if st := b.Stats(); st.Retained != 0 != (down < 10*time.Second) {
				t.Errorf("%d retained before it runs", st.Retained)
			}
			if err := b.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			s = start(t, d.options())
			s.Advance(6 * time.Second)
			s.eventually("expired", func(st broker.Stats) bool { return st.Retained == 0 && st.RetainedBytes == 0 })
			s.eventually("gone from the store", func(broker.Stats) bool { return d.store.count(storage.SpaceRetained) == 0 })
		})
	}
}

// TestExpiredRetainedMessagesHoldNoLimit retains a message in the very turn in which others have expired.
func TestExpiredRetainedMessagesHoldNoLimit(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]broker.Limits{"messages": {MaxRetainedMessages: 100}, "bytes": {MaxRetainedBytes: 100 * 170}} {
		t.Run(name, func(t *testing.T) {
			s := start(t, broker.Options{Shards: 1, Limits: l})
			c := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
			retainBriefly(c, 100, 1)
			before := s.Stats()
			if before.Retained < 95 {
				t.Fatalf("%d retained", before.Retained)
			}
			s.Skip(10 * time.Second)
			for i := range 20 {
				c.Publish(raw.Publish{Topic: fmt.Sprint("lasting/", i), Payload: "x", QoS: 1, Retain: true})
			}
			s.eventually("expired", func(st broker.Stats) bool { return st.Retained == 20 })
			if st := s.Stats(); st.Dropped["retained_full"] != before.Dropped["retained_full"] {
				t.Errorf("%d not retained", st.Dropped["retained_full"]-before.Dropped["retained_full"])
			}
		})
	}
}
