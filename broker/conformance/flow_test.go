package conformance_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// withReceiveMaximum sets the receive maximum of a CONNECT.
func withReceiveMaximum(k raw.Connect, most int) raw.Connect {
	k.Props = append(k.Props, raw.Num(raw.ReceiveMaximum, most))
	return k
}

// publish publishes numbered messages and waits for their acknowledgements.
func publish(c *raw.Client, topic string, qos byte, from, to int) {
	for i := from; i <= to; i++ {
		c.Publish(raw.Publish{Topic: topic, Payload: strconv.Itoa(i), QoS: qos})
	}
}

func TestReceiveMaximumOfClient(t *testing.T) {
	for qos := byte(1); qos < 3; qos++ {
		t.Run("QoS "+strconv.Itoa(int(qos)), func(t *testing.T) {
			s := start(t)
			c := s.connect(t, withReceiveMaximum(clean(raw.V5, "c"), 2))
			c.Subscribe(2, "a")
			c.Subscribe(0, "b")
			pub := s.connect(t, clean(raw.V5, "pub"))
			publish(pub, "a", qos, 1, 5)
			one, two := c.ExpectPublish("a", "1"), c.ExpectPublish("a", "2")
			fence(t, pub, c) // no third message, but everything else is answered [MQTT-4.9.0-3] and QoS 0 is sent
			pub.Publish(raw.Publish{Topic: "b"})
			c.ExpectPublish("b", "")
			if qos == 2 {
				c.Send(raw.Ack(raw.PUBREC, one.ID)) // does not release the quota
				c.ExpectAck(raw.PUBREL, one.ID)
				fence(t, pub, c)
				c.Send(raw.Ack(raw.PUBCOMP, one.ID))
			} else {
				c.Send(raw.Ack(raw.PUBACK, one.ID))
			}
			c.ExpectPublish("a", "3")
			fence(t, pub, c)
			ack := raw.PUBACK
			if qos == 2 {
				ack = raw.PUBREC
			}
			c.Send(raw.AckCode(ack, two.ID, 0x80)) // releases the quota too
			c.ExpectPublish("a", "4")
			fence(t, pub, c)
		})
	}
}

// TestReceiveMaximumAfterResume checks that resent messages count against the receive maximum.
func TestReceiveMaximumAfterResume(t *testing.T) {
	s := start(t)
	k := withReceiveMaximum(persistent(raw.V5, "c"), 2)
	c := s.connect(t, k)
	c.Subscribe(1, "a")
	pub := s.connect(t, clean(raw.V5, "pub"))
	publish(pub, "a", 1, 1, 4)
	c.ExpectPublish("a", "1")
	c.ExpectPublish("a", "2")
	c.Close()

	c = s.connect(t, k)
	one := c.ExpectPublish("a", "1")
	must(t, "DUP", one.Dup, true)
	must(t, "DUP", c.ExpectPublish("a", "2").Dup, true)
	fence(t, pub, c)
	c.Send(raw.Ack(raw.PUBACK, one.ID))
	must(t, "DUP", c.ExpectPublish("a", "3").Dup, false)
	fence(t, pub, c)
	c.Close()

	c = s.connect(t, withReceiveMaximum(persistent(raw.V5, "c"), 1)) // comes back with a smaller receive maximum
	two := c.ExpectPublish("a", "2")
	fence(t, pub, c)
	c.Send(raw.Ack(raw.PUBACK, two.ID))
	three := c.ExpectPublish("a", "3")
	fence(t, pub, c)
	c.Send(raw.Ack(raw.PUBACK, three.ID))
	c.ExpectPublish("a", "4")
}

// TestInflightWindow checks the in-flight window of clients without a receive maximum.
func TestInflightWindow(t *testing.T) {
	for _, version := range []byte{raw.V31, raw.V311, raw.V5} {
		t.Run(names[version], func(t *testing.T) {
			s := startOurs(t, broker.Options{Limits: broker.Limits{MaxInflight: 2}})
			c := s.connect(t, clean(version, "c"))
			c.Subscribe(1, "a")
			pub := s.connect(t, clean(version, "pub"))
			publish(pub, "a", 1, 1, 3)
			one := c.ExpectPublish("a", "1")
			c.ExpectPublish("a", "2")
			fence(t, pub, c)
			c.Send(raw.Ack(raw.PUBACK, one.ID))
			c.ExpectPublish("a", "3")
		})
	}
}

func TestReceiveMaximumOfServer(t *testing.T) {
	s := startOurs(t, broker.Options{Limits: broker.Limits{ReceiveMaximum: 2}})
	c, p := s.open(t, clean(raw.V5, "c"))
	must(t, "receive maximum", p.Props.Num(raw.ReceiveMaximum), 2)
	publish(c, "a", 1, 1, 10) // acknowledged at once, so they never fill the window
	publish(c, "a", 2, 1, 10)
	for _, id := range []int{101, 102, 101} {
		c.Send(raw.Publish{Topic: "a", QoS: 2, ID: id}.Bytes(raw.V5))
		c.ExpectAck(raw.PUBREC, id)
	}
	c.Send(raw.Publish{Topic: "a", QoS: 2, ID: 103}.Bytes(raw.V5))
	c.ExpectEnd(0x93)
}

