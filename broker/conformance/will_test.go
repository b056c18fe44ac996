package conformance_test

import (
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// withWill adds a will on topic "will" to a CONNECT.
func withWill(k raw.Connect, payload string, ps ...raw.Prop) raw.Connect {
	k.Will = &raw.Will{Topic: "will", Payload: payload, Props: ps}
	return k
}

// watchWills connects a client that subscribes to wills.
func (s *server) watchWills(t *testing.T, version byte) *raw.Client {
	t.Helper()
	c := s.connect(t, clean(version, "watch"))
	c.Subscribe(2, "will")
	return c
}

// TestWillIsPublished ends connections in every way that publishes the will.
func TestWillIsPublished(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, s *server, c *raw.Client){
		"closed":             func(_ *testing.T, _ *server, c *raw.Client) { c.Close() },
		"protocol error":     func(_ *testing.T, _ *server, c *raw.Client) { c.SendConnect(clean(c.Version, "c")) },
		"malformed packet":   func(_ *testing.T, _ *server, c *raw.Client) { c.Send(raw.Packet(0xF7, nil)) },
		"cut off":            func(_ *testing.T, _ *server, c *raw.Client) { c.Send([]byte{0x30, 10, 0}); c.Close() },
		"taken over":         func(t *testing.T, s *server, c *raw.Client) { s.connect(t, clean(c.Version, "c")) },
		"keep alive expired": func(*testing.T, *server, *raw.Client) {},
	} {
		t.Run(name, func(t *testing.T) {
			versions(t, func(t *testing.T, s *server, version byte) {
				watch := s.watchWills(t, version)
				k := withWill(clean(version, "c"), "gone")
				k.KeepAlive = 1
				end(t, s, s.connect(t, k))
				watch.ExpectPublish("will", "gone")
				s.connect(t, clean(version, "c")).Close() // a will is published once
				fence(t, s.connect(t, clean(version, "pub")), watch)
			})
		})
	}
}

func TestWillAfterDisconnect(t *testing.T) {
	for _, k := range []struct {
		name      string
		version   byte
		packet    []byte
		published bool
	}{
		{"3.1", raw.V31, raw.Plain(raw.DISCONNECT), false},
		{"3.1.1", raw.V311, raw.Plain(raw.DISCONNECT), false},
		{"5.0", raw.V5, raw.Plain(raw.DISCONNECT), false},
		{"5.0 with code 0x00", raw.V5, raw.Disconnect(0), false},
		{"5.0 with code 0x04", raw.V5, raw.Disconnect(4), true},
		{"5.0 with code 0x80", raw.V5, raw.Disconnect(0x80), true},
		{"5.0 with code 0x04 and no properties", raw.V5, raw.Packet(raw.DISCONNECT.Header(), []byte{4}), true},
	} {
		for kind, x := range map[string]raw.Connect{"clean": clean(k.version, "c"), "lasting": persistent(k.version, "c")} {
			t.Run(k.name+", "+kind, func(t *testing.T) {
				s := start(t)
				watch := s.watchWills(t, k.version)
				c := s.connect(t, withWill(x, "gone"))
				c.Send(k.packet)
				c.ExpectClosed()
				if k.published {
					watch.ExpectPublish("will", "gone")
				}
				fence(t, s.connect(t, clean(k.version, "pub")), watch)
			})
		}
	}
}

// TestWillOfSessionThatLasts publishes a will at connection loss, though the session goes on.
func TestWillOfSessionThatLasts(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		watch := s.watchWills(t, version)
		s.connect(t, withWill(persistent(version, "c"), "gone")).Close()
		watch.ExpectPublish("will", "gone")
		s.connect(t, persistent(version, "c")).Close() // this one has no will
		fence(t, s.connect(t, clean(version, "pub")), watch)
	})
}

func TestWillQoSAndRetain(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		watch := s.watchWills(t, version)
		for i, retain := range []bool{false, true, false, true} {
			k := withWill(clean(version, "c"), string('0'+rune(i)))
			k.Will.Retain, k.Will.QoS = retain, byte(i%3)
			s.connect(t, k).Close()
			p := watch.ExpectPublish("will", k.Will.Payload)
			must(t, "QoS", p.QoS, k.Will.QoS)
			must(t, "retain", p.Retain, false)
		}
		late := s.connect(t, clean(version, "late"))
		late.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "will"}}}.Bytes(version))
		late.Expect(raw.SUBACK)
		must(t, "retain", late.ExpectPublish("will", "3").Retain, true)

		// An empty payload is allowed, and clears the retained message.
		k := withWill(clean(version, "c"), "")
		k.Will.Retain = true
		s.connect(t, k).Close()
		watch.ExpectPublish("will", "")
		s.connect(t, clean(version, "later")).Subscribe(0, "will")
	})
}

