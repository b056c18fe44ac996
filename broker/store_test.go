package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

func TestRetainedIsAcknowledgedWhenItIsStored(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	store.hold(storage.SpaceRetained)
	s := start(t, broker.Options{Store: store})
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	c.Send(
		raw.Publish{Topic: "a", Payload: "1", QoS: 1, Retain: true, ID: 1}.Bytes(raw.V5),
		raw.Publish{Topic: "b", Payload: "2", QoS: 2, Retain: true, ID: 2}.Bytes(raw.V5),
		raw.Publish{Topic: "c", Payload: "3", QoS: 1, ID: 3}.Bytes(raw.V5),
	)
	s.eventually("a commit", func(broker.Stats) bool { return store.commits() == 1 })
	c.ExpectNothing() // also the third waits, so that acknowledgements keep their order
	c.Send(raw.Publish{Topic: "a", Payload: "4", QoS: 1, Retain: true, ID: 4}.Bytes(raw.V5))
	c.ExpectNothing()
	if n := store.commits(); n != 1 {
		t.Errorf("%d commits before the first was answered", n)
	}
	store.finish(0, nil)
	c.ExpectAck(raw.PUBACK, 1)
	c.ExpectAck(raw.PUBREC, 2)
	c.ExpectAck(raw.PUBACK, 3)
	s.eventually("another commit", func(broker.Stats) bool { return store.commits() == 2 })
	c.ExpectNothing()
	store.finish(1, nil)
	c.ExpectAck(raw.PUBACK, 4)
	c.Send(raw.Ack(raw.PUBREL, 2))
	c.ExpectAck(raw.PUBCOMP, 2)
	if code := c.Publish(raw.Publish{Topic: "c", Payload: "5", QoS: 1}); code != 0x10 {
		t.Errorf("PUBACK 0x%02X after the store has caught up", code)
	}
}

func TestStoreThatFailsIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	store.hold(storage.SpaceRetained)
	s := start(t, broker.Options{Store: store})
	k := raw.Connect{Version: raw.V5, ID: "c", Props: raw.Props{raw.Num(raw.SessionExpiry, 100)}}
	c := s.connect(k)
	p := raw.Publish{Topic: "a", Payload: "1", QoS: 2, Retain: true, ID: 1}
	c.Send(p.Bytes(raw.V5))
	s.eventually("a commit", func(broker.Stats) bool { return store.commits() == 1 })
	store.finish(0, errors.New("disk full"))
	if got := c.Expect(raw.DISCONNECT); got.Code != 0x89 {
		t.Errorf("%v, want 0x89", got)
	}
	c.ExpectClosed()
	store.release() // what failed is over; the next write will tell that the disk works
	s.Advance(2 * time.Second)
	c = s.connect(k)
	c.Subscribe(0, "b") // which waits for the disk
	p.Dup = true
	c.Send(p.Bytes(raw.V5)) // is not taken for a duplicate
	c.ExpectAck(raw.PUBREC, 1)
	if n := store.count(storage.SpaceRetained); n != 1 {
		t.Errorf("%d retained messages in the store", n)
	}
}

func TestRetainedIsRestored(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	props := raw.Props{raw.Txt(raw.ContentType, "text/plain"), raw.User("k", "v"), raw.Num(raw.MessageExpiry, 1000)}
	c.Publish(raw.Publish{Topic: "with", Payload: "properties", Retain: true, Props: props})
	c.Publish(raw.Publish{Topic: "gone", Payload: "x", Retain: true})
	c.Publish(raw.Publish{Topic: "gone", Retain: true})
	for i := range 100 {
		c.Publish(raw.Publish{Topic: fmt.Sprint("t/", i), Payload: fmt.Sprint(i), Retain: true})
	}
	c.Send(raw.Plain(raw.PINGREQ))
	c.Expect(raw.PINGRESP)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}

	s = start(t, broker.Options{Store: store})
	if st := s.Stats(); st.Retained != 101 {
		t.Fatalf("%d restored, want 101", st.Retained)
	}
	c = s.connect(raw.Connect{Version: raw.V5, ID: "d", Clean: true})
	c.Subscribe(0, "with", "gone")
	got := c.ExpectPublish("with", "properties")
	if !got.Retain || got.Props.Txt(raw.ContentType) != "text/plain" || len(got.Props.All(raw.UserProperty)) != 1 {
		t.Errorf("%v", got)
	}
	if left := got.Props.Num(raw.MessageExpiry); left < 900 || left > 1000 {
		t.Errorf("%d seconds left of 1000", left)
	}
	c.ExpectNothing()
	c.Subscribe(0, "t/#")
	for range 100 {
		c.Expect(raw.PUBLISH)
	}
}

func TestRestoreRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for name, value := range map[string][]byte{"empty": {}, "version": {9, 0, 0}, "length": {1, 0, 200, 1}} {
		store := newMemoryStore()
		store.values[storage.SpaceRetained]["t"] = value
		if _, err := broker.New(broker.Options{Store: store}); err == nil {
			t.Errorf("%s: New read % X", name, value)
		}
	}
}

func TestExpiredRetainedIsRemoved(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	c.Publish(raw.Publish{Topic: "brief", Payload: "x", Retain: true, Props: raw.Props{raw.Num(raw.MessageExpiry, 1)}})
	c.Publish(raw.Publish{Topic: "long", Payload: "y", Retain: true})
	s.eventually("retained", func(st broker.Stats) bool { return st.Retained == 2 })
	s.eventually("expired, seen by who subscribes, and gone", func(st broker.Stats) bool {
		d := s.connect(raw.Connect{Version: raw.V5, ID: "d", Clean: true})
		d.Subscribe(0, "brief")
		d.Close()
		return st.Retained == 1
	})
	store.mu.Lock()
	defer store.mu.Unlock()
	retained := store.values[storage.SpaceRetained]
	if _, there := retained["brief"]; there || len(retained) != 1 {
		t.Errorf("the store has %q", retained)
	}
}

// TestFullStoreIsNoFailure has a store refuse commits because too much waits: nobody is disconnected, acknowledgements wait,
// and each message is stored once there is room.
func TestFullStoreIsNoFailure(t *testing.T) {
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	sub := s.connect(raw.Connect{Version: raw.V5, ID: "subscriber", Props: raw.Props{raw.Num(raw.SessionExpiry, 3600)}})
	sub.Subscribe(1, "a")
	sub.Close()
	p := s.connect(raw.Connect{Version: raw.V5, ID: "publisher", Clean: true})
	store.setFail(storage.ErrFull)
	p.Send(raw.Publish{Topic: "a", Payload: "1", QoS: 1, ID: 1}.Bytes(p.Version), raw.Publish{Topic: "a", Payload: "2", QoS: 1, ID: 2}.Bytes(p.Version))
	p.ExpectNothing()
	if n := s.Stats().Closed["store_failed"]; n != 0 {
		t.Errorf("%d connections were closed as if the store failed", n)
	}
	store.setFail(nil)
	p.ExpectAck(raw.PUBACK, 1)
	p.ExpectAck(raw.PUBACK, 2)
	p.Disconnect()
	if n := s.Stats().Queued; n != 2 {
		t.Errorf("%d messages wait", n)
	}
}

// smallStore is a store that can be full.
type smallStore struct {
	*memoryStore
	full    atomic.Bool
	refused atomic.Int64
}

func (s *smallStore) DiskFull() bool { return s.full.Load() }

func (s *smallStore) Commit(ops []storage.Op, done func(error)) {
	puts := func(op storage.Op) bool {
		return !op.Delete && (op.Space == storage.SpaceMessages || op.Space == storage.SpaceRetained)
	}
	if s.full.Load() && slices.ContainsFunc(ops, puts) {
		s.refused.Add(1)
		done(syscall.ENOSPC)
		return
	}
	s.memoryStore.Commit(ops, done)
}

