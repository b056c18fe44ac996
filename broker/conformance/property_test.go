package conformance_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// forwardedProps are properties that a server forwards unaltered and in order.
var forwardedProps = raw.Props{
	raw.User("b", "1"), raw.Num(raw.PayloadFormat, 1), raw.Txt(raw.ContentType, "text/plain; charset=\"utf-8\""),
	raw.User("a", "2"), raw.Txt(raw.ResponseTopic, "answers/日本"), raw.User("b", "1"),
	raw.Txt(raw.CorrelationData, "\x00\xFFid"), raw.User("", ""),
}

// mustForward fails the test unless a message has the forwarded properties, the user properties in order.
func mustForward(t *testing.T, p *raw.Received) {
	t.Helper()
	for _, id := range []raw.ID{raw.PayloadFormat, raw.ContentType, raw.ResponseTopic, raw.CorrelationData, raw.UserProperty} {
		if got, want := p.Props.All(id), forwardedProps.All(id); !slices.Equal(got, want) {
			t.Errorf("property 0x%02X: got %v, want %v", byte(id), got, want)
		}
	}
}

func TestPropertiesArePassedOn(t *testing.T) {
	s := start(t)
	pub, sub := s.connect(t, clean(raw.V5, "pub")), s.connect(t, clean(raw.V5, "sub"))
	old := s.connect(t, clean(raw.V311, "old"))
	sub.Subscribe(2, "a")
	old.Subscribe(2, "a")
	queued := s.connect(t, persistent(raw.V5, "queued"))
	queued.Subscribe(2, "a")
	queued.Disconnect()
	for qos := range byte(3) {
		pub.Publish(raw.Publish{Topic: "a", Payload: "x", QoS: qos, Retain: true, Props: forwardedProps})
		mustForward(t, sub.ExpectPublish("a", "x"))
		old.ExpectPublish("a", "x")
	}
	late := s.connect(t, clean(raw.V5, "late"))
	late.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "a"}}}.Bytes(raw.V5))
	late.Expect(raw.SUBACK)
	mustForward(t, late.ExpectPublish("a", "x"))
	queued = s.connect(t, persistent(raw.V5, "queued"))
	mustForward(t, queued.ExpectPublish("a", "x"))

	s.connect(t, clean(raw.V311, "oldpub")).Publish(raw.Publish{Topic: "a", Payload: "y"})
	must(t, "properties of a message from 3.1.1", len(sub.ExpectPublish("a", "y").Props), 0)
}

// TestMessageExpiry queues messages for an absent client until some of them expire.
func TestMessageExpiry(t *testing.T) {
	s := start(t)
	pub := s.connect(t, clean(raw.V5, "pub"))
	sub := s.connect(t, persistent(raw.V5, "sub"))
	sub.Subscribe(2, "a/#")
	expiring := func(topic string, seconds int, retain bool) {
		pub.Publish(raw.Publish{Topic: topic, Payload: "x", QoS: 1, Retain: retain, Props: raw.Props{raw.Num(raw.MessageExpiry, seconds)}})
	}
	expiring("a/now", 600, false)
	if n := sub.ExpectPublish("a/now", "x").Props.Num(raw.MessageExpiry); n < 500 || n > 600 {
		t.Errorf("a message that did not wait has an expiry of %d s, want 600", n)
	}
	sub.Disconnect()
	expiring("a/short", 1, true)
	expiring("a/long", 600, true)
	pass(2100 * time.Millisecond)

	left := func(p *raw.Received) {
		if n := p.Props.Num(raw.MessageExpiry); n < 500 || n > 598 {
			t.Errorf("a message that waited two seconds has an expiry of %d s, want 598", n)
		}
	}
	sub = s.connect(t, persistent(raw.V5, "sub"))
	sub.ExpectPublish("a/now", "x") // was sent before
	left(sub.ExpectPublish("a/long", "x"))
	late := s.connect(t, clean(raw.V5, "late"))
	late.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "a/#"}}}.Bytes(raw.V5))
	late.Expect(raw.SUBACK)
	left(late.ExpectPublish("a/long", "x"))
	fence(t, pub, sub)
	fence(t, pub, late)
}

// TestExpiryOfWhatWasSent checks that the flow of a message goes on after its expiry, once it was sent.
func TestExpiryOfWhatWasSent(t *testing.T) {
	s := start(t)
	pub := s.connect(t, clean(raw.V5, "pub"))
	sub := s.connect(t, persistent(raw.V5, "sub"))
	sub.Subscribe(2, "a")
	m := raw.Publish{Topic: "a", QoS: 2, ID: 1, Props: raw.Props{raw.Num(raw.MessageExpiry, 2)}}
	pub.Publish(m)
	first := sub.ExpectPublish("a", "")
	sub.Close()
	m.ID, m.Topic = 2, "b"
	pub.Send(m.Bytes(raw.V5))
	pub.ExpectAck(raw.PUBREC, 2)
	pass(3500 * time.Millisecond)
	pub.Send(raw.Ack(raw.PUBREL, 2)) // [MQTT-4.3.3-13]
	must(t, "code of the PUBCOMP", pub.ExpectAck(raw.PUBCOMP, 2).Code, 0)

	sub = s.connect(t, persistent(raw.V5, "sub")) // [MQTT-4.3.3-7]
	again := sub.ExpectPublish("a", "")
	must(t, "packet identifier", again.ID, first.ID)
	if left := again.Props.Num(raw.MessageExpiry); left > 0 {
		t.Errorf("a message whose two seconds are over has an expiry of %d s, want 0", left)
	}
	acknowledge(sub, again)
	sub.ExpectNothing()
}

