package conformance_test

import (
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// manualStore is a store that hands each write of a retained message to the test, which completes it with a result.
type manualStore chan func(error)

func (manualStore) Load(storage.Space, func(string, []byte) error) error { return nil }
func (manualStore) Later(storage.Op)                                     {}
func (manualStore) Close() error                                         { return nil }

func (s manualStore) Commit(ops []storage.Op, done func(error)) {
	if !slices.ContainsFunc(ops, func(op storage.Op) bool { return op.Space == storage.SpaceRetained }) {
		done(nil)
		return
	}
	s <- done
}

// completeAll completes all writes from now on.
func (s manualStore) completeAll(t *testing.T) {
	go func() {
		for {
			select {
			case done := <-s:
				done(nil)
			case <-t.Context().Done():
				return
			}
		}
	}()
}

// keep encodes a retained message, which has to be stored.
func keep(version byte, qos byte, id int) []byte {
	return raw.Publish{Topic: "a", Payload: "x", QoS: qos, ID: id, Retain: true}.Bytes(version)
}

// TestTransientError checks that a message is never acknowledged if storing it failed.
func TestTransientError(t *testing.T) {
	for qos := byte(1); qos < 3; qos++ {
		for version, name := range names {
			t.Run(name+" with QoS "+strconv.Itoa(int(qos)), func(t *testing.T) {
				store := make(manualStore, 10)
				s := startOurs(t, broker.Options{Store: store})
				c := s.connect(t, clean(version, "c"))
				c.Send(keep(version, qos, 1))
				(<-store)(errors.New("the disk is full"))
				c.ExpectEnd(0x89)
				c = s.connect(t, clean(version, "c"))
				c.Send(keep(version, qos, 1)) // refused until the store works again
				c.ExpectEnd(0x89)
			})
		}
	}
}

// TestAcknowledgedWhenStored checks that acknowledgements wait for the store, in the order of the messages.
func TestAcknowledgedWhenStored(t *testing.T) {
	store := make(manualStore, 10)
	s := startOurs(t, broker.Options{Store: store})
	c := s.connect(t, clean(raw.V5, "c"))
	c.Send(keep(raw.V5, 1, 1))
	first := <-store
	c.Send(raw.Publish{Topic: "b", QoS: 1, ID: 2}.Bytes(raw.V5), keep(raw.V5, 2, 3), keep(raw.V5, 1, 4))
	c.ExpectNothing()
	first(nil)
	c.ExpectAck(raw.PUBACK, 1)
	c.ExpectAck(raw.PUBACK, 2)
	c.ExpectNothing()
	store.completeAll(t)
	c.ExpectAck(raw.PUBREC, 3)
	c.ExpectAck(raw.PUBACK, 4)
}

// TestReceiveMaximumAndStore fills the broker's receive maximum with messages that wait for the store.
func TestReceiveMaximumAndStore(t *testing.T) {
	for qos := byte(1); qos < 3; qos++ {
		for version, name := range names {
			t.Run(name+" with QoS "+strconv.Itoa(int(qos)), func(t *testing.T) {
				store := make(manualStore, 10)
				s := startOurs(t, broker.Options{Store: store, Limits: broker.Limits{ReceiveMaximum: 4}})
				c := s.connect(t, clean(version, "c"))
				for id := 1; id < 5; id++ {
					c.Send(keep(version, qos, id))
				}
				c.ExpectNothing()
				store.completeAll(t)
				finish(c, qos, 4)
			})
		}
	}
}
