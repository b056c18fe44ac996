package broker_test

import (
	"errors"
	"fmt"
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
