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

func v5Durable(id string) raw.Connect {
	return raw.Connect{Version: raw.V5, ID: id, Props: raw.Props{raw.Num(raw.SessionExpiry, 3600)}}
}

// receive takes n messages, acknowledges them, and returns when every one is done with.
func receive(c *raw.Client, n int) (got []*raw.Received) {
	for open := 0; len(got) < n || open > 0; {
		p, err := c.Read()
		switch {
		case err != nil:
			panic(err)
		case p.Type == raw.PUBREL:
			c.Send(raw.Ack(raw.PUBCOMP, p.ID))
			open--
			continue
		case p.QoS == 1:
			c.Send(raw.Ack(raw.PUBACK, p.ID))
		case p.QoS == 2:
			c.Send(raw.Ack(raw.PUBREC, p.ID))
			open++
		}
		got = append(got, p)
	}
	return got
}

// crash ends a broker as SIGKILL would, as far as its store is concerned, and starts another on what is left.
func (s *server) crash(store *memoryStore) (*server, *memoryStore) {
	s.t.Helper()
	left := store.copied()
	return start(s.t, broker.Options{Store: left}), left
}

func TestDurableSessionOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	for _, k := range []raw.Connect{v5Durable("sub"), {Version: raw.V311, ID: "sub"}} {
		t.Run(fmt.Sprint("version ", k.Version), func(t *testing.T) {
			store := newMemoryStore()
			s := start(t, broker.Options{Store: store})
			sub := s.connect(k)
			sub.Subscribe(1, "a/#")
			sub.Subscribe(2, "b")
			pub := s.connect(v5Durable("pub"))
			sub.Close()
			s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
			for i := range 10 {
				pub.Publish(raw.Publish{Topic: fmt.Sprint("a/", i), Payload: "x", QoS: 1})
				pub.Publish(raw.Publish{Topic: "b", Payload: fmt.Sprint(i), QoS: 2})
			}
			s, store = s.crash(store)
			if st := s.Stats(); st.Sessions != 2 || st.Subscriptions != 2 || st.Queued != 20 {
				t.Fatalf("%d sessions, %d subscriptions, %d queued", st.Sessions, st.Subscriptions, st.Queued)
			}
			sub = s.dial(k.Version)
			if ack := sub.Connect(k); !ack.SessionPresent {
				t.Error("no session present")
			}
			for i, p := range receive(sub, 20) {
				if want := fmt.Sprint("a/", i/2); i%2 == 0 && p.Topic != want || i%2 == 1 && p.Payload != fmt.Sprint(i/2) {
					t.Errorf("message %d is %v", i, p)
				}
			}
			s.eventually("nothing left", func(st broker.Stats) bool { return st.Inflight == 0 })
			s.eventually("nothing left in the store", func(broker.Stats) bool { return store.count(storage.SpaceMessages) == 0 })
			pub = s.connect(v5Durable("pub"))
			pub.Publish(raw.Publish{Topic: "b", Payload: "later", QoS: 1})
			sub.ExpectPublish("b", "later")
		})
	}
}

func TestAcknowledgedWhenItIsKeptForEveryDurableSession(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	for i := range 8 { // on both shards
		c := s.connect(v5Durable(fmt.Sprint("sub", i)))
		c.Subscribe(2, "t")
		c.Close()
	}
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 8 })
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	store.hold(storage.SpaceMessages)
	pub.Send(
		raw.Publish{Topic: "t", Payload: "1", QoS: 1, ID: 1}.Bytes(raw.V5),
		raw.Publish{Topic: "t", Payload: "2", QoS: 2, ID: 2}.Bytes(raw.V5),
	)
	s.eventually("a commit", func(broker.Stats) bool { return store.commits() > 0 })
	pub.ExpectNothing()
	store.release()
	pub.ExpectAck(raw.PUBACK, 1)
	pub.ExpectAck(raw.PUBREC, 2)
	if n := store.count(storage.SpaceMessages); n != 2 {
		t.Errorf("%d messages in the store for 8 sessions, want 2", n)
	}
	s, _ = s.crash(store)
	if st := s.Stats(); st.Queued != 16 {
		t.Errorf("%d queued, want 16", st.Queued)
	}
}

