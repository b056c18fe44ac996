package conformance_test

import (
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

func TestTakeover(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		pub := s.connect(t, clean(version, "pub"))
		old := s.connect(t, persistent(version, "c"))
		old.Subscribe(1, "a")
		pub.Publish(raw.Publish{Topic: "a", Payload: "1", QoS: 1})
		first := old.ExpectPublish("a", "1")

		c, p := s.open(t, persistent(version, "c"))
		must(t, "session present", p.SessionPresent, sessionPresent(version, true))
		old.ExpectEnd(0x8E)
		again := c.ExpectPublish("a", "1")
		must(t, "DUP of what was not acknowledged", again.Dup, true)
		must(t, "packet identifier", again.ID, first.ID)
		c.Send(raw.Ack(raw.PUBACK, again.ID))
		pub.Publish(raw.Publish{Topic: "a", Payload: "2", QoS: 1})
		c.ExpectPublish("a", "2")
	})
}

// TestTakeoverByAnotherVersion checks that each connection gets the answer of its own version.
func TestTakeoverByAnotherVersion(t *testing.T) {
	s := start(t)
	first := s.connect(t, clean(raw.V5, "c"))
	second := s.connect(t, clean(raw.V311, "c"))
	first.ExpectEnd(0x8E)
	third := s.connect(t, clean(raw.V5, "c"))
	second.ExpectClosed()
	third.ExpectNothing()
}

// TestTakeoverEndsSession takes over a session whose expiry is 0: it ends with its connection (MQTT 5 3.1.4).
func TestTakeoverEndsSession(t *testing.T) {
	s := start(t)
	old := s.connect(t, raw.Connect{Version: raw.V5, ID: "c"})
	_, p := s.open(t, raw.Connect{Version: raw.V5, ID: "c"})
	must(t, "session present", p.SessionPresent, false)
	old.ExpectEnd(0x8E)
}

// TestTakeoverOfCleanSession takes over a session of 3.1.1 that ends with its connection.
func TestTakeoverOfCleanSession(t *testing.T) {
	s := start(t)
	old := s.connect(t, clean(raw.V311, "c"))
	old.Subscribe(0, "a")
	c, p := s.open(t, persistent(raw.V311, "c"))
	must(t, "session present", p.SessionPresent, false)
	old.ExpectClosed()
	pub := s.connect(t, clean(raw.V311, "pub"))
	pub.Publish(raw.Publish{Topic: "a"})
	fence(t, pub, c)
}

// TestTakeoverByMany has many connections use one client identifier at once: one of them keeps it, and the session
// passes from each to the next without losing a message.
func TestTakeoverByMany(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		k := persistent(version, "c")
		s.connect(t, k).Subscribe(1, "a")
		pub := s.connect(t, clean(version, "pub"))
		pub.Publish(raw.Publish{Topic: "a", Payload: "kept", QoS: 1})
		var all []*raw.Client
		for range 30 {
			all = append(all, s.dial(t, version))
			all[len(all)-1].SendConnect(k)
		}
		for _, c := range all {
			must(t, "code", c.Expect(raw.CONNACK).Code, 0)
		}
		open := 0 // after all were accepted
		for _, c := range all {
			kept := false
			for err := c.TrySend(raw.Plain(raw.PINGREQ)); err == nil; {
				var p *raw.Received
				if p, err = c.Read(); err != nil {
					break
				}
				kept = kept || p.Type == raw.PUBLISH && p.Payload == "kept"
				if p.Type == raw.PINGRESP {
					must(t, "the one that stays has what was kept", kept, true)
					open++
					break
				}
			}
		}
		must(t, "connections that keep the client identifier", open, 1)
	})
}