func TestWillTopicInvalid(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		for _, topic := range []string{"", "#", "a/+/b", "a#"} {
			k := clean(version, "c")
			k.Will = &raw.Will{Topic: topic}
			c := s.dial(t, version)
			c.SendConnect(k)
			if version < raw.V5 { // MQTT 3.x may refuse by a return code or silently
				if p, err := c.Read(); err == nil && (p.Type != raw.CONNACK || p.Code == 0) {
					t.Fatalf("%q: got %v, want it refused", topic, p)
				}
				continue
			}
			c.ExpectRefused(0x90, 0x81, 0x82)
		}
	})
}

// TestWillDelay publishes a will after its delay, while the session lasts.
func TestWillDelay(t *testing.T) {
	s := start(t)
	watch := s.watchWills(t, raw.V5)
	c := s.connect(t, withWill(persistent(raw.V5, "c"), "gone", raw.Num(raw.WillDelay, 1)))
	closed := time.Now()
	c.Close()
	watch.ExpectPublish("will", "gone")
	if waited := time.Since(closed); waited < 900*time.Millisecond {
		t.Errorf("the will was published after %v, want a second", waited)
	}
}

func TestWillDelayIsOverWithTheSession(t *testing.T) {
	s := start(t)
	watch := s.watchWills(t, raw.V5)
	s.connect(t, withWill(clean(raw.V5, "c"), "at once", raw.Num(raw.WillDelay, 600))).Close()
	watch.ExpectPublish("will", "at once")

	k := withWill(persistent(raw.V5, "c"), "clean start", raw.Num(raw.WillDelay, 600))
	s.connect(t, k).Close()
	s.connect(t, clean(raw.V5, "c"))
	watch.ExpectPublish("will", "clean start")

	s.connect(t, withWill(persistent(raw.V5, "d"), "taken over", raw.Num(raw.WillDelay, 600)))
	s.connect(t, clean(raw.V5, "d"))
	watch.ExpectPublish("will", "taken over")
}

func TestWillDelayIsCancelled(t *testing.T) {
	s := start(t)
	watch := s.watchWills(t, raw.V5)
	k := withWill(persistent(raw.V5, "c"), "gone", raw.Num(raw.WillDelay, 3))
	s.connect(t, k).Close()
	s.connect(t, persistent(raw.V5, "c")) // within the delay
	s.connect(t, withWill(persistent(raw.V5, "clock"), "clock", raw.Num(raw.WillDelay, 4))).Close()
	watch.ExpectPublish("will", "clock") // is due after the first would have been

	old := s.connect(t, withWill(persistent(raw.V5, "d"), "gone", raw.Num(raw.WillDelay, 1)))
	s.connect(t, persistent(raw.V5, "d")) // takes the session over
	old.ExpectEnd(0x8E)
	s.connect(t, withWill(persistent(raw.V5, "clock2"), "clock", raw.Num(raw.WillDelay, 2))).Close()
	watch.ExpectPublish("will", "clock")
}

func TestWillProperties(t *testing.T) {
	s := start(t)
	watch := s.watchWills(t, raw.V5)
	s.connect(t, withWill(clean(raw.V5, "c"), "gone", forwardedProps...)).Close()
	mustForward(t, watch.ExpectPublish("will", "gone"))

	k := withWill(clean(raw.V5, "c"), "expires", raw.Num(raw.MessageExpiry, 100))
	s.connect(t, k).Close()
	if n := watch.ExpectPublish("will", "expires").Props.Num(raw.MessageExpiry); n < 95 || n > 100 {
		t.Errorf("the will has an expiry of %d s, want 100 at most and hardly less", n)
	}
}

func TestWillPropertyValues(t *testing.T) {
	s := start(t)
	for name, ps := range map[string][]raw.Prop{
		"payload format 2":              {raw.Num(raw.PayloadFormat, 2)},
		"response topic with wildcards": {raw.Txt(raw.ResponseTopic, "a/#")},
		"topic alias":                   {raw.Num(raw.TopicAlias, 1)},
		"subscription identifier":       {raw.Num(raw.SubscriptionIdentifier, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t, raw.V5)
			c.SendConnect(withWill(clean(raw.V5, "c"), "gone", ps...))
			c.ExpectRefused(0x81, 0x82)
		})
	}
}
