package conformance_test

import (
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// TestQoS2InFlight tests the receiver's side of the exactly once flow.
func TestQoS2InFlight(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		sub, pub := s.connect(t, clean(version, "sub")), s.connect(t, clean(version, "pub"))
		sub.Subscribe(0, "a")
		m := raw.Publish{Topic: "a", Payload: "1", QoS: 2, ID: 3}
		for range 3 {
			pub.Send(m.Bytes(version))
			must(t, "code of the PUBREC", pub.ExpectAck(raw.PUBREC, 3).Code, 0)
			m.Dup = true
		}
		pub.Send(raw.Ack(raw.PUBREL, 3))
		must(t, "code of the PUBCOMP", pub.ExpectAck(raw.PUBCOMP, 3).Code, 0)
		sub.ExpectPublish("a", "1")
		fence(t, pub, sub) // it was delivered once

		m.Payload = "2" // a new message, in spite of its DUP
		pub.Publish(m)
		sub.ExpectPublish("a", "2")
	})
}

// TestPacketIdentifiersOfBothDirections uses one identifier in both directions at once: they are independent.
func TestPacketIdentifiersOfBothDirections(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.connect(t, clean(version, "c"))
		c.Subscribe(2, "a")
		s.connect(t, clean(version, "pub")).Publish(raw.Publish{Topic: "a", QoS: 2})
		id := c.ExpectPublish("a", "").ID
		c.Send(raw.Publish{Topic: "b", QoS: 2, ID: id}.Bytes(version))
		c.ExpectAck(raw.PUBREC, id)
		c.Send(raw.Ack(raw.PUBREC, id))
		c.ExpectAck(raw.PUBREL, id)
		c.Send(raw.Ack(raw.PUBREL, id))
		must(t, "code", c.ExpectAck(raw.PUBCOMP, id).Code, 0)
		c.Send(raw.Ack(raw.PUBCOMP, id))
		c.ExpectNothing()
	})
}

func TestPubrelOfUnknownIdentifier(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.connect(t, clean(version, "c"))
		c.Send(raw.Ack(raw.PUBREL, 77))
		p := c.ExpectAck(raw.PUBCOMP, 77)
		if version == raw.V5 {
			must(t, "code", p.Code, 0x92)
		}
	})
}

// TestAcksOutOfTurn sends acknowledgements that do not fit the message's state.
func TestAcksOutOfTurn(t *testing.T) {
	for _, k := range []struct {
		name string
		qos  byte
		acks []raw.Type
	}{
		{"PUBACK of QoS 2", 2, []raw.Type{raw.PUBACK}},
		{"PUBREC of QoS 1", 1, []raw.Type{raw.PUBREC}},
		{"PUBCOMP of QoS 1", 1, []raw.Type{raw.PUBCOMP}},
		{"PUBCOMP before PUBREC", 2, []raw.Type{raw.PUBCOMP}},
		{"PUBACK after PUBREC", 2, []raw.Type{raw.PUBREC, raw.PUBACK}},
	} {
		t.Run(k.name, func(t *testing.T) {
			versions(t, func(t *testing.T, s *server, version byte) {
				c := s.connect(t, clean(version, "c"))
				c.Subscribe(2, "a")
				s.connect(t, clean(version, "pub")).Publish(raw.Publish{Topic: "a", QoS: k.qos})
				id := c.ExpectPublish("a", "").ID
				for i, ack := range k.acks {
					c.Send(raw.Ack(ack, id))
					if i < len(k.acks)-1 {
						c.ExpectAck(raw.PUBREL, id)
					}
				}
				c.ExpectEnd(0x82)
			})
		})
	}
}

// TestAcksInAnotherOrder acknowledges out of order: the order of [MQTT-4.6.0-2] binds clients, and breaking it
// affects nobody else.
func TestAcksInAnotherOrder(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.connect(t, persistent(version, "c"))
		c.Subscribe(2, "a")
		pub := s.connect(t, clean(version, "pub"))
		var ids []int
		for range 4 {
			pub.Publish(raw.Publish{Topic: "a", QoS: 1})
			ids = append(ids, c.ExpectPublish("a", "").ID)
		}
		for _, i := range []int{2, 0, 3, 1} {
			c.Send(raw.Ack(raw.PUBACK, ids[i]))
		}
		c.ExpectNothing()
		c.Close()
		s.connect(t, persistent(version, "c")).ExpectNothing()
	})
}

