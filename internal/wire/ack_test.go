package wire_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

var acks = []wire.Type{wire.TypePuback, wire.TypePubrec, wire.TypePubrel, wire.TypePubcomp}

func TestDecodeAck(t *testing.T) {
	for _, k := range []struct {
		name    string
		version byte
		body    []byte
		want    wire.Ack
		code    byte // the error's code
	}{
		{"of 3.1", wire.V31, cat(0, 1), wire.Ack{PacketID: 1}, 0},
		{"of 3.1.1", wire.V311, cat(1, 0), wire.Ack{PacketID: 256}, 0},
		{"without a code", wire.V5, cat(0xFF, 0xFF), wire.Ack{PacketID: 65535}, 0},
		{"with a code", wire.V5, cat(0, 1, 0), wire.Ack{PacketID: 1}, 0},
		{"with no properties", wire.V5, cat(0, 1, 0, 0), wire.Ack{PacketID: 1}, 0},
		{"with properties", wire.V5, cat(0, 1, 0, props(0x26, "a", "", 0x1F, "why", 0x26, "a", "")), wire.Ack{PacketID: 1}, 0},
		{"nothing", wire.V5, nil, wire.Ack{}, 0x81},
		{"half of an identifier", wire.V311, cat(1), wire.Ack{}, 0x81},
		{"identifier 0", wire.V311, cat(0, 0), wire.Ack{}, 0x82},
		{"identifier 0 in 5", wire.V5, cat(0, 0, 0), wire.Ack{}, 0x82},
		{"a code in 3.1", wire.V31, cat(0, 1, 0), wire.Ack{}, 0x81},
		{"a code in 3.1.1", wire.V311, cat(0, 1, 0), wire.Ack{}, 0x81},
		{"properties beyond the end", wire.V5, cat(0, 1, 0, 5), wire.Ack{}, 0x81},
		{"bytes behind the properties", wire.V5, cat(0, 1, 0, 0, 0), wire.Ack{}, 0x81},
		{"two reason strings", wire.V5, cat(0, 1, 0, props(0x1F, "a", 0x1F, "b")), wire.Ack{}, 0x82},
		{"a reason string that is not UTF-8", wire.V5, cat(0, 1, 0, props(0x1F, "\x80")), wire.Ack{}, 0x81},
		{"a server reference", wire.V5, cat(0, 1, 0, props(0x1C, "a")), wire.Ack{}, 0x81},
	} {
		for _, typ := range acks {
			t.Run(fmt.Sprint(typ, " ", k.name), func(t *testing.T) {
				got := wire.Ack{PacketID: 77, Code: 77}
				err := wire.DecodeAck(typ, k.body, k.version, &got)
				mustCode(t, err, k.code)
				if err == nil && got != k.want {
					t.Errorf("got %+v, want %+v", got, k.want)
				}
			})
		}
	}
}

func TestAckCodes(t *testing.T) {
	first := []byte{0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
	good := map[wire.Type][]byte{
		wire.TypePuback: first, wire.TypePubrec: first, wire.TypePubrel: {0, 0x92}, wire.TypePubcomp: {0, 0x92},
	}
	for _, typ := range acks {
		for code := range 256 {
			var a wire.Ack
			err := wire.DecodeAck(typ, cat(0, 1, code), wire.V5, &a)
			if slices.Contains(good[typ], byte(code)) {
				mustCode(t, err, 0)
				if a.Code != byte(code) {
					t.Errorf("%v: got code 0x%02X, want 0x%02X", typ, a.Code, code)
				}
				continue
			}
			mustCode(t, err, 0x82)
		}
	}
}

func TestAckEndsInFull(t *testing.T) {
	body := cat(0, 1, 0x92, props(0x1F, "why", 0x26, "k", "v"))
	mustRefuseTruncated(t, body, func(b []byte) error {
		var a wire.Ack
		return wire.DecodeAck(wire.TypePubrel, b, wire.V5, &a)
	}, 2, 3)
}

func TestDecodeAckAllocatesNothing(t *testing.T) {
	body := cat(0, 1, 0x80, props(0x1F, "why", 0x26, "k", "v"))
	bad := cat(0, 1, 0x80, props(0x1F, "why", 0x1F, "why"))
	var a wire.Ack
	if n := testing.AllocsPerRun(100, func() {
		_ = wire.DecodeAck(wire.TypePuback, body, wire.V5, &a)
		_ = wire.DecodeAck(wire.TypePuback, bad, wire.V5, &a)
		_ = wire.DecodeAck(wire.TypePubrel, body[:2], wire.V311, &a)
	}); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}
