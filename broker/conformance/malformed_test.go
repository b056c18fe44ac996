package conformance_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// TestReservedFlags sends every packet type with every invalid value of its reserved flags.
func TestReservedFlags(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		for kind, packet := range validPackets(version) {
			for flags := range byte(16) {
				header := kind.Header()&0xF0 | flags
				again := version == raw.V31 && header == kind.Header()|8 && kind.Header()&15 == 2 // see TestResentRequestsOf31
				if header == kind.Header() || kind == raw.PUBLISH || again {
					continue
				}
				t.Run(fmt.Sprintf("%v with 0x%X", kind, flags), func(t *testing.T) {
					p := slices.Clone(packet)
					p[0] = header
					mustRefuse(t, s, version, kind, p, 0x81)
				})
			}
		}
	})
}

// validPackets returns valid packets of a client, with every optional part, so that a truncated one is not valid.
func validPackets(version byte) map[raw.Type][]byte {
	k := raw.Connect{Version: version, ID: "cut", Clean: true, User: ptr("user"), Password: ptr("password"),
		Will: &raw.Will{Topic: "will", Payload: "gone", Props: raw.Props{raw.Num(raw.WillDelay, 1)}}}
	k.Props = raw.Props{raw.Num(raw.SessionExpiry, 10), raw.User("name", "value")}
	all := map[raw.Type][]byte{
		raw.CONNECT:     k.Bytes(),
		raw.PUBLISH:     raw.Publish{Topic: "topic", QoS: 1, ID: 1, Props: raw.Props{raw.User("name", "value")}}.Bytes(version),
		raw.PUBACK:      raw.Ack(raw.PUBACK, 1),
		raw.PUBREC:      raw.Ack(raw.PUBREC, 1),
		raw.PUBREL:      raw.Ack(raw.PUBREL, 1),
		raw.PUBCOMP:     raw.Ack(raw.PUBCOMP, 1),
		raw.SUBSCRIBE:   raw.Subscribe{ID: 1, Filters: filters("filter", 1), Props: raw.Props{raw.User("name", "value")}}.Bytes(version),
		raw.UNSUBSCRIBE: raw.Unsubscribe{ID: 1, Filters: []string{"filter"}, Props: raw.Props{raw.User("name", "value")}}.Bytes(version),
		raw.PINGREQ:     raw.Plain(raw.PINGREQ),
		raw.DISCONNECT:  raw.Plain(raw.DISCONNECT),
	}
	if version == raw.V5 {
		for _, ack := range []raw.Type{raw.PUBACK, raw.PUBREC, raw.PUBREL, raw.PUBCOMP} {
			all[ack] = raw.AckCode(ack, 1, 0, raw.Txt(raw.ReasonString, "why"), raw.User("name", "value"))
		}
		all[raw.DISCONNECT] = raw.Disconnect(0, raw.Txt(raw.ReasonString, "why"))
		all[raw.AUTH] = raw.Auth(0x19, raw.Txt(raw.AuthMethod, "method"))
	}
	return all
}

// mustRefuse sends a packet that must end the connection: a CONNECT as the first packet, another one after CONNECT.
func mustRefuse(t *testing.T, s *server, version byte, kind raw.Type, packet []byte, codes ...byte) {
	t.Helper()
	if kind == raw.CONNECT {
		c := s.dial(t, version)
		c.Send(packet)
		switch p, err := c.Read(); { // any refusal is right for a packet that cannot be decoded
		case err != nil:
		case p.Type != raw.CONNACK || version < raw.V5 || !slices.Contains(codes, p.Code):
			t.Fatalf("got %v, want code % X", p, codes)
		default:
			c.ExpectClosed()
		}
		return
	}
	c := s.connect(t, clean(version, "c"))
	c.Send(packet)
	c.ExpectEnd(codes...)
}

// TestTruncated cuts packets at every byte and adjusts the remaining length.
func TestTruncated(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		for kind, packet := range validPackets(version) {
			body := packet[2:]
			for n := range body {
				if slices.Contains(validCuts(version)[kind], n) {
					continue
				}
				t.Run(fmt.Sprintf("%v after %d", kind, n), func(t *testing.T) {
					mustRefuse(t, s, version, kind, raw.Packet(packet[0], body[:n]), 0x81, 0x82, 0x84)
				})
			}
		}
	})
}

// validCuts returns the lengths at which a cut packet is still valid. In MQTT 3.1 user name and password may be missing.
func validCuts(version byte) map[raw.Type][]int {
	switch version {
	case raw.V31:
		n := len(validPackets(version)[raw.CONNECT]) - 2
		return map[raw.Type][]int{raw.CONNECT: {n - len("..password"), n - len("..user..password")}}
	case raw.V5:
		return map[raw.Type][]int{
			raw.PUBACK: {2, 3}, raw.PUBREC: {2, 3}, raw.PUBREL: {2, 3}, raw.PUBCOMP: {2, 3}, raw.DISCONNECT: {0, 1},
		}
	}
	return nil
}

