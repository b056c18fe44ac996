package conformance_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// acknowledge completes the flow of a message that c has received.
func acknowledge(c *raw.Client, p *raw.Received) {
	switch p.QoS {
	case 1:
		c.Send(raw.Ack(raw.PUBACK, p.ID))
	case 2:
		c.Send(raw.Ack(raw.PUBREC, p.ID))
		c.ExpectAck(raw.PUBREL, p.ID)
		c.Send(raw.Ack(raw.PUBCOMP, p.ID))
	}
}

// finish completes the flows of the messages 1 to n that c has sent.
func finish(c *raw.Client, qos byte, n int) {
	expect := func(ack raw.Type) {
		for id := 1; id <= n; id++ {
			c.ExpectAck(ack, id)
		}
	}
	switch qos {
	case 1:
		expect(raw.PUBACK)
	case 2:
		expect(raw.PUBREC)
		for id := 1; id <= n; id++ {
			c.Send(raw.Ack(raw.PUBREL, id))
		}
		expect(raw.PUBCOMP)
	}
}

// TestDelivery publishes at each QoS from each version to subscribers of each QoS and version.
func TestDelivery(t *testing.T) {
	for _, from := range names {
		for _, to := range names {
			t.Run(from+" to "+to, func(t *testing.T) {
				s := start(t)
				pub, sub := s.connect(t, clean(versionOf(from), "pub")), s.connect(t, clean(versionOf(to), "sub"))
				for want := range byte(3) {
					topic := "a/" + strconv.Itoa(int(want))
					must(t, "granted", string(sub.Subscribe(want, topic)), string([]byte{want}))
					for qos := range byte(3) {
						payload := fmt.Sprint("payload ", qos)
						must(t, "code", pub.Publish(raw.Publish{Topic: topic, Payload: payload, QoS: qos}), 0)
						p := sub.ExpectPublish(topic, payload)
						must(t, "QoS", p.QoS, min(qos, want))
						must(t, "DUP", p.Dup, false)
						must(t, "retain", p.Retain, false)
						acknowledge(sub, p)
					}
				}
				sub.ExpectNothing()
			})
		}
	}
}

func versionOf(name string) byte {
	for v, n := range names {
		if n == name {
			return v
		}
	}
	panic(name)
}

func TestPayloads(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.connect(t, clean(version, "c"))
		c.Subscribe(1, "a")
		for _, payload := range []string{"", "\x00", "\xFF\xFE", strings.Repeat("x", 127), strings.Repeat("y", 16_384),
			strings.Repeat("z", 1_000_000)} {
			c.Send(raw.Publish{Topic: "a", Payload: payload, QoS: 0}.Bytes(version))
			c.ExpectPublish("a", payload)
		}
	})
}

func TestMessageOrder(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		pub, sub := s.connect(t, clean(version, "pub")), s.connect(t, clean(version, "sub"))
		sub.Subscribe(2, "a/+")
		for qos := range byte(3) {
			topic := "a/" + strconv.Itoa(int(qos))
			var all [][]byte
			for i := range 20 {
				all = append(all, raw.Publish{Topic: topic, Payload: strconv.Itoa(i), QoS: qos, ID: i + 1}.Bytes(version))
			}
			pub.Send(all...)
			finish(pub, qos, 20)
			var got []*raw.Received
			for i := range 20 {
				got = append(got, sub.ExpectPublish(topic, strconv.Itoa(i)))
			}
			for _, p := range got {
				acknowledge(sub, p)
			}
		}
	})
}

func TestDupIsNotPropagated(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		pub, sub := s.connect(t, clean(version, "pub")), s.connect(t, clean(version, "sub"))
		sub.Subscribe(2, "a")
		for qos := byte(1); qos < 3; qos++ {
			pub.Publish(raw.Publish{Topic: "a", QoS: qos, Dup: true})
			must(t, "DUP", sub.ExpectPublish("a", "").Dup, false)
		}
	})
}

// TestQoS1PacketIdentifierIsFree reuses the identifier of an acknowledged message for a new one.
func TestQoS1PacketIdentifierIsFree(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		sub, pub := s.connect(t, clean(version, "sub")), s.connect(t, clean(version, "pub"))
		sub.Subscribe(0, "a")
		for i, dup := range []bool{false, false, true} {
			payload := strconv.Itoa(i)
			pub.Publish(raw.Publish{Topic: "a", Payload: payload, QoS: 1, ID: 5, Dup: dup})
			sub.ExpectPublish("a", payload)
		}
	})
}

func TestNoMatchingSubscribers(t *testing.T) {
	s := start(t)
	c := s.connect(t, clean(raw.V5, "c"))
	c.Subscribe(0, "a")
	for qos := byte(1); qos < 3; qos++ {
		c.Send(raw.Publish{Topic: "b", QoS: qos, ID: int(qos)}.Bytes(raw.V5))
		ack := []raw.Type{0, raw.PUBACK, raw.PUBREC}[qos]
		must(t, "code where nobody subscribes", c.ExpectAck(ack, int(qos)).Code, 0x10)
	}
	c.Send(raw.Ack(raw.PUBREL, 2))
	c.ExpectAck(raw.PUBCOMP, 2)
}

