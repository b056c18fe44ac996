package wire_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

func TestAppendPublish(t *testing.T) {
	user := cat(0x26, "k", "v")
	for _, k := range []struct {
		name    string
		version byte
		p       wire.Outgoing
		want    []byte
	}{
		{"QoS 0", wire.V311, wire.Outgoing{Topic: "a", Payload: []byte("x")}, cat(0x30, 4, "a", 'x')},
		{"QoS 0 in 5", wire.V5, wire.Outgoing{Topic: "a", Payload: []byte("x")}, cat(0x30, 5, "a", 0, 'x')},
		{"QoS 1, retained", wire.V31, wire.Outgoing{Topic: "a", QoS: 1, Retain: true, PacketID: 258}, cat(0x33, 5, "a", 1, 2)},
		{"QoS 2 again", wire.V5, wire.Outgoing{Topic: "a", QoS: 2, Dup: true, PacketID: 1}, cat(0x3C, 6, "a", 0, 1, 0)},
		{"no identifier with QoS 0", wire.V311, wire.Outgoing{Topic: "a", PacketID: 9}, cat(0x30, 3, "a")},
		{"properties in 5", wire.V5, wire.Outgoing{Topic: "", Alias: 258, Expiry: 9, HasExpiry: true,
			SubscriptionIDs: []uint32{1, 300}, Props: user, Payload: []byte("x")},
			cat(0x30, 24, "", props(0x23, 1, 2, 2, 0, 0, 0, 9, 0x0B, 1, 0x0B, 0xAC, 2, user), 'x')},
		{"and not before", wire.V311, wire.Outgoing{Topic: "a", Alias: 258, Expiry: 9, HasExpiry: true,
			SubscriptionIDs: []uint32{1}, Props: user}, cat(0x30, 3, "a")},
		{"an expiry of 0", wire.V5, wire.Outgoing{Topic: "a", HasExpiry: true}, cat(0x30, 9, "a", props(2, 0, 0, 0, 0))},
	} {
		t.Run(k.name, func(t *testing.T) {
			got := wire.AppendPublish([]byte("before"), k.version, &k.p)
			if want := append([]byte("before"), k.want...); !bytes.Equal(got, want) {
				t.Errorf("got  % X\nwant % X", got, want)
			}
			if n := wire.PublishSize(k.version, &k.p); n != len(k.want) {
				t.Errorf("size: got %d, want %d", n, len(k.want))
			}
		})
	}
}

// TestAppendPublish3 compares it with AppendPublish at every size where a length field grows by a byte.
func TestAppendPublish3(t *testing.T) {
	zeros := make([]byte, 1<<14+5)
	for _, topic := range []string{"a", strings.Repeat("t", 255), strings.Repeat("t", 256), strings.Repeat("t", 65535)} {
		for _, n := range []int{0, 1, 121, 122, 123, 124, 125, 126, 127, 128, 1<<14 - 4, 1<<14 - 3, 1<<14 - 2, 1<<14 - 1, 1 << 14} {
			for f := range 6 {
				p := wire.Outgoing{QoS: byte(f % 3), Retain: f >= 3, Topic: topic, Payload: zeros[:n]}
				got := wire.AppendPublish3([]byte("before"), p.QoS, p.Retain, topic, p.Payload)
				if want := wire.AppendPublish([]byte("before"), wire.V311, &p); !bytes.Equal(got, want) {
					t.Fatalf("QoS %d, topic of %d bytes, payload of %d: %d bytes differ from %d", p.QoS, len(topic), n, len(got), len(want))
				}
			}
		}
	}
}

// TestPublishSizes checks every size where a length field grows by a byte.
func TestPublishSizes(t *testing.T) {
	zeros, buf := make([]byte, 1<<21+5), make([]byte, 0, 1<<21+100)
	for _, around := range []int{20, 1 << 7, 1 << 14, 1 << 21} {
		for n := around - 20; n < around+5; n++ {
			for version := range versions {
				mustFit(t, buf, version, &wire.Outgoing{Topic: "topic", QoS: 1, PacketID: 0xABCD, Payload: zeros[:n]})
			}
			mustFit(t, buf, wire.V5, &wire.Outgoing{Topic: "topic", QoS: 1, PacketID: 0xABCD, Props: zeros[:n]})
		}
	}
	mustFit(t, buf, wire.V5, &wire.Outgoing{Topic: strings.Repeat("t", 65535), QoS: 1, PacketID: 0xABCD})
	for _, id := range []uint32{1, 127, 128, 16383, 16384, 2097151, 2097152, 268435455} {
		mustFit(t, buf, wire.V5, &wire.Outgoing{QoS: 1, PacketID: 0xABCD, SubscriptionIDs: []uint32{id, id}})
	}
}

