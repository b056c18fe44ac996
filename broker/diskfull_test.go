package broker_test

import (
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

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