// TestMalformedPublish ends the connection and delivers nothing.
func TestMalformedPublish(t *testing.T) {
	for _, k := range []struct {
		name   string
		packet func(version byte) []byte
		codes  []byte
	}{
		{"QoS 3", func(v byte) []byte { return raw.Publish{Topic: "a", QoS: 3, ID: 1}.Bytes(v) }, []byte{0x81}},
		{"DUP with QoS 0", func(v byte) []byte { return raw.Publish{Topic: "a", Dup: true}.Bytes(v) }, []byte{0x81, 0x82}},
		{"QoS 1 with packet identifier 0", func(v byte) []byte { return raw.Publish{Topic: "a", QoS: 1}.Bytes(v) }, []byte{0x81, 0x82}},
		{"QoS 2 with packet identifier 0", func(v byte) []byte { return raw.Publish{Topic: "a", QoS: 2}.Bytes(v) }, []byte{0x81, 0x82}},
		{"topic with #", func(v byte) []byte { return raw.Publish{Topic: "a/#"}.Bytes(v) }, []byte{0x90, 0x81, 0x82}},
		{"topic with +", func(v byte) []byte { return raw.Publish{Topic: "+/a"}.Bytes(v) }, []byte{0x90, 0x81, 0x82}},
		{"no topic", func(v byte) []byte { return raw.Publish{}.Bytes(v) }, []byte{0x90, 0x81, 0x82}},
	} {
		t.Run(k.name, func(t *testing.T) {
			versions(t, func(t *testing.T, s *server, version byte) {
				sub := s.connect(t, clean(version, "sub"))
				sub.Subscribe(0, "#")
				c := s.connect(t, clean(version, "c"))
				c.Send(k.packet(version))
				c.ExpectEnd(k.codes...)
				fence(t, s.connect(t, clean(version, "pub")), sub)
			})
		})
	}
}

func TestPublishPropertyValues(t *testing.T) {
	s := start(t)
	for name, ps := range map[string]raw.Props{
		"payload format 2":              {raw.Num(raw.PayloadFormat, 2)},
		"response topic with #":         {raw.Txt(raw.ResponseTopic, "a/#")},
		"response topic with +":         {raw.Txt(raw.ResponseTopic, "+")},
		"subscription identifier":       {raw.Num(raw.SubscriptionIdentifier, 1)},
		"user property that is no pair": {{ID: raw.UserProperty, Name: "\xFF", S: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.connect(t, clean(raw.V5, name))
			c.Send(raw.Publish{Topic: "a", Props: ps}.Bytes(raw.V5))
			c.ExpectEnd(0x81, 0x82, 0x90)
		})
	}
}

func TestOverlappingSubscriptions(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.connect(t, clean(version, "c"))
		c.Subscribe(0, "a/#")
		c.Subscribe(2, "a/b")
		c.Subscribe(1, "a/+")
		pub := s.connect(t, clean(version, "pub"))
		pub.Publish(raw.Publish{Topic: "a/b", QoS: 2})
		var most byte
		for _, p := range collect(t, pub, c) { // one copy, or one for each subscription
			must(t, "topic", p.Topic, "a/b")
			most = max(most, p.QoS)
		}
		must(t, "highest QoS", most, 2)
	})
}

// TestLargePackets checks the server's maximum packet size.
func TestLargePackets(t *testing.T) {
	for _, version := range []byte{raw.V311, raw.V5} {
		t.Run(names[version], func(t *testing.T) {
			s := startOurs(t, broker.Options{Limits: broker.Limits{MaxPacketBytes: 1000}})
			c, p := s.open(t, clean(version, "c"))
			if version == raw.V5 {
				must(t, "maximum packet size", p.Props.Num(raw.MaximumPacketSize), 1000)
			}
			c.Subscribe(0, "a")
			fits := raw.Publish{Topic: "a"}
			fits.Payload = strings.Repeat("x", 1000-len(fits.Bytes(version))-1) // its length field takes one byte more
			must(t, "size", len(fits.Bytes(version)), 1000)
			c.Publish(fits)
			c.ExpectPublish("a", fits.Payload)
			fits.Payload += "x"
			c.Send(fits.Bytes(version)[:100]) // the header is enough to refuse it
			c.ExpectEnd(0x95)
		})
	}
}

// TestBytesStayWhole sends many messages at once to many subscribers and compares every delivery with the original:
// no buffer may be reused while a subscriber's bytes are in it.
func TestBytesStayWhole(t *testing.T) {
	for _, k := range []struct {
		name   string
		qos    byte
		retain bool
	}{{"QoS 0", 0, false}, {"QoS 1", 1, false}, {"retained", 0, true}, {"retained with QoS 1", 1, true}} {
		t.Run(k.name, func(t *testing.T) {
			s := start(t)
			pub := s.connect(t, clean(raw.V5, "pub"))
			var subs []*raw.Client
			for i := range 6 { // on both shards
				subs = append(subs, s.connect(t, clean([]byte{raw.V311, raw.V5}[i%2], "sub"+strconv.Itoa(i))))
				subs[i].Subscribe(byte(i%3), "a")
			}
			const most = 400
			var all [][]byte
			for i := range most {
				all = append(all, raw.Publish{Topic: "a", Payload: strings.Repeat(string('a'+rune(i%26)), i), QoS: k.qos, ID: i + 1,
					Retain: k.retain, Props: raw.Props{raw.Num(raw.MessageExpiry, 600), raw.User("n", strconv.Itoa(i))}}.Bytes(raw.V5))
			}
			pub.Send(all...)
			finish(pub, k.qos, most)
			for _, sub := range subs {
				for i := range most {
					p := sub.ExpectPublish("a", strings.Repeat(string('a'+rune(i%26)), i))
					if sub.Version == raw.V5 {
						must(t, "user property", p.Props.Txt(raw.UserProperty), strconv.Itoa(i))
					}
					acknowledge(sub, p)
				}
			}
		})
	}
}