// mustFit fails the test unless PublishSize and PacketIDOffset agree with the encoded packet.
func mustFit(t *testing.T, buf []byte, version byte, p *wire.Outgoing) {
	t.Helper()
	b := wire.AppendPublish(buf, version, p)
	if n := wire.PublishSize(version, p); n != len(b) {
		t.Fatalf("size: got %d, want %d", n, len(b))
	}
	h, ok, err := wire.ParseHeader(b)
	if !ok || err != nil || h.Size+h.Remaining != len(b) {
		t.Fatalf("%d bytes have the header %+v, %t, %v", len(b), h, ok, err)
	}
	if id := binary.BigEndian.Uint16(b[wire.PacketIDOffset(b):]); id != p.PacketID {
		t.Fatalf("at the identifier's place: got 0x%04X, want 0x%04X", id, p.PacketID)
	}
}

// TestMochiReadsPublish decodes our packets with mochi.
func TestMochiReadsPublish(t *testing.T) {
	for version, name := range versions {
		for qos := range byte(3) {
			t.Run(fmt.Sprint(name, " QoS ", qos), func(t *testing.T) {
				p := wire.Outgoing{
					Topic: "a/b", QoS: qos, Retain: true, Payload: []byte("payload"), Expiry: 60, HasExpiry: true,
					SubscriptionIDs: []uint32{5, 500}, Alias: 3,
					Props: wire.Forwarded{PayloadFormat: 1, ContentType: "t", ResponseTopic: "r", CorrelationData: []byte{0},
						User: []wire.UserProperty{{"a", "1"}, {"a", "2"}}}.Append(nil),
				}
				if qos > 0 {
					p.PacketID, p.Dup = 9, true
				}
				got := mochiPublish(t, wire.AppendPublish(nil, version, &p), version)
				if got.TopicName != p.Topic || got.PacketID != p.PacketID || string(got.Payload) != "payload" ||
					got.FixedHeader.Qos != qos || !got.FixedHeader.Retain || got.FixedHeader.Dup != p.Dup {
					t.Errorf("got %+v", got)
				}
				x := got.Properties
				if version == wire.V5 && (x.MessageExpiryInterval != 60 || !slices.Equal(x.SubscriptionIdentifier, []int{5, 500}) ||
					x.TopicAlias != 3 || x.PayloadFormat != 1 || x.ContentType != "t" || x.ResponseTopic != "r" ||
					!bytes.Equal(x.CorrelationData, []byte{0}) || len(x.User) != 2 || x.User[1].Val != "2") {
					t.Errorf("got properties %+v", x)
				}
			})
		}
	}
}

func mochiPublish(t *testing.T, packet []byte, version byte) packets.Packet {
	t.Helper()
	h, _, err := wire.ParseHeader(packet)
	if err != nil {
		t.Fatal(err)
	}
	pk := packets.Packet{ProtocolVersion: version}
	if err := pk.FixedHeader.Decode(packet[0]); err != nil {
		t.Fatal(err)
	}
	pk.FixedHeader.Remaining = h.Remaining
	if err := pk.PublishDecode(packet[h.Size:]); err != nil {
		t.Fatal(err)
	}
	return pk
}

func TestAppendAck(t *testing.T) {
	for _, k := range []struct {
		typ     wire.Type
		version byte
		code    byte
		want    []byte
	}{
		{wire.TypePuback, wire.V31, 0x87, cat(0x40, 2, 1, 2)},
		{wire.TypePuback, wire.V311, 0, cat(0x40, 2, 1, 2)},
		{wire.TypePuback, wire.V5, 0, cat(0x40, 2, 1, 2)},
		{wire.TypePuback, wire.V5, 0x10, cat(0x40, 3, 1, 2, 0x10)},
		{wire.TypePubrec, wire.V311, 0x80, cat(0x50, 2, 1, 2)},
		{wire.TypePubrec, wire.V5, 0x97, cat(0x50, 3, 1, 2, 0x97)},
		{wire.TypePubrel, wire.V31, 0, cat(0x62, 2, 1, 2)},
		{wire.TypePubrel, wire.V5, 0x92, cat(0x62, 3, 1, 2, 0x92)},
		{wire.TypePubcomp, wire.V5, 0, cat(0x70, 2, 1, 2)},
	} {
		if got := wire.AppendAck(nil, k.typ, k.version, 258, k.code); !bytes.Equal(got, k.want) {
			t.Errorf("%v 0x%02X in %d: got % X, want % X", k.typ, k.code, k.version, got, k.want)
		}
	}
	if got := wire.AppendPingresp([]byte{9}); !bytes.Equal(got, []byte{9, 0xD0, 0}) {
		t.Errorf("PINGRESP: got % X", got)
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	p := wire.Outgoing{
		Topic: "a/b", QoS: 1, PacketID: 1, Alias: 1, Expiry: 9, HasExpiry: true, SubscriptionIDs: []uint32{1},
		Props: cat(0x26, "k", "v"), Payload: []byte("payload"),
	}
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		b := wire.AppendPublish(buf[:0], wire.V5, &p)
		_ = wire.PacketIDOffset(b)
		b = wire.AppendPublish(b, wire.V311, &p)
		b = wire.AppendAck(b, wire.TypePubrec, wire.V5, 1, wire.NoMatchingSubscribers)
		_ = wire.AppendPingresp(b)
	}); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}
