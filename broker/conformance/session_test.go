package conformance_test

import (
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// sessionPresent returns the expected session present flag: MQTT 3.1 has none.
func sessionPresent(version byte, is bool) bool { return is && version != raw.V31 }

func TestCleanStartDiscardsSession(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		pub := s.connect(t, clean(version, "pub"))
		c := s.connect(t, persistent(version, "c"))
		c.Subscribe(1, "a")
		c.Disconnect()
		pub.Publish(raw.Publish{Topic: "a", QoS: 1})

		c, p := s.open(t, clean(version, "c"))
		must(t, "session present", p.SessionPresent, false)
		pub.Publish(raw.Publish{Topic: "a", QoS: 1})
		fence(t, pub, c)
		c.Disconnect()
		_, p = s.open(t, persistent(version, "c"))
		must(t, "session present after a session that ended", p.SessionPresent, false)
	})
}

func TestSessionResumes(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		pub := s.connect(t, clean(version, "pub"))
		c, p := s.open(t, persistent(version, "c"))
		must(t, "session present at first", p.SessionPresent, false)
		c.Subscribe(2, "a")
		c.Disconnect()
		for _, m := range []raw.Publish{{QoS: 1, Payload: "1"}, {QoS: 2, Payload: "2"}, {QoS: 1, Payload: "3"}} {
			m.Topic = "a"
			pub.Publish(m)
		}

		c, p = s.open(t, persistent(version, "c"))
		must(t, "session present", p.SessionPresent, sessionPresent(version, true))
		for i, qos := range []byte{1, 2, 1} {
			m := c.ExpectPublish("a", string('1'+rune(i)))
			must(t, "QoS", m.QoS, qos)
			must(t, "DUP of what was not sent before", m.Dup, false)
		}
		pub.Publish(raw.Publish{Topic: "a", Payload: "4"})
		c.ExpectPublish("a", "4")
	})
}

// TestSessionOfAnotherVersion resumes a session in another protocol version.
func TestSessionOfAnotherVersion(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		for _, next := range []byte{raw.V311, raw.V5} {
			c := s.connect(t, persistent(version, "c"))
			c.Subscribe(1, "a")
			c.Disconnect()
			s.connect(t, clean(raw.V5, "pub")).Publish(raw.Publish{Topic: "a", Payload: "1", QoS: 1})
			c, p := s.open(t, persistent(next, "c"))
			must(t, "session present", p.SessionPresent, true)
			c.Send(raw.Ack(raw.PUBACK, c.ExpectPublish("a", "1").ID))
			c.Disconnect()
		}
	})
}

func TestSessionEndsWithConnection(t *testing.T) {
	for name, k := range map[string]raw.Connect{
		"3.1":                 clean(raw.V31, "c"),
		"3.1.1":               clean(raw.V311, "c"),
		"5.0 without expiry":  {Version: raw.V5, ID: "c"},
		"5.0 with expiry 0":   {Version: raw.V5, ID: "c", Props: raw.Props{raw.Num(raw.SessionExpiry, 0)}},
		"5.0 with clean flag": clean(raw.V5, "c"),
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			c := s.connect(t, k)
			c.Subscribe(1, "a")
			c.Disconnect()
			s.connect(t, clean(raw.V5, "pub")).Publish(raw.Publish{Topic: "a", QoS: 1})
			k := k
			k.Clean = false
			c, p := s.open(t, k)
			must(t, "session present", p.SessionPresent, false)
			c.ExpectNothing()
		})
	}
}

// TestSessionExpiry checks that a session outlives its connection by its expiry interval and no longer. Its will
// signals the end.
func TestSessionExpiry(t *testing.T) {
	s := start(t)
	watch := s.connect(t, clean(raw.V5, "watch"))
	watch.Subscribe(0, "will")
	k := persistent(raw.V5, "c")
	k.Will = &raw.Will{Topic: "will", Props: raw.Props{raw.Num(raw.WillDelay, 600)}}
	s.connect(t, k).Close()
	k.Props = raw.Props{raw.Num(raw.SessionExpiry, 1)}
	c, p := s.open(t, k)
	must(t, "session present before the session has expired", p.SessionPresent, true)

	closed := time.Now()
	c.Close()
	watch.ExpectPublish("will", "")
	if waited := time.Since(closed); waited < 900*time.Millisecond {
		t.Errorf("the session ended after %v, want a second", waited)
	}
	_, p = s.open(t, k)
	must(t, "session present after the session has expired", p.SessionPresent, false)
}

func TestSessionExpiryIsBounded(t *testing.T) {
	s := startOurs(t, broker.Options{Limits: broker.Limits{MaxSessionExpiry: time.Minute}})
	for asked, told := range map[int]int{30: -1, 60: -1, 61: 60, raw.Never: 60} {
		k := persistent(raw.V5, "c")
		k.Props = raw.Props{raw.Num(raw.SessionExpiry, asked)}
		_, p := s.open(t, k)
		if got := p.Props.Num(raw.SessionExpiry); got != told {
			t.Errorf("asked for %d s, told %d, want %d", asked, got, told)
		}
	}
}

// TestDisconnectChangesExpiry checks the session expiry interval of DISCONNECT (MQTT 5 3.14.2.2.2).
func TestDisconnectChangesExpiry(t *testing.T) {
	for _, k := range []struct {
		name     string
		at, then int // seconds, in CONNECT and in DISCONNECT
		refused  bool
		present  bool
	}{
		{"to zero", 600, 0, false, false},
		{"to more", 600, 900, false, true},
		{"from zero to zero", 0, 0, false, false},
		{"from zero", 0, 600, true, false},
	} {
		t.Run(k.name, func(t *testing.T) {
			s := start(t)
			x := persistent(raw.V5, "c")
			x.Props = raw.Props{raw.Num(raw.SessionExpiry, k.at)}
			c := s.connect(t, x)
			c.Send(raw.Disconnect(0, raw.Num(raw.SessionExpiry, k.then)))
			if k.refused {
				c.ExpectEnd(0x82)
			} else {
				c.ExpectClosed()
			}
			_, p := s.open(t, x)
			must(t, "session present", p.SessionPresent, k.present)
		})
	}
}