// sample returns a property with a valid value.
func sample(id raw.ID) raw.Prop {
	switch raw.Definitions[id].Kind {
	case raw.Byte, raw.Two, raw.Four, raw.Variable:
		if id == raw.MaximumPacketSize {
			return raw.Num(id, 100_000)
		}
		return raw.Num(id, 1)
	case raw.PairOfText:
		return raw.User("name", "value")
	}
	return raw.Txt(id, "text")
}

// packetWith are the packets of a client, valid except for the given properties.
var packetWith = map[string]func(ps raw.Props) []byte{
	"CONNECT": func(ps raw.Props) []byte {
		return raw.Connect{Version: raw.V5, ID: "c", Clean: true, Props: ps}.Bytes()
	},
	"WILL": func(ps raw.Props) []byte {
		return raw.Connect{Version: raw.V5, ID: "c", Clean: true, Will: &raw.Will{Topic: "w", Props: ps}}.Bytes()
	},
	"PUBLISH": func(ps raw.Props) []byte { return raw.Publish{Topic: "a", Props: ps}.Bytes(raw.V5) },
	"PUBACK":  func(ps raw.Props) []byte { return raw.AckCode(raw.PUBACK, 9, 0, ps...) },
	"PUBREC":  func(ps raw.Props) []byte { return raw.AckCode(raw.PUBREC, 9, 0, ps...) },
	"PUBREL":  func(ps raw.Props) []byte { return raw.AckCode(raw.PUBREL, 9, 0, ps...) },
	"PUBCOMP": func(ps raw.Props) []byte { return raw.AckCode(raw.PUBCOMP, 9, 0, ps...) },
	"SUBSCRIBE": func(ps raw.Props) []byte {
		return raw.Subscribe{ID: 9, Filters: []raw.Filter{{Name: "a"}}, Props: ps}.Bytes(raw.V5)
	},
	"UNSUBSCRIBE": func(ps raw.Props) []byte {
		return raw.Unsubscribe{ID: 9, Filters: []string{"a"}, Props: ps}.Bytes(raw.V5)
	},
	"DISCONNECT": func(ps raw.Props) []byte { return raw.Disconnect(0, ps...) },
	"AUTH":       func(ps raw.Props) []byte { return raw.Auth(0x19, ps...) },
}

// badProperties sends a packet with invalid properties, which must end the connection with one of codes.
func badProperties(t *testing.T, s *server, packet string, ps raw.Props, codes ...byte) {
	t.Helper()
	p := packetWith[packet](ps)
	if packet == "CONNECT" || packet == "WILL" {
		c := s.dial(t, raw.V5)
		c.Send(p)
		c.ExpectMalformed(codes...)
		return
	}
	if packet == "AUTH" { // refused anyway: there is no authentication method
		codes = append(codes, 0x82)
	}
	c := s.connect(t, persistent(raw.V5, "c"))
	c.Send(p)
	c.ExpectEnd(codes...)
}

func TestRepeatedProperties(t *testing.T) {
	s := start(t)
	for id, d := range raw.Definitions {
		for _, packet := range strings.Fields(d.ToServer) {
			if id == raw.UserProperty {
				continue
			}
			t.Run(fmt.Sprintf("0x%02X in %s", byte(id), packet), func(t *testing.T) {
				badProperties(t, s, packet, raw.Props{sample(id), sample(id)}, 0x82)
			})
		}
	}
}

func TestMisplacedProperties(t *testing.T) {
	s := start(t)
	for id, d := range raw.Definitions {
		for packet := range packetWith {
			if slices.Contains(strings.Fields(d.ToServer), packet) {
				continue
			}
			t.Run(fmt.Sprintf("0x%02X in %s", byte(id), packet), func(t *testing.T) {
				codes := []byte{0x81}
				if id == raw.SubscriptionIdentifier && packet == "PUBLISH" {
					codes = []byte{0x82} // MQTT 5 3.3.4
				}
				badProperties(t, s, packet, raw.Props{sample(id)}, codes...)
			})
		}
	}
}

// TestUnknownProperties sends undefined property identifiers.
func TestUnknownProperties(t *testing.T) {
	s := start(t)
	for _, id := range []raw.ID{0x00, 0x04, 0x2B, 0x7F} {
		for packet := range packetWith {
			t.Run(fmt.Sprintf("0x%02X in %s", byte(id), packet), func(t *testing.T) {
				badProperties(t, s, packet, raw.Props{raw.Num(id, 1)}, 0x81)
			})
		}
	}
}

// TestReasonStringsAndUserPropertiesOfAcks checks that they are accepted and ignored, in any number.
func TestReasonStringsAndUserPropertiesOfAcks(t *testing.T) {
	s := start(t)
	c := s.connect(t, clean(raw.V5, "c"))
	c.Subscribe(2, "a")
	for qos := byte(1); qos < 3; qos++ {
		c.Publish(raw.Publish{Topic: "b", QoS: qos})
		s.connect(t, clean(raw.V5, "pub")).Publish(raw.Publish{Topic: "a", QoS: qos})
		p := c.ExpectPublish("a", "")
		ps := raw.Props{raw.Txt(raw.ReasonString, "why"), raw.User("a", "1"), raw.User("a", "1")}
		if qos == 1 {
			c.Send(raw.AckCode(raw.PUBACK, p.ID, 0, ps...))
			continue
		}
		c.Send(raw.AckCode(raw.PUBREC, p.ID, 0, ps...))
		c.ExpectAck(raw.PUBREL, p.ID)
		c.Send(raw.AckCode(raw.PUBCOMP, p.ID, 0, ps...))
	}
	c.ExpectNothing()
}