// TestTrailingBytes appends bytes to packets.
func TestTrailingBytes(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		for kind, packet := range validPackets(version) {
			if kind == raw.PUBLISH {
				continue // its payload takes the rest
			}
			t.Run(kind.String(), func(t *testing.T) {
				mustRefuse(t, s, version, kind, raw.Packet(packet[0], packet[2:], []byte{0}), 0x81, 0x82)
			})
		}
	})
}

func TestRemainingLength(t *testing.T) {
	s := start(t)
	for name, p := range map[string][]byte{
		"of five bytes":           {0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01},
		"not in the fewest bytes": {0xC0, 0x80, 0x00},
		"without an end":          {0x30, 0x80, 0x80, 0x80, 0x80, 0x80},
	} {
		t.Run(name, func(t *testing.T) { mustRefuse(t, s, raw.V5, raw.PUBLISH, p, 0x81) })
	}
}

// TestPropertyLength sends property lengths that are overlong, too large, or missing.
func TestPropertyLength(t *testing.T) {
	s := start(t)
	topic := raw.Str("a")
	for name, p := range map[string][]byte{
		"not in the fewest bytes": raw.Packet(0x30, topic, []byte{0x80, 0x00}),
		"beyond the packet":       raw.Packet(0x30, topic, []byte{100, 0x01, 0x01}),
		"in the midst of one":     raw.Packet(0x30, topic, []byte{3, 0x02, 0, 0, 0, 1}),
		"missing":                 raw.Packet(0x30, topic),
		"of five bytes":           raw.Packet(0x30, topic, []byte{0xFF, 0xFF, 0xFF, 0xFF, 0x01}),
		"an identifier of two bytes": raw.Packet(raw.SUBSCRIBE.Header(), raw.U16(1), []byte{3, 0x0B, 0x81, 0x00},
			raw.Str("a"), []byte{0}),
	} {
		t.Run(name, func(t *testing.T) { mustRefuse(t, s, raw.V5, raw.Type(p[0]>>4), p, 0x81) })
	}
}

// TestPacketsOfServers sends packets that only a server may send, and reserved ones.
func TestPacketsOfServers(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		all := map[string][]byte{
			"reserved": raw.Packet(0, nil),
			"CONNACK":  raw.Packet(raw.CONNACK.Header(), []byte{0, 0, 0}),
			"SUBACK":   raw.Packet(raw.SUBACK.Header(), []byte{0, 1, 0, 0}),
			"UNSUBACK": raw.Packet(raw.UNSUBACK.Header(), []byte{0, 1, 0, 0}),
			"PINGRESP": raw.Plain(raw.PINGRESP),
		}
		if version < raw.V5 {
			all["AUTH"] = raw.Auth(0)
		}
		for name, p := range all {
			t.Run(name, func(t *testing.T) { mustRefuse(t, s, version, raw.Type(p[0]>>4), p, 0x81, 0x82) })
		}
	})
}

// TestPacketIdentifierZero sends acknowledgements with the packet identifier 0.
func TestPacketIdentifierZero(t *testing.T) {
	for _, ack := range []raw.Type{raw.PUBACK, raw.PUBREC, raw.PUBREL, raw.PUBCOMP} {
		t.Run(ack.String(), func(t *testing.T) {
			versions(t, func(t *testing.T, s *server, version byte) {
				mustRefuse(t, s, version, ack, raw.Ack(ack, 0), 0x81, 0x82)
			})
		})
	}
}

// TestGarbage sends random bytes, as the first packet and later. Other clients must not notice.
func TestGarbage(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		other := s.connect(t, clean(version, "other"))
		rnd := rand.New(rand.NewPCG(1, uint64(version)))
		good := validPackets(version)
		for i := range 300 {
			c := s.dial(t, version)
			if i%2 == 0 {
				c.Connect(clean(version, "c"))
			}
			kinds := []raw.Type{raw.CONNECT, raw.PUBLISH, raw.SUBSCRIBE, raw.UNSUBSCRIBE, raw.DISCONNECT, raw.PUBREL}
			p := slices.Clone(good[kinds[i%len(kinds)]])
			for range 1 + i%3 {
				p[rnd.IntN(len(p))] = byte(rnd.Uint32())
			}
			_ = c.TrySend(p)
			c.Close()
		}
		other.ExpectNothing()
		s.connect(t, clean(version, "later")).ExpectNothing()
	})
}