// TestResendOnResume checks the messages that a resumed session gets: first the unacknowledged ones, in their
// original order with their packet identifiers, then the unsent ones.
func TestResendOnResume(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		pub := s.connect(t, clean(version, "pub"))
		c := s.connect(t, persistent(version, "c"))
		c.Subscribe(2, "a")
		send := func(qos byte, payload string) {
			pub.Publish(raw.Publish{Topic: "a", Payload: payload, QoS: qos})
		}
		var sent []*raw.Received
		for i, qos := range []byte{1, 2, 2, 1, 2, 1} {
			payload := string('1' + rune(i))
			send(qos, payload)
			sent = append(sent, c.ExpectPublish("a", payload))
		}
		c.Send(raw.Ack(raw.PUBREC, sent[1].ID)) // 2 is released, not completed
		c.ExpectAck(raw.PUBREL, sent[1].ID)
		c.Send(raw.Ack(raw.PUBREC, sent[4].ID)) // 5 is completed
		c.ExpectAck(raw.PUBREL, sent[4].ID)
		c.Send(raw.Ack(raw.PUBCOMP, sent[4].ID), raw.Ack(raw.PUBACK, sent[3].ID)) // and so is 4
		c.Disconnect()
		send(1, "7")

		c = s.connect(t, persistent(version, "c"))
		again := map[string]*raw.Received{}
		var order string
		for range 5 {
			p, err := c.Read()
			if err != nil {
				t.Fatalf("after %s: %v", order, err)
			}
			if p.Type == raw.PUBREL {
				must(t, "packet identifier of PUBREL", p.ID, sent[1].ID)
				continue
			}
			order += p.Payload
			again[p.Payload] = p
		}
		must(t, "order", order, "1367")
		for i, payload := range map[int]string{0: "1", 2: "3", 5: "6"} {
			must(t, "DUP of "+payload, again[payload].Dup, true)
			must(t, "packet identifier of "+payload, again[payload].ID, sent[i].ID)
		}
		must(t, "DUP of 7", again["7"].Dup, false)
		c.ExpectNothing()
	})
}

// TestNothingIsResentWithoutReconnecting leaves messages unacknowledged for a while [MQTT-4.4.0-1].
func TestNothingIsResentWithoutReconnecting(t *testing.T) {
	s := start(t)
	c := s.connect(t, persistent(raw.V5, "c"))
	c.Subscribe(2, "a")
	pub := s.connect(t, clean(raw.V5, "pub"))
	pub.Publish(raw.Publish{Topic: "a", QoS: 1})
	pub.Publish(raw.Publish{Topic: "a", QoS: 2})
	c.ExpectPublish("a", "")
	c.ExpectPublish("a", "")
	pass(2 * time.Second)
	fence(t, pub, c)
}

// TestReceivedQoS2SurvivesReconnect checks that the broker remembers received, unreleased QoS 2 messages.
func TestReceivedQoS2SurvivesReconnect(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		sub := s.connect(t, clean(version, "sub"))
		sub.Subscribe(0, "a")
		m := raw.Publish{Topic: "a", Payload: "1", QoS: 2, ID: 7}
		c := s.connect(t, persistent(version, "c"))
		c.Send(m.Bytes(version))
		c.ExpectAck(raw.PUBREC, 7)
		c.Close()

		c = s.connect(t, persistent(version, "c"))
		m.Dup = true
		c.Send(m.Bytes(version))
		must(t, "code of the PUBREC", c.ExpectAck(raw.PUBREC, 7).Code, 0)
		c.Send(raw.Ack(raw.PUBREL, 7))
		must(t, "code of the PUBCOMP", c.ExpectAck(raw.PUBCOMP, 7).Code, 0)
		sub.ExpectPublish("a", "1")
		fence(t, c, sub)
	})
}

// TestPacketIdentifiersWrap sends more messages than there are packet identifiers, while some are in use.
func TestPacketIdentifiersWrap(t *testing.T) {
	if testing.Short() {
		t.Skip("70,000 messages")
	}
	s := start(t)
	pub := s.connect(t, clean(raw.V5, "pub"))
	c := s.connect(t, withReceiveMaximum(clean(raw.V5, "c"), 100))
	c.Subscribe(1, "a")
	used := map[int]bool{}
	var held []int // unacknowledged identifiers; each is acknowledged 50 messages late
	for sent := 0; sent < 70_000; sent += 50 {
		var batch, acks [][]byte
		for i := range 50 {
			batch = append(batch, raw.Publish{Topic: "a", QoS: 1, ID: i + 1}.Bytes(raw.V5))
		}
		pub.Send(batch...)
		for i := range 50 {
			pub.ExpectAck(raw.PUBACK, i+1)
			p := c.ExpectPublish("a", "")
			if used[p.ID] {
				t.Fatalf("packet identifier %d is used again before it was acknowledged", p.ID)
			}
			used[p.ID] = true
			held = append(held, p.ID)
		}
		for ; len(held) > 49; held = held[1:] {
			acks = append(acks, raw.Ack(raw.PUBACK, held[0]))
			delete(used, held[0])
		}
		c.Send(acks...)
	}
}