func TestQoS2WaitsForTheDisk(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	sub := s.connect(v5Durable("sub"))
	sub.Subscribe(2, "t")
	pub := s.connect(v5Durable("pub"))
	store.hold(storage.SpaceMessages)
	pub.Send(raw.Publish{Topic: "t", Payload: "1", QoS: 2, ID: 7}.Bytes(raw.V5))
	s.eventually("a commit", func(broker.Stats) bool { return store.commits() > 0 })
	sub.ExpectNothing()
	pub.ExpectNothing()
	store.release()
	pub.ExpectAck(raw.PUBREC, 7)
	got := sub.ExpectPublish("t", "1")

	store.hold(storage.SpaceFlows)
	sub.Send(raw.Ack(raw.PUBREC, got.ID))
	pub.Send(raw.Ack(raw.PUBREL, 7))
	s.eventually("a commit", func(broker.Stats) bool { return store.commits() > 0 })
	sub.ExpectNothing()
	pub.ExpectNothing()
	store.release()
	sub.ExpectAck(raw.PUBREL, got.ID)
	pub.ExpectAck(raw.PUBCOMP, 7)
	sub.Send(raw.Ack(raw.PUBCOMP, got.ID))
	s.eventually("nothing left in the store", func(broker.Stats) bool { return store.count(storage.SpaceMessages) == 0 })
}

func TestInflightKeepsItsPacketIdentifiers(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	sub := s.connect(v5Durable("sub"))
	sub.Subscribe(2, "#")
	pub := s.connect(v5Durable("pub"))
	for i := range 6 {
		pub.Publish(raw.Publish{Topic: "t", Payload: fmt.Sprint(i), QoS: byte(1 + i%2)})
	}
	var sent []*raw.Received
	for i := range 6 {
		sent = append(sent, sub.ExpectPublish("t", fmt.Sprint(i)))
	}
	sub.Send(raw.Ack(raw.PUBACK, sent[2].ID)) // out of order
	sub.Send(raw.Ack(raw.PUBREC, sent[1].ID))
	sub.ExpectAck(raw.PUBREL, sent[1].ID)
	pub.Send(raw.Publish{Topic: "t", Payload: "open", QoS: 2, ID: 99}.Bytes(raw.V5))
	pub.ExpectAck(raw.PUBREC, 99)
	open := sub.ExpectPublish("t", "open")

	s, _ = s.crash(store)
	sub = s.dial(raw.V5)
	sub.SendConnect(v5Durable("sub"))
	if ack := sub.Expect(raw.CONNACK); !ack.SessionPresent {
		t.Error("no session present")
	}
	for i, p := range sent {
		switch i {
		case 1:
			sub.ExpectAck(raw.PUBREL, p.ID)
		case 2:
		default:
			if got := sub.ExpectPublish("t", fmt.Sprint(i)); got.ID != p.ID || !got.Dup {
				t.Errorf("message %d came with identifier %d and DUP %v, was %d", i, got.ID, got.Dup, p.ID)
			}
		}
	}
	if got := sub.ExpectPublish("t", "open"); got.ID != open.ID {
		t.Errorf("identifier %d, was %d", got.ID, open.ID)
	}
	pub = s.dial(raw.V5)
	pub.Connect(v5Durable("pub"))
	pub.Send(raw.Publish{Topic: "t", Payload: "open", QoS: 2, ID: 99, Dup: true}.Bytes(raw.V5))
	pub.ExpectAck(raw.PUBREC, 99)
	sub.ExpectNothing() // it is known
	pub.Send(raw.Ack(raw.PUBREL, 99))
	pub.ExpectAck(raw.PUBCOMP, 99)
	pub.Publish(raw.Publish{Topic: "t", Payload: "next", QoS: 1})
	sub.ExpectPublish("t", "next")
}