// TestMaximumPacketSize drops messages larger than the client's maximum, as if they had been sent and acknowledged.
func TestMaximumPacketSize(t *testing.T) {
	s := start(t)
	small := func(k raw.Connect) raw.Connect {
		k.Props = append(k.Props, raw.Num(raw.MaximumPacketSize, 100), raw.Num(raw.ReceiveMaximum, 1))
		return k
	}
	pub := s.connect(t, clean(raw.V5, "pub"))
	send := func() {
		for qos := range byte(3) {
			must(t, "code", pub.Publish(raw.Publish{Topic: "a", Payload: strings.Repeat("x", 100), QoS: qos}), 0)
			must(t, "code", pub.Publish(raw.Publish{Topic: "a", Payload: strconv.Itoa(int(qos)), QoS: qos}), 0)
		}
	}
	c := s.connect(t, small(clean(raw.V5, "c")))
	c.Subscribe(2, "a")
	send()
	for qos := range 3 {
		acknowledge(c, c.ExpectPublish("a", strconv.Itoa(qos)))
	}
	fence(t, pub, c)

	queued := s.connect(t, persistent(raw.V5, "queued"))
	queued.Subscribe(2, "a")
	queued.Disconnect()
	send()
	queued = s.connect(t, small(persistent(raw.V5, "queued")))
	for qos := 1; qos < 3; qos++ {
		acknowledge(queued, queued.ExpectPublish("a", strconv.Itoa(qos)))
	}
	fence(t, pub, queued)
}

// TestMaximumPacketSizeOfResend comes back with a maximum smaller than an unacknowledged message.
func TestMaximumPacketSizeOfResend(t *testing.T) {
	s := start(t)
	pub := s.connect(t, clean(raw.V5, "pub"))
	c := s.connect(t, persistent(raw.V5, "c"))
	c.Subscribe(1, "a")
	pub.Publish(raw.Publish{Topic: "a", Payload: strings.Repeat("x", 100), QoS: 1})
	pub.Publish(raw.Publish{Topic: "a", Payload: "1", QoS: 1})
	c.Expect(raw.PUBLISH)
	c.Expect(raw.PUBLISH)
	c.Close()
	k := persistent(raw.V5, "c")
	k.Props = append(k.Props, raw.Num(raw.MaximumPacketSize, 100))
	c = s.connect(t, k)
	c.ExpectPublish("a", "1")
	fence(t, pub, c)
}

// TestPropertiesFitMaximumPacketSize checks that a reason string never makes a packet too large: raw.Client fails the
// test if one is.
func TestPropertiesFitMaximumPacketSize(t *testing.T) {
	s := start(t)
	tight := func(id string) raw.Connect {
		k := clean(raw.V5, id)
		k.Props = raw.Props{raw.Num(raw.MaximumPacketSize, 30)}
		return k
	}
	refused := tight("refused")
	refused.Props = append(refused.Props, raw.Txt(raw.AuthMethod, "x"))
	c := s.dial(t, raw.V5)
	c.SendConnect(refused)
	c.ExpectRefused(0x8C)

	c = s.connect(t, tight("c"))
	c.Subscribe(0, "a#")
	c.Send(raw.Unsubscribe{ID: 5, Filters: []string{"no such subscription"}}.Bytes(raw.V5))
	c.Expect(raw.UNSUBACK)
	c.Publish(raw.Publish{Topic: "a", QoS: 1})
	c.Publish(raw.Publish{Topic: "a", QoS: 2})
	c.Send(raw.Ack(raw.PUBREL, 99))
	c.Expect(raw.PUBCOMP)
	c.SendConnect(tight("c"))
	c.ExpectEnd(0x82)
}

// TestRequestProblemInformation checks that a client without problem information gets reason strings and user
// properties in CONNACK, DISCONNECT and PUBLISH only.
func TestRequestProblemInformation(t *testing.T) {
	s := start(t)
	k := clean(raw.V5, "c")
	k.Props = raw.Props{raw.Num(raw.RequestProblemInfo, 0)}
	c := s.connect(t, k)
	none := func(p *raw.Received) {
		if p.Props.Has(raw.ReasonString) || p.Props.Has(raw.UserProperty) {
			t.Errorf("got %v, want no reason string and no user property", p)
		}
	}
	c.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "a#"}, {Name: "b"}}}.Bytes(raw.V5))
	none(c.Expect(raw.SUBACK))
	c.Send(raw.Unsubscribe{ID: 2, Filters: []string{"x"}}.Bytes(raw.V5))
	none(c.Expect(raw.UNSUBACK))
	c.Send(raw.Publish{Topic: "z", QoS: 1, ID: 3}.Bytes(raw.V5))
	none(c.Expect(raw.PUBACK))
	c.Send(raw.Publish{Topic: "z", QoS: 2, ID: 4}.Bytes(raw.V5))
	none(c.Expect(raw.PUBREC))
	c.Send(raw.Ack(raw.PUBREL, 44))
	none(c.Expect(raw.PUBCOMP))
	c.Publish(raw.Publish{Topic: "b", Props: raw.Props{raw.User("kept", "1")}})
	must(t, "user properties of a message", len(c.ExpectPublish("b", "").Props), 1)
}
