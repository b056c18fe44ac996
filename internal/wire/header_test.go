package wire_test

import (
	"testing"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

func TestParseHeader(t *testing.T) {
	for _, k := range []struct {
		name  string
		bytes []byte
		want  wire.Header // if the header is complete
		code  byte
	}{
		{"nothing", nil, wire.Header{}, 0},
		{"one byte", []byte{0xC0}, wire.Header{}, 0},
		{"within the length", []byte{0x30, 0xFF, 0xFF, 0xFF}, wire.Header{}, 0},
		{"PINGREQ", []byte{0xC0, 0}, wire.Header{Type: wire.TypePingreq, Size: 2}, 0},
		{"AUTH", []byte{0xF0, 0}, wire.Header{Type: wire.TypeAuth, Size: 2}, 0},
		{"with a body", []byte{0x10, 0x7F, 1, 2}, wire.Header{Type: wire.TypeConnect, Remaining: 127, Size: 2}, 0},
		{"length of two", []byte{0x3D, 0x80, 1}, wire.Header{Type: wire.TypePublish, Flags: 0xD, Remaining: 128, Size: 3}, 0},
		{"length of three", []byte{0x30, 0x80, 0x80, 1}, wire.Header{Type: wire.TypePublish, Remaining: 16384, Size: 4}, 0},
		{"length of four", []byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F, 9}, wire.Header{Type: wire.TypePublish, Remaining: 268435455, Size: 5}, 0},
		{"length of five", []byte{0x30, 0xFF, 0xFF, 0xFF, 0xFF}, wire.Header{}, 0x81},
		{"length of five, padded", []byte{0x30, 0x80, 0x80, 0x80, 0x80, 0}, wire.Header{}, 0x81},
		{"length of two, padded", []byte{0x30, 0x80, 0}, wire.Header{}, 0x81},
		{"length of four, padded", []byte{0x30, 0xFF, 0xFF, 0x80, 0}, wire.Header{}, 0x81},
		{"type 0", []byte{0x00, 0}, wire.Header{}, 0x81},
		{"type 0 with flags", []byte{0x02, 0}, wire.Header{}, 0x81},
		{"QoS 3", []byte{0x36, 2}, wire.Header{}, 0x81},
		{"QoS 3 before its length came", []byte{0x36}, wire.Header{}, 0x81},
		{"DUP with QoS 0", []byte{0x38, 2}, wire.Header{}, 0x81},
		{"an HTTP request", []byte("GET / HTTP/1.1\r\n"), wire.Header{}, 0x81},
		{"a TLS handshake", []byte{0x16, 3, 1, 2, 0}, wire.Header{}, 0x81},
	} {
		t.Run(k.name, func(t *testing.T) {
			h, ok, err := wire.ParseHeader(k.bytes)
			mustCode(t, err, k.code)
			if want := k.want.Size > 0; ok != want {
				t.Fatalf("complete: got %t, want %t", ok, want)
			}
			if ok && h != k.want {
				t.Errorf("got %+v, want %+v", h, k.want)
			}
		})
	}
}

// TestHeaderFlags tries every first byte. MQTT 3.1 has DUP on three more types.
func TestHeaderFlags(t *testing.T) {
	two := map[wire.Type]bool{wire.TypePubrel: true, wire.TypeSubscribe: true, wire.TypeUnsubscribe: true}
	for first := range 256 {
		typ, flags := wire.Type(first>>4), byte(first&15)
		good, good31 := flags == 0 && typ != 0, flags == 0 && typ != 0
		switch {
		case typ == wire.TypePublish:
			good = flags&6 != 6 && (flags&8 == 0 || flags&6 != 0)
			good31 = good
		case two[typ]:
			good, good31 = flags == 2, flags&^8 == 2
		}
		if _, ok, err := wire.ParseHeader([]byte{byte(first), 0}); ok != good || (err == nil) != good {
			t.Errorf("first byte 0x%02X: got %t, %v; want %t", first, ok, err, good)
		}
		if h, ok, err := wire.ParseHeaderV31([]byte{byte(first), 0}); ok != good31 || (err == nil) != good31 || h.Flags != flags {
			t.Errorf("first byte 0x%02X in 3.1: got %+v, %t, %v; want %t", first, h, ok, err, good31)
		}
	}
	if _, ok, err := wire.ParseHeaderV31(nil); ok || err != nil {
		t.Errorf("nothing in 3.1: got %t, %v", ok, err)
	}
}

func TestTypeString(t *testing.T) {
	for typ, want := range map[wire.Type]string{
		0: "RESERVED", wire.TypeConnect: "CONNECT", wire.TypePublish: "PUBLISH", wire.TypePingresp: "PINGRESP",
		wire.TypeAuth: "AUTH", 16: "16",
	} {
		if got := typ.String(); got != want {
			t.Errorf("type %d: got %q, want %q", byte(typ), got, want)
		}
	}
}