func TestStoreThatFailsLosesNothingThatIsAcknowledged(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	sub := s.connect(v5Durable("sub"))
	sub.Subscribe(2, "t")
	pub := s.connect(v5Durable("pub"))
	store.setFail(errors.New("disk full"))
	for _, qos := range []byte{1, 2} {
		pub.Send(raw.Publish{Topic: "t", Payload: fmt.Sprint("lost ", qos), QoS: qos, ID: 1}.Bytes(raw.V5))
		if got := pub.Expect(raw.DISCONNECT); got.Code != 0x89 {
			t.Errorf("%v, want 0x89", got)
		}
		pub = s.connect(v5Durable("pub"))
	}
	free := s.connect(raw.Connect{Version: raw.V5, ID: "free", Clean: true})
	free.Publish(raw.Publish{Topic: "t", Payload: "QoS 0 goes on"})
	if got := receive(sub, 2); got[0].Payload != "lost 1" || got[1].Payload != "QoS 0 goes on" {
		t.Errorf("got %v", got) // the first was on its way already, which at least once allows
	}
	store.setFail(nil)
	s.Advance(2 * time.Second) // it tries again every second
	s.eventually("the store works again", func(broker.Stats) bool { return !s.StoreFails() })
	pub.Send(raw.Publish{Topic: "t", Payload: "lost 2", QoS: 2, ID: 1, Dup: true}.Bytes(raw.V5))
	pub.ExpectAck(raw.PUBREC, 1)
	if got := receive(sub, 1); got[0].Payload != "lost 2" {
		t.Errorf("got %v", got)
	}
	sub.ExpectNothing()
	s.eventually("nothing left in the store", func(broker.Stats) bool { return store.count(storage.SpaceMessages) == 0 })
	s, _ = s.crash(store)
	if st := s.Stats(); st.Sessions != 2 || st.Subscriptions != 1 || st.Queued != 0 {
		t.Errorf("%+v", st)
	}
}

func TestSubscriptionIsAcknowledgedWhenItIsOnDisk(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	c := s.connect(v5Durable("c"))
	c.Publish(raw.Publish{Topic: "r", Payload: "retained", Retain: true, QoS: 1})
	store.hold(storage.SpaceSubscriptions)
	c.Send(raw.Subscribe{ID: 5, Filters: []raw.Filter{{Name: "r", Options: 1}}}.Bytes(raw.V5))
	s.eventually("a commit", func(broker.Stats) bool { return store.commits() == 1 })
	c.ExpectNothing()
	store.release()
	c.Expect(raw.SUBACK)
	c.ExpectPublish("r", "retained")
	store.hold(storage.SpaceSubscriptions)
	c.Send(raw.Unsubscribe{ID: 6, Filters: []string{"r"}}.Bytes(raw.V5))
	s.eventually("a commit", func(broker.Stats) bool { return store.commits() == 1 })
	c.ExpectNothing()
	store.release()
	c.Expect(raw.UNSUBACK)
	if n := store.count(storage.SpaceSubscriptions); n != 0 {
		t.Errorf("%d subscriptions in the store", n)
	}
}

func TestSessionThatEndsLeavesNothingInTheStore(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	c := s.connect(v5Durable("c"))
	c.Subscribe(2, "a", "b/#", "$share/g/c")
	c.Close()
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	for _, name := range []string{"a", "b/1", "c"} {
		pub.Publish(raw.Publish{Topic: name, Payload: "x", QoS: 2})
	}
	if n := store.count(storage.SpaceMessages); n != 3 {
		t.Errorf("%d messages in the store", n)
	}
	s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	s.eventually("nothing left in the store", func(broker.Stats) bool {
		return store.count(storage.SpaceMessages)+store.count(storage.SpaceSessions)+store.count(storage.SpaceFlows)+
			store.count(storage.SpaceSubscriptions) == 0
	})
}

func TestSharedSubscriptionOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	for _, id := range []string{"a", "b", "c"} {
		c := s.connect(v5Durable(id))
		c.Subscribe(1, "$share/g/jobs/#")
		c.Close()
	}
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 3 })
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	for i := range 30 {
		pub.Publish(raw.Publish{Topic: fmt.Sprint("jobs/", i), Payload: "x", QoS: 1})
	}
	s, _ = s.crash(store)
	if st := s.Stats(); st.SharedSubscriptions != 3 || st.Queued != 30 {
		t.Fatalf("%d members, %d queued", st.SharedSubscriptions, st.Queued)
	}
	s.connect(raw.Connect{Version: raw.V5, ID: "a", Clean: true}) // its share goes to the others
	s.connect(raw.Connect{Version: raw.V5, ID: "b", Clean: true})
	c := s.connect(v5Durable("c"))
	for range 30 {
		c.Expect(raw.PUBLISH)
	}
	c.ExpectNothing()
}

// TestExpiryGoesOnWhileTheBrokerIsDown counts by the system clock only what passed while the broker was down.
func TestExpiryGoesOnWhileTheBrokerIsDown(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before, down time.Duration // that pass while the broker runs, and while it does not
		jump         time.Duration // of the system clock, while the broker is down
		expired      bool
	}{
		"not yet":                   {before: 50 * time.Second, down: 40 * time.Second},
		"expired while it was down": {before: 50 * time.Second, down: 60 * time.Second, expired: true},
		"expired while it ran":      {before: 110 * time.Second, expired: true},
		"the clock has gone back":   {before: 50 * time.Second, down: 40 * time.Second, jump: -time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			var gone atomic.Int64 // on the system clock
			begin := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
			store := newMemoryStore()
			options := broker.Options{}
			broker.SetWallClock(&options, func() time.Time { return begin.Add(time.Duration(gone.Load())) })
			options.Store = store
			s := start(t, options)
			k := raw.Connect{Version: raw.V5, ID: "c", Props: raw.Props{raw.Num(raw.SessionExpiry, 100)}}
			c := s.connect(k)
			c.Subscribe(1, "t")
			c.Close()
			s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
			s.Advance(test.before)
			s.eventually("all is in the store", func(broker.Stats) bool { return store.count(storage.SpaceSessions) > 0 || test.expired })
			gone.Store(int64(test.before + test.down + test.jump))
			options.Store = store.copied()
			s = start(t, options)
			s.eventually("expired, or not", func(st broker.Stats) bool { return st.Sessions == 1 != test.expired })
			if test.expired {
				return
			}
			s.Advance(5 * time.Second)
			if ack := s.dial(raw.V5).Connect(k); !ack.SessionPresent {
				t.Error("no session present")
			}
		})
	}
}

// TestClockThatJumpsWhileTheBrokerRuns moves no deadline.
func TestClockThatJumpsWhileTheBrokerRuns(t *testing.T) {
	t.Parallel()
	var jump atomic.Int64
	base := time.Now()
	options := broker.Options{Store: newMemoryStore()}
	broker.SetWallClock(&options, func() time.Time { return base.Add(time.Duration(jump.Load())) })
	s := start(t, options)
	k := raw.Connect{Version: raw.V5, ID: "c", Props: raw.Props{raw.Num(raw.SessionExpiry, 100)}}
	c := s.connect(k)
	c.Publish(raw.Publish{Topic: "r", Payload: "x", Retain: true, Props: raw.Props{raw.Num(raw.MessageExpiry, 100)}})
	c.Send(raw.Plain(raw.PINGREQ))
	c.Expect(raw.PINGRESP)
	c.Close()
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
	jump.Store(int64(24 * time.Hour))
	s.Advance(50 * time.Second)
	if err := s.Shutdown(t.Context()); err != nil { // notes how far the clock has jumped
		t.Fatal(err)
	}
	s = start(t, options)
	if st := s.Stats(); st.Sessions != 1 || st.Retained != 1 {
		t.Errorf("%d sessions and %d retained messages after the clock has jumped by a day", st.Sessions, st.Retained)
	}
	s.Advance(60 * time.Second)
	s.eventually("the session has expired", func(st broker.Stats) bool { return st.Sessions == 0 })
}

