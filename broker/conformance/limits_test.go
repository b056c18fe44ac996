package conformance_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

func TestQoS0IsNotQueued(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.connect(t, persistent(version, "c"))
		c.Subscribe(0, "a/0")
		c.Subscribe(1, "a/1")
		c.Disconnect()
		pub := s.connect(t, clean(version, "pub"))
		pub.Publish(raw.Publish{Topic: "a/0", QoS: 1}) // QoS 0 to this subscription
		pub.Publish(raw.Publish{Topic: "a/1", QoS: 0})
		pub.Publish(raw.Publish{Topic: "a/1", Payload: "kept", QoS: 1})
		c = s.connect(t, persistent(version, "c"))
		c.ExpectPublish("a/1", "kept")
		fence(t, pub, c)
	})
}

// TestQueueLimit fills the queue of an absent client's session: the oldest messages stay.
func TestQueueLimit(t *testing.T) {
	s := startOurs(t, broker.Options{Limits: broker.Limits{MaxQueuedMessages: 3}})
	c := s.connect(t, persistent(raw.V5, "c"))
	c.Subscribe(1, "a")
	c.Disconnect()
	pub := s.connect(t, clean(raw.V5, "pub"))
	publish(pub, "a", 1, 1, 5)
	c = s.connect(t, persistent(raw.V5, "c"))
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
		must(t, "copies", len(collect(t, pub, c)), 1)
	})
}

// TestResentRequestsOf31 sends requests with the DUP flag, as MQTT 3.1 resends them.
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

// TestTopicLimits checks the limits on a topic's length and levels.
func TestTopicLimits(t *testing.T) {
	s := startOurs(t, broker.Options{Limits: broker.Limits{MaxTopicBytes: 20, MaxTopicLevels: 4}})
	for topic, fits := range map[string]bool{
		strings.Repeat("x", 20): true, strings.Repeat("x", 21): false, "a/b/c/d": true, "a/b/c/d/e": false, "////": false,
	} {
		c := s.connect(t, clean(raw.V5, "c"))
		want := byte(0x8F)
		if fits {
			want = 0
		}
		must(t, "code of SUBACK for "+topic, c.Subscribe(0, topic)[0], want)
		c.Send(raw.Publish{Topic: topic}.Bytes(raw.V5))
		if fits {
			c.ExpectPublish(topic, "")
		} else {
			c.ExpectEnd(0x90)
		}
	}
}

// TestSysTopics checks that clients can subscribe to $SYS topics and cannot publish to them.
func TestSysTopics(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.connect(t, clean(version, "c"))
		c.Send(raw.Subscribe{ID: 1, Filters: filters("$SYS/#", 0)}.Bytes(version))
		c.Expect(raw.SUBACK)
		for seen := map[string]bool{}; !seen["$SYS/broker/uptime"] || !seen["$SYS/broker/clients/connected"]; {
			p := c.Expect(raw.PUBLISH)
			if !strings.HasPrefix(p.Topic, "$SYS/broker/") || p.Payload == "" {
				t.Fatalf("got %v", p)
			}
			seen[p.Topic] = true
		}
		pub := s.connect(t, clean(version, "pub"))
		code := pub.Publish(raw.Publish{Topic: "$SYS/broker/uptime", Payload: "mine", QoS: 1})
		must(t, "a message on $SYS is refused", code >= 0x80, version == raw.V5)
		for _, p := range collect(t, pub, c) {
			must(t, "a message of a client on $SYS", p.Payload == "mine", false)
		}
	})
}
