package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// dropee has a stored session with everything a session can have, and a member that shares its subscription.
func dropee(s *server) (c, member *raw.Client) {
	c = s.connect(willTo("will", "c", 1, 3600))
	c.Subscribe(1, "t", "will", "$share/g/jobs")
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	pub.Publish(raw.Publish{Topic: "t", Payload: "1", QoS: 1})
	pub.Publish(raw.Publish{Topic: "jobs", Payload: "2", QoS: 1})
	member = s.connect(v5Durable("member"))
	member.Subscribe(1, "$share/g/jobs", "will")
	c.Expect(raw.PUBLISH)
	c.Expect(raw.PUBLISH)
	return c, member
}

func onlyMember(store *memoryStore) func(broker.Stats) bool {
	return func(broker.Stats) bool {
		return store.count(storage.SpaceSessions) == 1 && store.count(storage.SpaceSubscriptions) == 2 &&
			store.count(storage.SpaceFlows) <= 1
	}
}

func checkStore(t *testing.T, store *memoryStore) {
	t.Helper()
	if err := storage.Check(store.copied(), func(err error) { t.Error(err) }); err != nil {
		t.Error(err)
	}
}

func TestDropSession(t *testing.T) {
	t.Parallel()
	for name, offline := range map[string]bool{"connected": false, "offline": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newMemoryStore()
			s := start(t, broker.Options{Store: store})
			c, member := dropee(s)
			if offline {
				c.Disconnect()
			}
			if err := s.DropSession(t.Context(), "c"); err != nil {
				t.Fatal(err)
			}
			if !offline {
				c.ExpectEnd(0x98)
			}
			if !onlyMember(store)(broker.Stats{}) {
				t.Error("something of the session is stored")
			}
			if p := receive(member, 1)[0]; p.Topic != "jobs" {
				t.Errorf("the member got %v, want the message of the group", p)
			}
			member.ExpectNothing() // no will
			checkStore(t, store)
			if err := s.DropSession(t.Context(), "c"); !errors.Is(err, broker.ErrNoSession) {
				t.Errorf("dropped again: %v", err)
			}
			c = s.dial(raw.V5)
			if p := c.Connect(willTo("will", "c", 1, 3600)); p.SessionPresent {
				t.Error("the session is present")
			}
		})
	}
}

func TestDropSessionThatIsNotStored(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Store: newMemoryStore()})
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	if err := s.DropSession(t.Context(), "c"); !errors.Is(err, broker.ErrNoSession) {
		t.Error(err)
	}
	c.ExpectNothing()
}

// TestDropSessionWhileTheStoreFails is told so; the session is deleted once the store works.
func TestDropSessionWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	dropee(s)
	store.setFail(errDiskFull)
	if err := s.DropSession(t.Context(), "c"); !errors.Is(err, errDiskFull) {
		t.Error(err)
	}
	store.setFail(nil)
	s.Advance(2 * time.Second)
	s.eventually("nothing of it is stored", onlyMember(store))
	store.hold(storage.SpaceSessions)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.DropSession(ctx, "member"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	store.release()
}

func TestDropStoredSession(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Store: store})
	c, _ := dropee(s)
	c.Send(raw.Ack(raw.PUBACK, 1))
	s.eventually("all is stored", func(broker.Stats) bool {
		return store.count(storage.SpaceSubscriptions) == 5 && store.count(storage.SpaceFlows) >= 1 && store.count(storage.SpaceMessages) == 1
	})
	left := store.copied()
	if err := storage.DropSession(left, "nobody"); !errors.Is(err, broker.ErrNoSession) {
		t.Error(err)
	}
	if err := storage.DropSession(left, "c"); err != nil || !onlyMember(left)(broker.Stats{}) {
		t.Errorf("something of the session is stored, or %v", err)
	}
	checkStore(t, left)
	s = start(t, broker.Options{Store: left})
	if st := s.Stats(); st.Sessions != 1 || st.Queued+st.Inflight != 0 || left.count(storage.SpaceMessages) != 0 {
		t.Errorf("there are %d sessions with %d messages", st.Sessions, st.Queued+st.Inflight)
	}
	broken := store.copied() // of a session whose record cannot be read
	broken.values[storage.SpaceSessions]["c"] = []byte{99}
	if err := storage.DropSession(broken, "c"); err != nil {
		t.Error(err)
	}
	if st := start(t, broker.Options{Store: broken}).Stats(); st.Sessions != 1 || broken.count(storage.SpaceSubscriptions) != 2 {
		t.Errorf("there are %d sessions with %d subscriptions", st.Sessions, broken.count(storage.SpaceSubscriptions))
	}
	left.setFail(errDiskFull)
	if err := storage.DropSession(left, "member"); !errors.Is(err, errDiskFull) {
		t.Error(err)
	}
	left.setFail(nil)
}