// TestWillOutlivesTheProcess publishes the will of a client that does not come back to a broker that was away.
func TestWillOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	will := func(id string, delay int) raw.Connect {
		return raw.Connect{Version: raw.V5, ID: id, Props: raw.Props{raw.Num(raw.SessionExpiry, 3600)},
			Will: &raw.Will{Topic: "will/" + id, Payload: "gone", QoS: 1, Props: raw.Props{raw.Num(raw.WillDelay, delay)}}}
	}
	s.connect(will("stays", 0))
	s.connect(will("returns", 0))
	late := s.connect(will("late", 60))
	watcher := s.connect(v5Durable("watcher"))
	watcher.Subscribe(1, "will/#")
	s.eventually("all is in the store", func(broker.Stats) bool { return store.count(storage.SpaceSessions) == 4 })
	late.Close() // its delay goes on
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
	s.eventually("no will", func(st broker.Stats) bool { return st.MessagesSent[1] == 0 })

	s, store = s.crash(store)
	watcher = s.connect(v5Durable("watcher"))
	s.connect(will("returns", 0))
	s.Advance(11 * time.Second)
	if got := receive(watcher, 1); got[0].Topic != "will/stays" {
		t.Errorf("got %v", got[0])
	}
	s.Advance(60 * time.Second)
	if got := receive(watcher, 1); got[0].Topic != "will/late" {
		t.Errorf("got %v", got[0])
	}
	s.eventually("the wills are done with", func(broker.Stats) bool { return store.count(storage.SpaceMessages) == 0 })
	s, _ = s.crash(store)
	s.Advance(11 * time.Second)
	watcher = s.connect(v5Durable("watcher"))
	if got := receive(watcher, 1); got[0].Topic != "will/returns" {
		t.Errorf("got %v", got[0])
	}
	watcher.ExpectNothing() // the others' were published once
}

// TestWillOfASessionThatEndsWhileTheStoreFails has a will that could not be stored, and then its session ends before the store
// works again.
func TestWillOfASessionThatEndsWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	watcher := s.connect(v5Durable("watcher"))
	watcher.Subscribe(2, "will")
	mortal := s.connect(raw.Connect{Version: raw.V5, ID: "mortal", Props: raw.Props{raw.Num(raw.SessionExpiry, 1)},
		Will: &raw.Will{Topic: "will", Payload: "gone", QoS: 2}})
	s.eventually("both are in the store", func(broker.Stats) bool { return store.count(storage.SpaceSessions) == 2 })
	store.setFail(errors.New("disk full"))
	mortal.Close()
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
	s.Advance(1500 * time.Millisecond)
	s.eventually("the session has ended", func(st broker.Stats) bool { return st.Sessions == 1 })
	store.setFail(nil)
	s.expectWillOnce(store, watcher)
}

// expectWillOnce expects the will of an ended session after the store has begun to work again, and that the store has only the session
// of its subscriber then.
func (s *server) expectWillOnce(store *memoryStore, watcher *raw.Client) {
	s.t.Helper()
	s.Advance(2 * time.Second) // it tries again every second
	if got := receive(watcher, 1); got[0].Payload != "gone" {
		s.t.Errorf("got %v", got[0])
	}
	watcher.ExpectNothing()
	s.eventually("nothing is left of it", func(broker.Stats) bool {
		return store.count(storage.SpaceSessions) == 1 && store.count(storage.SpaceMessages) == 0
	})
}

