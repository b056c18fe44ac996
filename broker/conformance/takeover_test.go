package conformance_test

import (
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

func TestTakeover(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		pub := s.connect(t, clean(version, "pub"))
		old := s.connect(t, lasting(version, "c"))
		old.Subscribe(1, "a")
		pub.Publish(raw.Publish{Topic: "a", Payload: "1", QoS: 1})
		first := old.ExpectPublish("a", "1")

		c, p := s.open(t, lasting(version, "c"))
		must(t, "session present", p.SessionPresent, present(version, true))
		old.ExpectEnd(0x8E)
		again := c.ExpectPublish("a", "1")
		must(t, "DUP of what was not acknowledged", again.Dup, true)
		must(t, "packet identifier", again.ID, first.ID)
		c.Send(raw.Ack(raw.PUBACK, again.ID))
		pub.Publish(raw.Publish{Topic: "a", Payload: "2", QoS: 1})
		c.ExpectPublish("a", "2")
	})
}

func TestTakeoverByAnotherVersion(t *testing.T) {
	s := start(t)
	first := s.connect(t, clean(raw.V5, "c"))
	second := s.connect(t, clean(raw.V311, "c"))
	first.ExpectEnd(0x8E)
	third := s.connect(t, clean(raw.V5, "c"))
	second.ExpectClosed()
	third.ExpectNothing()
}

func TestTakeoverEndsSession(t *testing.T) {
	s := start(t)
	old := s.connect(t, raw.Connect{Version: raw.V5, ID: "c"})
	_, p := s.open(t, raw.Connect{Version: raw.V5, ID: "c"})
	must(t, "session present", p.SessionPresent, false)
	old.ExpectEnd(0x8E)
}

func TestTakeoverOfCleanSession(t *testing.T) {
	s := start(t)
	old := s.connect(t, clean(raw.V311, "c"))
	old.Subscribe(0, "a")
	c, p := s.open(t, lasting(raw.V311, "c"))
	must(t, "session present", p.SessionPresent, false)
	old.ExpectClosed()
	pub := s.connect(t, clean(raw.V311, "pub"))
	pub.Publish(raw.Publish{Topic: "a"})
	fence(t, pub, c)
}

func TestTakeoverByMany(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		k := lasting(version, "c")
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
		open := 0 // now that all have been let in
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
