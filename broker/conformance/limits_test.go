package conformance_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

func TestQoS0IsNotQueued(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.connect(t, lasting(version, "c"))
		c.Subscribe(0, "a/0")
		c.Subscribe(1, "a/1")
		c.Disconnect()
		pub := s.connect(t, clean(version, "pub"))
		pub.Publish(raw.Publish{Topic: "a/0", QoS: 1}) // QoS 0 to this subscription
		pub.Publish(raw.Publish{Topic: "a/1", QoS: 0})
		pub.Publish(raw.Publish{Topic: "a/1", Payload: "kept", QoS: 1})
		c = s.connect(t, lasting(version, "c"))
		c.ExpectPublish("a/1", "kept")
		fence(t, pub, c)
	})
}

// TestQueueLimit fills a session's queue while its client is away: the oldest messages stay.
func TestQueueLimit(t *testing.T) {
	s := startOurs(t, broker.Options{Limits: broker.Limits{MaxQueuedMessages: 3}})
	c := s.connect(t, lasting(raw.V5, "c"))
	c.Subscribe(1, "a")
	c.Disconnect()
	pub := s.connect(t, clean(raw.V5, "pub"))
	publish(pub, "a", 1, 1, 5)
	c = s.connect(t, lasting(raw.V5, "c"))
	for i := 1; i < 4; i++ {
		c.ExpectPublish("a", strconv.Itoa(i))
	}
	fence(t, pub, c)
}

func TestOneCopy(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c, pub := s.connect(t, clean(version, "c")), s.connect(t, clean(version, "pub"))
		c.Subscribe(0, "a/#", "#", "+/b")
		c.Subscribe(2, "a/b")
		pub.Publish(raw.Publish{Topic: "a/b", QoS: 2})
		must(t, "copies", len(until(t, pub, c)), 1)
	})
}

// TestResentRequestsOf31 sends requests with the DUP flag that MQTT 3.1 gives them when they are sent again.
func TestResentRequestsOf31(t *testing.T) {
	const dup = 8
	s := start(t)
	c := s.connect(t, clean(raw.V31, "c"))
	again := func(p []byte) []byte {
		p[0] |= dup
		return p
	}
	c.Send(again(raw.Subscribe{ID: 1, Filters: filters("a", 1)}.Bytes(raw.V31)))
	c.ExpectAck(raw.SUBACK, 1)
	c.Send(raw.Publish{Topic: "b", QoS: 2, ID: 2}.Bytes(raw.V31))
	c.ExpectAck(raw.PUBREC, 2)
	c.Send(again(raw.Ack(raw.PUBREL, 2)))
	c.ExpectAck(raw.PUBCOMP, 2)
	c.Send(again(raw.Unsubscribe{ID: 3, Filters: []string{"a"}}.Bytes(raw.V31)))
	c.ExpectAck(raw.UNSUBACK, 3)
}

// failing is a store whose disk is full.
type failing struct{}

func (failing) Load(broker.Space, func(string, []byte) error) error { return nil }
func (failing) Commit(_ []broker.Op, done func(error))              { go done(errors.New("the disk is full")) }
func (failing) Later(broker.Op)                                     {}
func (failing) Close() error                                        { return nil }

// TestTransientError never acknowledges what could not be stored.
func TestTransientError(t *testing.T) {
	for version, name := range names {
		t.Run(name, func(t *testing.T) {
			s := startOurs(t, broker.Options{Store: failing{}})
			for qos := byte(1); qos < 3; qos++ {
				c := s.connect(t, clean(version, "c"))
				c.Send(raw.Publish{Topic: "a", Payload: "x", QoS: qos, ID: 1, Retain: true}.Bytes(version))
				c.ExpectEnd(0x89)
			}
		})
	}
}