// TestWillOfASessionThatEndsBeforeTheStoreFails has a session end while its will is on the way to the store, which then fails.
func TestWillOfASessionThatEndsBeforeTheStoreFails(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	watcher := s.connect(v5Durable("watcher"))
	watcher.Subscribe(2, "will")
	mortal := s.connect(raw.Connect{Version: raw.V5, ID: "mortal", Props: raw.Props{raw.Num(raw.SessionExpiry, 1)},
		Will: &raw.Will{Topic: "will", Payload: "gone", QoS: 2}})
	s.eventually("both are in the store", func(broker.Stats) bool { return store.count(storage.SpaceSessions) == 2 })
	store.hold(storage.SpaceMessages)
	mortal.Close()
	s.eventually("the will is on its way", func(broker.Stats) bool { return store.commits() == 1 })
	s.Advance(1500 * time.Millisecond)
	s.eventually("the session has ended", func(st broker.Stats) bool { return st.Sessions == 1 })
	store.finish(0, errDiskFull)
	store.release()
	s.Advance(2 * time.Second) // it tries again every second
	receive(watcher, 1)
	s.eventually("nothing is left of it", func(broker.Stats) bool {
		return store.count(storage.SpaceSessions) == 1 && store.count(storage.SpaceMessages) == 0
	})
}

// TestWillThatWasWrittenThoughTheStoreFailed has the store fail after it has written a will, and the process killed before the store
// answers again. Meanwhile another shard stores the state of the subscriber's session. The subscriber must get the will after the start.
func TestWillThatWasWrittenThoughTheStoreFailed(t *testing.T) {
	t.Parallel()
	for _, qos := range []byte{1, 2} {
		store := newMemoryStore()
		s := start(t, broker.Options{Store: store})
		watching := v5Durable(s.idOn(1, "watcher"))
		watcher := s.connect(watching)
		watcher.Subscribe(qos, "will", "other")
		mortal := s.connect(raw.Connect{Version: raw.V5, ID: s.idOn(0, "mortal"), Props: raw.Props{raw.Num(raw.SessionExpiry, 60)},
			Will: &raw.Will{Topic: "will", Payload: "gone", QoS: 2}})
		s.eventually("both are in the store", func(broker.Stats) bool { return store.count(storage.SpaceSessions) == 2 })
		bye(watcher)
		s.eventually("the watcher is away", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
		store.hold(storage.SpaceMessages)
		mortal.Close()
		s.eventually("the will is on its way", func(broker.Stats) bool { return store.commits() == 1 })
		store.finish(0, errSync)
		s.connect(watching).Close() // stores the session's flow; with QoS 1 the will is sent already
		s.eventually("the watcher is away again", func(st broker.Stats) bool { return st.SessionsOffline == 2 })
		s, _ = s.crash(store)
		watcher = s.connect(watching)
		if got := receive(watcher, 1); got[0].Payload != "gone" {
			t.Errorf("QoS %d: got %v", qos, got[0])
		}
		watcher.ExpectNothing()
	}
}

// TestMessageThatWasWrittenThoughTheStoreFailed has the store fail after it has written a QoS 2 message with its publisher's state, and
// the process killed before the message is deleted. Meanwhile another shard stores the state of the subscriber, which has passed the
// message over. The publisher repeats it, and the subscriber must get it once.
func TestMessageThatWasWrittenThoughTheStoreFailed(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	watching, publishing := v5Durable(s.idOn(1, "watcher")), v5Durable(s.idOn(0, "publisher"))
	watcher := s.connect(watching)
	watcher.Subscribe(2, "jobs")
	publisher := s.connect(publishing)
	publisher.Publish(raw.Publish{Topic: "jobs", Payload: "first", QoS: 2, ID: 1})
	id := watcher.ExpectPublish("jobs", "first").ID
	watcher.Send(raw.Ack(raw.PUBREC, id))
	watcher.ExpectAck(raw.PUBREL, id)
	watcher.Send(raw.Ack(raw.PUBCOMP, id))
	watcher.ExpectNothing()
	store.hold(storage.SpaceMessages)
	lost := raw.Publish{Topic: "jobs", Payload: "second", QoS: 2, ID: 2}
	publisher.Send(lost.Bytes(raw.V5))
	s.eventually("the message is on its way", func(broker.Stats) bool { return store.commits() == 1 })
	store.finish(0, errSync)
	publisher.ExpectEnd(0x89)
	watcher.ExpectNothing()
	watcher.Close() // stores the session's flow
	s.eventually("both are away", func(st broker.Stats) bool { return st.SessionsOffline == 2 })
	s.connect(watching).Close()
	s.eventually("both are away again", func(st broker.Stats) bool { return st.SessionsOffline == 2 && st.Connections[0].Total == 3 })
	s, _ = s.crash(store)
	publisher = s.connect(publishing)
	lost.Dup = true
	if code := publisher.Publish(lost); code != 0 {
		t.Errorf("code %#x", code)
	}
	watcher = s.connect(watching)
	watcher.ExpectPublish("jobs", "second")
	watcher.ExpectNothing()
}

// TestReplayOutlivesTheProcess cuts off the replay of retained messages to a client with a small window.
func TestReplayOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	pub := s.connect(v5Durable("pub"))
	const topics = 50
	for i := range topics {
		pub.Publish(raw.Publish{Topic: fmt.Sprint("r/", i), Payload: "x", QoS: 1, Retain: true})
	}
	k := v5Durable("sub")
	k.Props = append(k.Props, raw.Num(raw.ReceiveMaximum, 5))
	s.connect(k).Subscribe(1, "r/#")
	s.eventually("the first are on their way", func(broker.Stats) bool { return store.count(storage.SpaceMessages) >= 5 })
	s, store = s.crash(store)
	sub := s.connect(k)
	seen := map[string]bool{}
	for len(seen) < topics {
		seen[receive(sub, 1)[0].Topic] = true
	}
	for more := true; more; { // some come twice, and may come last
		sub.Send(raw.Plain(raw.PINGREQ))
		p, err := sub.Read()
		for more = false; err == nil && p.Type == raw.PUBLISH; p, err = sub.Read() {
			sub.Send(raw.Ack(raw.PUBACK, p.ID))
			more = true
		}
		if err != nil || p.Type != raw.PINGRESP {
			t.Fatalf("got %v, %v", p, err)
		}
	}
	s.eventually("nothing left in the store", func(broker.Stats) bool { return store.count(storage.SpaceMessages) == 0 })
	s, _ = s.crash(store)
	s.connect(k).ExpectNothing()
}

