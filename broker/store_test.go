package broker_test

import (
	"errors"
	"fmt"
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
