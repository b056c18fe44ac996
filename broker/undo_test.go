package broker_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// lateFailure brings the first shard to this: a transaction has failed, and the next one, with what packets of a client hold,
// waits for the second shard, whose thread does not run until run is called. The client publishes the first message itself if own.
func lateFailure(t *testing.T, own bool, packets ...[]byte) (s *server, store *memoryStore, id string, run func()) {
	t.Helper()
	store = newMemoryStore()
	o := broker.Options{Store: store, Shards: 2}
	broker.NeverHost(&o)
	s = start(t, o)
	sub := s.connect(v5Durable(s.idOn(1, "sub")))
	sub.Subscribe(2, "t")
	id = s.idOn(0, "client")
	client := s.connect(v5Durable(id))
	client.Subscribe(1, "f")
	first := client
	if !own {
		first = s.connect(v5Durable(s.idOn(0, "first")))
	}
	s.eventually("all is stored", func(broker.Stats) bool { return s.AllStored() })
	store.hold(storage.SpaceMessages)
	first.Send(raw.Publish{Topic: "t", Payload: "1", QoS: 2, ID: 1}.Bytes(raw.V5))
	s.eventually("a commit", func(broker.Stats) bool { return store.commits() == 1 })
	run = sync.OnceFunc(s.Block(1))
	t.Cleanup(run)
	client.Send(packets...)
	s.soon("a transaction waits for the second shard", func(closed int, failing bool) bool { return closed > 0 })
	store.finish(0, errors.New("input/output error"))
	store.hold()
	s.soon("the store has failed", func(closed int, failing bool) bool { return failing })
	return s, store, id, run
}

// soon waits for a state of the first shard's journal, without the second shard.
func (s *server) soon(what string, ok func(closed int, failing bool) bool) {
	s.t.Helper()
	for end := time.Now().Add(raw.Patience); !ok(s.Closed(0)); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatal("never: ", what)
		}
	}
}

// again connects a client while the second shard does not run.
func (s *server) again(id string) *raw.Client {
	s.NextOn(0)
	return s.connect(v5Durable(id))
}

// handled sends packets and waits until the first shard has handled them.
func (s *server) handled(c *raw.Client, packets ...[]byte) {
	s.t.Helper()
	c.Send(packets...)
	other := s.again(s.idOn(0, "ping"))
	for range 3 {
		other.Send(raw.Plain(raw.PINGREQ))
		other.Expect(raw.PINGRESP)
	}
}

// TestFlowIsNotWrittenBeforeAnUndo: otherwise a kill leaves a publisher's packet identifier without its message, and the
// message sent again is taken for a duplicate.
func TestFlowIsNotWrittenBeforeAnUndo(t *testing.T) {
	t.Parallel()
	s, store, id, run := lateFailure(t, true, raw.Publish{Topic: "t", Payload: "2", QoS: 2, ID: 6}.Bytes(raw.V5))
	other := s.again(s.idOn(0, "other"))
	s.handled(other, raw.Subscribe{ID: 8, Filters: []raw.Filter{{Name: "g", Options: 1}}}.Bytes(raw.V5))
	run()
	other.Expect(raw.SUBACK)

	s, _ = s.crash(store)
	sub, pub := s.connect(v5Durable(s.idOn(1, "sub"))), s.connect(v5Durable(id))
	pub.Send(raw.Publish{Topic: "t", Payload: "2", QoS: 2, ID: 6, Dup: true}.Bytes(raw.V5))
	pub.ExpectAck(raw.PUBREC, 6)
	sub.ExpectPublish("t", "2")
}

// TestSubscriptionIsNotDeletedByAnUndo has a client subscribe again after an UNSUBSCRIBE that failed and is not undone yet.
func TestSubscriptionIsNotDeletedByAnUndo(t *testing.T) {
	t.Parallel()
	s, store, id, run := lateFailure(t, false, raw.Publish{Topic: "t", Payload: "2", QoS: 1, ID: 6}.Bytes(raw.V5),
		raw.Unsubscribe{ID: 7, Filters: []string{"f"}}.Bytes(raw.V5))
	client := s.again(id)
	s.handled(client, raw.Subscribe{ID: 8, Filters: []raw.Filter{{Name: "f", Options: 1 | raw.RetainNever}}}.Bytes(raw.V5))
	run()
	client.Expect(raw.SUBACK)
	s.eventually("all is stored", func(broker.Stats) bool { return s.AllStored() })
	s, _ = s.crash(store)
	if n := s.Stats().Subscriptions; n != 2 {
		t.Errorf("%d subscriptions after a restart, want 2", n)
	}
}