func TestCheckStore(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	sub := s.connect(v5Durable("sub"))
	sub.Subscribe(2, "t/#", "$share/g/u")
	pub := s.connect(v5Durable("pub"))
	for i := range 3 {
		pub.Send(raw.Publish{Topic: "t/1", Payload: "x", QoS: 2, ID: i + 1, Retain: true}.Bytes(raw.V5))
		pub.ExpectAck(raw.PUBREC, i+1)
	}
	check := func(of *memoryStore) (problems []error) {
		t.Helper()
		if err := storage.Check(of, func(err error) { problems = append(problems, err) }); err != nil {
			t.Fatal(err)
		}
		return problems
	}
	if problems := check(store.copied()); len(problems) > 0 {
		t.Errorf("a sound store has problems: %v", problems)
	}
	for _, space := range []storage.Space{
		storage.SpaceRetained, storage.SpaceSessions, storage.SpaceSubscriptions, storage.SpaceFlows, storage.SpaceMessages,
	} {
		left := store.copied()
		for key, value := range left.values[space] {
			left.values[space][key] = value[:len(value)/2]
			if space == storage.SpaceRetained {
				left.values[space][key] = nil
			}
		}
		if problems := check(left); len(problems) != len(left.values[space]) {
			t.Errorf("space %d with %d records cut off: %v", space, len(left.values[space]), problems)
		}
		if _, err := broker.New(broker.Options{Store: left}); err == nil {
			t.Errorf("space %d: a broker started on records that were cut off", space)
		}
	}
}