// TestDiskFull has a publisher refused while the disk is full, and nobody else: who drains a queue, subscribes, is sent what is
// retained or leaves a will goes on.
func TestDiskFull(t *testing.T) {
	store := &smallStore{memoryStore: newMemoryStore()}
	s := start(t, broker.Options{Store: store})
	durable := raw.Props{raw.Num(raw.SessionExpiry, 3600)}
	worker := s.connect(raw.Connect{Version: raw.V5, ID: "worker", Props: durable})
	worker.Subscribe(2, "jobs", "wills", "retained")
	worker.Disconnect()
	p := s.connect(raw.Connect{Version: raw.V5, ID: "publisher", Clean: true})
	p.Publish(raw.Publish{Topic: "jobs", Payload: "1", QoS: 1})
	p.Publish(raw.Publish{Topic: "jobs", Payload: "2", QoS: 2})
	p.Disconnect()
	p = s.connect(raw.Connect{Version: raw.V5, ID: "publisher", Clean: true})
	p.Publish(raw.Publish{Topic: "later", Payload: "kept", QoS: 1, Retain: true})
	p.Disconnect()
	willing := s.connect(raw.Connect{Version: raw.V5, ID: "willing", Clean: true, Will: &raw.Will{Topic: "wills", Payload: "gone", QoS: 1}})
	fleeting := s.connect(raw.Connect{Version: raw.V5, ID: "fleeting", Clean: true})
	fleeting.Subscribe(0, "wills")

	store.full.Store(true)
	for _, topic := range []string{"jobs", "retained"} {
		p = s.connect(raw.Connect{Version: raw.V5, ID: "publisher", Clean: true})
		p.Send(raw.Publish{Topic: topic, Payload: "3", QoS: 1, ID: 1, Retain: topic == "retained"}.Bytes(raw.V5))
		p.ExpectEnd(0x89)
	}
	willing.Close()
	s.eventually("it is closed", func(st broker.Stats) bool { return st.Closed["peer_closed"] == 1 })

	worker = s.dial(raw.V5)
	worker.Connect(raw.Connect{Version: raw.V5, ID: "worker", Props: durable})
	worker.Send(raw.Ack(raw.PUBACK, worker.ExpectPublish("jobs", "1").ID))
	id := worker.ExpectPublish("jobs", "2").ID
	worker.Send(raw.Ack(raw.PUBREC, id))
	worker.ExpectAck(raw.PUBREL, id)
	worker.Send(raw.Ack(raw.PUBCOMP, id))
	worker.Subscribe(1, "more")
	worker.Send(raw.Subscribe{ID: 9, Filters: []raw.Filter{{Name: "later", Options: 1}}}.Bytes(raw.V5))
	worker.ExpectAck(raw.SUBACK, 9)
	worker.Send(raw.Ack(raw.PUBACK, worker.ExpectPublish("later", "kept").ID))
	worker.ExpectNothing()
	fleeting.ExpectNothing()
	if n := store.refused.Load(); n != 0 {
		t.Errorf("the full disk was asked to take %d commits with messages", n)
	}

	store.full.Store(false)
	worker.Send(raw.Ack(raw.PUBACK, worker.ExpectPublish("wills", "gone").ID))
	fleeting.ExpectPublish("wills", "gone")
	p = s.connect(raw.Connect{Version: raw.V5, ID: "publisher", Clean: true})
	p.Publish(raw.Publish{Topic: "jobs", Payload: "4", QoS: 1})
	worker.Send(raw.Ack(raw.PUBACK, worker.ExpectPublish("jobs", "4").ID))
	p.Disconnect()
	worker.Disconnect()
	bye(fleeting)
	s.eventually("nothing is stored", func(broker.Stats) bool { return store.count(storage.SpaceMessages) == 0 })
}

// TestWillThatIsOwedNoMore has a session end with a will that the disk had no room for. There is room again, so the will is published,
// and its transaction fails. The next one must not bring the session back with its will: a restart would publish it once more.
func TestWillThatIsOwedNoMore(t *testing.T) {
	store := &smallStore{memoryStore: newMemoryStore()}
	s := start(t, broker.Options{Store: store})
	watching := v5Durable("watcher")
	watcher := s.connect(watching)
	watcher.Subscribe(2, "will")
	mortal := s.connect(raw.Connect{Version: raw.V5, ID: "mortal", Props: raw.Props{raw.Num(raw.SessionExpiry, 1)},
		Will: &raw.Will{Topic: "will", Payload: "gone", QoS: 2}})
	s.eventually("both are in the store", func(broker.Stats) bool { return store.count(storage.SpaceSessions) == 2 })
	store.full.Store(true)
	mortal.Close()
	s.eventually("the will is owed", func(st broker.Stats) bool { return st.SessionsOffline == 1 && s.AllStored() })
	store.full.Store(false)
	store.setFail(errDiskFull)
	s.Advance(1100 * time.Millisecond)
	s.eventually("the session has ended", func(st broker.Stats) bool { return st.Sessions == 1 })
	s.Advance(2 * time.Second)
	store.setFail(nil)
	s.expectWillOnce(store.memoryStore, watcher)
}

// TestOwedWillsAreBounded has many clients without a session to come leave large wills while the disk is full.
func TestOwedWillsAreBounded(t *testing.T) {
	t.Parallel()
	const clients, size, most = 120, 60_000, 4 << 20
	store := &smallStore{memoryStore: newMemoryStore()}
	store.full.Store(true)
	s := start(t, broker.Options{Store: store, Shards: 1})
	for i := range clients {
		s.connect(raw.Connect{Version: raw.V5, ID: fmt.Sprint(i), Clean: true,
			Will: &raw.Will{Topic: fmt.Sprint("will/", i), Payload: strings.Repeat("x", size), QoS: 1, Retain: true}}).Close()
	}
	s.eventually("all have gone", func(st broker.Stats) bool { return st.Sessions == 0 })
	dropped := s.Stats().Dropped["queue_full"]
	if kept := clients - dropped; kept > most/size+1 || kept < most/size/2 {
		t.Errorf("%d wills are kept, and %d dropped", kept, dropped)
	}
	store.full.Store(false)
	s.Advance(2 * time.Second)
	s.eventually("the others are published", func(st broker.Stats) bool { return uint64(st.Retained) == clients-dropped })
}
