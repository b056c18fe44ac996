package conformance_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// TestSlowReader has a subscriber read nothing until megabytes are queued for it: it gets all QoS 1 messages in
// order, and the newest of QoS 0.
func TestSlowReader(t *testing.T) {
	const most = 8000
	payload := func(i int) string { return strconv.Itoa(i) + strings.Repeat(".", 1000) }
	for qos := range byte(2) {
		t.Run("QoS "+strconv.Itoa(int(qos)), func(t *testing.T) {
			s := startOurs(t, broker.Options{Limits: broker.Limits{MaxInflight: -1}})
			sub, pub := s.connect(t, clean(raw.V5, "sub")), s.connect(t, clean(raw.V311, "pub"))
			sub.Subscribe(1, "a")
			for i := 0; i < most; i += 100 {
				var all [][]byte
				for n := range 100 {
					all = append(all, raw.Publish{Topic: "a", Payload: payload(i + n), QoS: qos, ID: n + 1}.Bytes(raw.V311))
				}
				pub.Send(all...)
				finish(pub, qos, 100)
			}
			pub.ExpectNothing()
			for last := -1; last < most-1; {
				p := sub.Expect(raw.PUBLISH)
				number, _, _ := strings.Cut(p.Payload, ".")
				i, err := strconv.Atoi(number)
				if err != nil || p.Payload != payload(i) {
					t.Fatalf("got %v", p)
				}
				if i <= last || qos == 1 && i != last+1 {
					t.Fatalf("got %d after %d", i, last)
				}
				last = i
				acknowledge(sub, p)
			}
		})
	}
}

// TestRetainedAtTheReadersPace subscribes to more retained messages than may be in flight, while newer ones arrive.
func TestRetainedAtTheReadersPace(t *testing.T) {
	s := start(t)
	pub := s.connect(t, clean(raw.V5, "pub"))
	keep := func(from, to int, payload string) {
		for i := from; i < to; i++ {
			pub.Publish(raw.Publish{Topic: "a/" + strconv.Itoa(i), Payload: payload, QoS: 1, Retain: true})
		}
	}
	keep(0, 60, "old")
	c := s.connect(t, withReceiveMaximum(clean(raw.V5, "c"), 1))
	c.Send(raw.Subscribe{ID: 1, Filters: filters("a/#", 1)}.Bytes(raw.V5))
	c.Expect(raw.SUBACK)
	first := c.Expect(raw.PUBLISH)
	keep(30, 70, "new")
	last := map[string]string{}
	for p := first; ; p = c.Expect(raw.PUBLISH) {
		if last[p.Topic] == "new" {
			t.Fatalf("got %v after the newer one", p)
		}
		last[p.Topic] = p.Payload
		acknowledge(c, p)
		if len(last) == 70 && count(last, "new") == 40 {
			break
		}
	}
	fence(t, pub, c)
}

func count(m map[string]string, value string) (n int) {
	for _, v := range m {
		if v == value {
			n++
		}
	}
	return n
}

// TestUnsubscribeEndsRetained unsubscribes while retained messages are being sent: the rest is not sent, on this
// connection or the next.
func TestUnsubscribeEndsRetained(t *testing.T) {
	s := start(t)
	pub := s.connect(t, clean(raw.V5, "pub"))
	for i := range 5 {
		pub.Publish(raw.Publish{Topic: "a/" + strconv.Itoa(i), Payload: "x", QoS: 1, Retain: true})
	}
	c := s.connect(t, withReceiveMaximum(persistent(raw.V5, "c"), 1))
	c.Send(raw.Subscribe{ID: 1, Filters: filters("a/#", 1)}.Bytes(raw.V5))
	c.Expect(raw.SUBACK)
	first := c.Expect(raw.PUBLISH)
	c.Send(raw.Unsubscribe{ID: 2, Filters: []string{"a/#"}}.Bytes(raw.V5))
	c.Expect(raw.UNSUBACK)
	c.Disconnect()
	c = s.connect(t, persistent(raw.V5, "c"))
	again := c.ExpectPublish(first.Topic, "x")
	acknowledge(c, again)
	// One more may have been added to the queue before.
	if rest := collect(t, pub, c); len(rest) > 1 {
		t.Errorf("got %v after the subscription had ended", rest)
	}
}