// TestRefusedByReceiver checks that a refusing acknowledgement ends the message's flow [MQTT-4.4.0-2].
func TestRefusedByReceiver(t *testing.T) {
	s := start(t)
	c := s.connect(t, persistent(raw.V5, "c"))
	c.Subscribe(2, "a")
	pub := s.connect(t, clean(raw.V5, "pub"))
	for i, ack := range []raw.Type{raw.PUBACK, raw.PUBREC} {
		pub.Publish(raw.Publish{Topic: "a", QoS: byte(i + 1)})
		c.Send(raw.AckCode(ack, c.ExpectPublish("a", "").ID, 0x83))
	}
	c.ExpectNothing() // no PUBREL
	c.Close()
	s.connect(t, persistent(raw.V5, "c")).ExpectNothing()
}

// TestUnknownAcks acknowledges messages that were never sent. A PUBREC is answered as specified; other
// acknowledgements are ignored or end the connection.
func TestUnknownAcks(t *testing.T) {
	s := start(t)
	c := s.connect(t, clean(raw.V5, "c"))
	c.Send(raw.Ack(raw.PUBREC, 99))
	switch p, err := c.Read(); {
	case err != nil:
		t.Fatal(err)
	case p.Type == raw.PUBREL:
		must(t, "code", p.Code, 0x92)
	case p.Type != raw.DISCONNECT || p.Code != 0x82:
		t.Fatalf("got %v, want PUBREL with code 0x92, or DISCONNECT with 0x82", p)
	}
}

// TestPubrecThatFails checks that a PUBREC with a failing code ends the flow without an answer, for a message in
// flight, one already received and an unknown one [MQTT-4.3.3-4].
func TestPubrecThatFails(t *testing.T) {
	s := start(t)
	pub := s.connect(t, clean(raw.V5, "pub"))
	for _, code := range []byte{0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99} {
		k := persistent(raw.V5, "c")
		k.Props = append(k.Props, raw.Num(raw.ReceiveMaximum, 1))
		c := s.connect(t, k)
		c.Send(raw.AckCode(raw.PUBREC, 99, code))
		c.ExpectNothing()
		c.Subscribe(2, "a")
		pub.Publish(raw.Publish{Topic: "a", Payload: "1", QoS: 2})
		id := c.ExpectPublish("a", "1").ID
		c.Send(raw.Ack(raw.PUBREC, id))
		c.ExpectAck(raw.PUBREL, id)
		c.Send(raw.AckCode(raw.PUBREC, id, code))
		c.ExpectNothing()
		pub.Publish(raw.Publish{Topic: "a", Payload: "2", QoS: 2}) // there is quota for it again
		c.Send(raw.AckCode(raw.PUBREC, c.ExpectPublish("a", "2").ID, code))
		c.ExpectNothing()
		c.Close()
		c = s.connect(t, persistent(raw.V5, "c"))
		c.ExpectNothing()
		c.Send(raw.Unsubscribe{ID: 7, Filters: []string{"a"}}.Bytes(raw.V5))
		c.Expect(raw.UNSUBACK)
		c.Disconnect()
	}
}

func TestAckReasonCodes(t *testing.T) {
	for _, k := range []struct {
		name string
		ack  raw.Type
		code byte
	}{
		{"PUBACK with PUBCOMP's", raw.PUBACK, 0x92},
		{"PUBACK with an unknown one", raw.PUBACK, 0x55},
		{"PUBREC with CONNACK's", raw.PUBREC, 0x86},
		{"PUBREL with PUBACK's", raw.PUBREL, 0x10},
		{"PUBCOMP with an unknown one", raw.PUBCOMP, 0x01},
	} {
		t.Run(k.name, func(t *testing.T) {
			c := start(t).connect(t, clean(raw.V5, "c"))
			c.Send(raw.AckCode(k.ack, 1, k.code))
			c.ExpectEnd(0x81, 0x82)
		})
	}
}
