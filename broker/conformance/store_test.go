package conformance_test

import (
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// slow is a store that has written a retained message when the test says so, and then says what the test says.
type slow chan func(error)

func (slow) Load(broker.Space, func(string, []byte) error) error { return nil }
func (slow) Later(broker.Op)                                     {}
func (slow) Close() error                                        { return nil }

func (s slow) Commit(ops []broker.Op, done func(error)) {
	if !slices.ContainsFunc(ops, func(op broker.Op) bool { return op.Space == broker.SpaceRetained }) {
		done(nil)
		return
	}
	s <- done
}

// goOn lets it write from now on.
func (s slow) goOn(t *testing.T) {
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

// keep is a message that has to be stored.
func keep(version byte, qos byte, id int) []byte {
	return raw.Publish{Topic: "a", Payload: "x", QoS: qos, ID: id, Retain: true}.Bytes(version)
}

// TestTransientError never acknowledges what could not be stored.
func TestTransientError(t *testing.T) {
	for qos := byte(1); qos < 3; qos++ {
		for version, name := range names {
			t.Run(name+" with QoS "+strconv.Itoa(int(qos)), func(t *testing.T) {
				store := make(slow, 10)
				s := startOurs(t, broker.Options{Store: store})
				c := s.connect(t, clean(version, "c"))
				c.Send(keep(version, qos, 1))
				(<-store)(errors.New("the disk is full"))
				c.ExpectEnd(0x89)
				c = s.connect(t, clean(version, "c"))
				c.Send(keep(version, qos, 1)) // is not even tried before the store works again
				c.ExpectEnd(0x89)
			})
		}
	}
}

// TestAcknowledgedWhenStored holds acknowledgements until the store has written, in the order of the messages.
func TestAcknowledgedWhenStored(t *testing.T) {
	store := make(slow, 10)
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
	store.goOn(t)
	c.ExpectAck(raw.PUBREC, 3)
	c.ExpectAck(raw.PUBACK, 4)
}

// TestReceiveMaximumAndStore fills what a client may have under way with messages that wait for the store.
func TestReceiveMaximumAndStore(t *testing.T) {
	for qos := byte(1); qos < 3; qos++ {
		for version, name := range names {
			t.Run(name+" with QoS "+strconv.Itoa(int(qos)), func(t *testing.T) {
				store := make(slow, 10)
				s := startOurs(t, broker.Options{Store: store, Limits: broker.Limits{ReceiveMaximum: 4}})
				c := s.connect(t, clean(version, "c"))
				for id := 1; id < 5; id++ {
					c.Send(keep(version, qos, id))
				}
				c.ExpectNothing()
				store.goOn(t)
				finish(c, qos, 4)
			})
		}
	}
}