// TestMaximumPacketSizeWithAliases sends messages of every size around the client's maximum: none is too large, and
// none that fits is missing.
func TestMaximumPacketSizeWithAliases(t *testing.T) {
	for _, aliases := range []int{0, 4} {
		t.Run(strconv.Itoa(aliases)+" aliases", func(t *testing.T) {
			s := start(t)
			k := clean(raw.V5, "c")
			k.Props = raw.Props{raw.Num(raw.MaximumPacketSize, 60), raw.Num(raw.TopicAliasMaximum, aliases)}
			c, pub := s.connect(t, k), s.connect(t, clean(raw.V5, "pub"))
			c.Subscribe(1, "a/#")
			for qos := range byte(2) {
				for size := 69; size >= 30; size-- {
					m := raw.Publish{Topic: "a/" + strconv.Itoa(size), QoS: qos, ID: 1}
					m.Payload = strings.Repeat("x", size-len(m.Bytes(raw.V5)))
					pub.Publish(m)
				}
				got := map[string]bool{}
				for _, p := range collect(t, pub, c) {
					got[p.Topic] = true
					acknowledge(c, p)
				}
				for size := 69; size >= 30; size-- {
					if fits := size <= 60; got["a/"+strconv.Itoa(size)] != fits {
						t.Errorf("a message of QoS %d and %d bytes: sent is %t", qos, size, !fits)
					}
				}
			}
		})
	}
}

// TestAnswersFitMaximumPacketSize provokes answers larger than the client's maximum. raw.Client fails the test if one
// comes; the server may choose any other reaction.
func TestAnswersFitMaximumPacketSize(t *testing.T) {
	s := start(t)
	var all []any
	var names []string
	for i := range 100 {
		all, names = append(all, "a/"+strconv.Itoa(i), 0), append(names, "a/"+strconv.Itoa(i))
	}
	for name, p := range map[string][]byte{
		"SUBACK":   raw.Subscribe{ID: 1, Filters: filters(all...)}.Bytes(raw.V5),
		"UNSUBACK": raw.Unsubscribe{ID: 1, Filters: names}.Bytes(raw.V5),
	} {
		t.Run(name, func(t *testing.T) {
			k := clean(raw.V5, "c")
			k.Props = raw.Props{raw.Num(raw.MaximumPacketSize, 50)}
			c := s.connect(t, k)
			c.Send(p, raw.Plain(raw.PINGREQ))
			if p, err := c.Read(); err == nil && p.Type != raw.PINGRESP && (p.Type != raw.DISCONNECT || p.Code < 0x80) {
				t.Fatalf("got %v", p)
			} else if err != nil && !isEOF(err) {
				t.Fatal(err)
			}
		})
	}
	t.Run("CONNACK", func(t *testing.T) {
		for most := 1; most < 30; most++ {
			k := raw.Connect{Version: raw.V5, Clean: true, Props: raw.Props{raw.Num(raw.MaximumPacketSize, most)}}
			c := s.dial(t, raw.V5)
			c.SendConnect(k)
			if _, err := c.Read(); err != nil && !isEOF(err) {
				t.Fatalf("%d bytes: %v", most, err)
			}
		}
	})
}

// TestPublishThenClose checks that messages sent before the client closed its connection are not lost.
func TestPublishThenClose(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		sub := s.connect(t, clean(version, "sub"))
		sub.Subscribe(0, "a")
		for i := range 20 {
			c := s.connect(t, clean(version, "c"+strconv.Itoa(i)))
			c.Send(raw.Publish{Topic: "a", Payload: strconv.Itoa(i)}.Bytes(version))
			c.Close()
			sub.ExpectPublish("a", strconv.Itoa(i))
		}
	})
}

// TestPacketsBeforeAnError checks that packets before a malformed one are processed, and those behind it are not.
func TestPacketsBeforeAnError(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		sub := s.connect(t, clean(version, "sub"))
		sub.Subscribe(0, "#")
		c := s.connect(t, clean(version, "c"))
		c.Send(raw.Publish{Topic: "before", QoS: 1, ID: 1}.Bytes(version), []byte{0xC1, 0},
			raw.Publish{Topic: "after", QoS: 1, ID: 2}.Bytes(version))
		c.ExpectAck(raw.PUBACK, 1)
		c.ExpectEnd(0x81)
		sub.ExpectPublish("before", "")
		fence(t, s.connect(t, clean(version, "pub")), sub)
	})
}