// TestSessionIsNotDeletedByAnUndo has a client begin a new session after the end of the last one failed and is not undone yet.
func TestSessionIsNotDeletedByAnUndo(t *testing.T) {
	t.Parallel()
	s, store, id, run := lateFailure(t, false, raw.Publish{Topic: "t", Payload: "2", QoS: 1, ID: 6}.Bytes(raw.V5),
		raw.Disconnect(0, raw.Num(raw.SessionExpiry, 0)))
	client := s.again(id)
	s.handled(client, raw.Subscribe{ID: 8, Filters: []raw.Filter{{Name: "f", Options: 1 | raw.RetainNever}}}.Bytes(raw.V5))
	run()
	client.Expect(raw.SUBACK)
	s.eventually("all is stored", func(broker.Stats) bool { return s.AllStored() })
	pub := s.connect(raw.Connect{Version: raw.V5, ID: "pub", Clean: true})
	pub.Publish(raw.Publish{Topic: "f", Payload: "kept", QoS: 1})
	s, _ = s.crash(store)
	c := s.dial(raw.V5)
	if ack := c.Connect(v5Durable(id)); !ack.SessionPresent {
		t.Fatal("the session is lost, though its subscription and a message for it were acknowledged")
	}
	c.ExpectPublish("f", "kept")
}

// tornStore divides commits as a store on a full disk may: deletions of messages come last, unless they are atomic. It keeps a
// copy from between the two parts.
type tornStore struct {
	*memoryStore
	full atomic.Bool
	torn atomic.Pointer[memoryStore]
}

func (s *tornStore) DiskFull() bool { return s.full.Load() }

func (s *tornStore) Commit(ops []storage.Op, done func(error)) {
	var others, deletions []storage.Op
	for _, op := range ops {
		if s.full.Load() && op.Delete && !op.Atomic && op.Space == storage.SpaceMessages {
			deletions = append(deletions, op)
		} else {
			others = append(others, op)
		}
	}
	if len(deletions) == 0 {
		s.memoryStore.Commit(ops, done)
		return
	}
	s.mu.Lock()
	for _, op := range others {
		s.apply(op)
	}
	s.mu.Unlock()
	s.torn.CompareAndSwap(nil, s.copied())
	s.memoryStore.Commit(deletions, done)
}

// TestUndoIsWholeOnAFullDisk has the disk become full with a sync: the message is on disk, and its transaction has failed. A kill
// in the middle of the undo must not leave the message without the publisher's packet identifier.
func TestUndoIsWholeOnAFullDisk(t *testing.T) {
	t.Parallel()
	store := &tornStore{memoryStore: newMemoryStore()}
	s := start(t, broker.Options{Store: store})
	s.connect(v5Durable("sub")).Subscribe(2, "t")
	pub := s.connect(v5Durable("pub"))
	s.eventually("all is stored", func(broker.Stats) bool { return s.AllStored() })
	store.setFail(errSync)
	pub.Send(raw.Publish{Topic: "t", Payload: "1", QoS: 2, ID: 5}.Bytes(raw.V5))
	s.eventually("it fails", func(broker.Stats) bool { return s.StoreFails() })
	store.full.Store(true)
	store.setFail(nil)
	s.eventually("it is undone", func(broker.Stats) bool {
		return s.AllStored() && !s.StoreFails() && store.count(storage.SpaceMessages) == 0
	})
	store.torn.CompareAndSwap(nil, store.copied()) // nothing was torn

	s = start(t, broker.Options{Store: store.torn.Load()})
	sub := s.connect(v5Durable("sub"))
	pub = s.connect(v5Durable("pub"))
	pub.Send(raw.Publish{Topic: "t", Payload: "1", QoS: 2, ID: 5, Dup: true}.Bytes(raw.V5))
	pub.ExpectAck(raw.PUBREC, 5)
	got := sub.Expect(raw.PUBLISH)
	sub.Send(raw.Ack(raw.PUBREC, got.ID))
	sub.Expect(raw.PUBREL)
	sub.Send(raw.Ack(raw.PUBCOMP, got.ID))
	sub.ExpectNothing()
}
