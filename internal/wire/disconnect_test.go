package wire_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

func TestDecodeDisconnect(t *testing.T) {
	for _, k := range []struct {
		name    string
		version byte
		body    []byte
		want    wire.Disconnect
		code    byte
	}{
		{"3.1", wire.V31, nil, wire.Disconnect{}, 0},
		{"3.1.1", wire.V311, nil, wire.Disconnect{}, 0},
		{"5.0", wire.V5, nil, wire.Disconnect{}, 0},
		{"a code", wire.V5, cat(4), wire.Disconnect{Code: 4}, 0},
		{"no properties", wire.V5, cat(0, 0), wire.Disconnect{}, 0},
		{"all properties", wire.V5, cat(0x98, props(0x11, 0, 0, 0, 0, 0x1F, "why", 0x26, "k", "v")),
			wire.Disconnect{Code: 0x98, HasSessionExpiry: true, Reason: "why"}, 0},
		{"an expiry", wire.V5, cat(0, props(0x11, 0xFF, 0xFF, 0xFF, 0xFF)),
			wire.Disconnect{HasSessionExpiry: true, SessionExpiry: 0xFFFFFFFF}, 0},
		{"a byte in 3.1", wire.V31, cat(0), wire.Disconnect{}, 0x81},
		{"a byte in 3.1.1", wire.V311, cat(0), wire.Disconnect{}, 0x81},
		{"a code in 3.1.1", wire.V311, cat(0x98), wire.Disconnect{}, 0x81},
		{"a byte more", wire.V5, cat(0, 0, 0), wire.Disconnect{}, 0x81},
		{"properties beyond the end", wire.V5, cat(0, 2), wire.Disconnect{}, 0x81},
		{"two expiries", wire.V5, cat(0, props(0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1)), wire.Disconnect{}, 0x82},
		{"a server reference", wire.V5, cat(0, props(0x1C, "x")), wire.Disconnect{}, 0x81},
		{"a reason that is not UTF-8", wire.V5, cat(0, props(0x1F, "\xFF")), wire.Disconnect{}, 0x81},
	} {
		t.Run(k.name, func(t *testing.T) {
			got := wire.Disconnect{Reason: "left over", SessionExpiry: 7}
			err := wire.DecodeDisconnect(k.body, k.version, &got)
			mustCode(t, err, k.code)
			if err == nil && got != k.want {
				t.Errorf("got %+v, want %+v", got, k.want)
			}
		})
	}
}

func TestDisconnectCodes(t *testing.T) {
	good := []byte{0, 4, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99}
	for code := range 256 {
		want := byte(0x82)
		if slices.Contains(good, byte(code)) {
			want = 0
		}
		var d wire.Disconnect
		mustCode(t, wire.DecodeDisconnect(cat(code), wire.V5, &d), want)
	}
}

func TestDecodeAuth(t *testing.T) {
	for _, k := range []struct {
		name string
		body []byte
		want wire.Auth
		code byte
	}{
		{"continue", cat(0x18, props(0x15, "SCRAM", 0x16, "\x00")),
			wire.Auth{Code: 0x18, Method: "SCRAM", HasMethod: true, Data: []byte{0}}, 0},
		{"re-authenticate", cat(0x19, props(0x26, "k", "v", 0x1F, "why", 0x15, "")),
			wire.Auth{Code: 0x19, HasMethod: true}, 0},
		{"nothing, which is success", nil, wire.Auth{}, 0x82},
		{"success", cat(0, props(0x15, "SCRAM")), wire.Auth{}, 0x82},
		{"another code", cat(0x80, props(0x15, "SCRAM")), wire.Auth{}, 0x82},
		{"a code alone", cat(0x18), wire.Auth{}, 0x81},
		{"no method", cat(0x18, 0), wire.Auth{}, 0x82},
		{"data alone", cat(0x18, props(0x16, "x")), wire.Auth{}, 0x82},
		{"two methods", cat(0x18, props(0x15, "a", 0x15, "a")), wire.Auth{}, 0x82},
		{"a byte more", cat(0x18, props(0x15, "a"), 0), wire.Auth{}, 0x81},
		{"a method that is not UTF-8", cat(0x18, props(0x15, "\xFF")), wire.Auth{}, 0x81},
	} {
		t.Run(k.name, func(t *testing.T) {
			got := wire.Auth{Data: []byte("left over")}
			err := wire.DecodeAuth(k.body, &got)
			mustCode(t, err, k.code)
			if err == nil && !reflect.DeepEqual(got, k.want) {
				t.Errorf("got %+v, want %+v", got, k.want)
			}
		})
	}
}

func TestDisconnectEndsInFull(t *testing.T) {
	mustRefuseTruncated(t, cat(4, props(0x11, 0, 0, 0, 1, 0x1F, "why", 0x26, "k", "v")), func(b []byte) error {
		var d wire.Disconnect
		return wire.DecodeDisconnect(b, wire.V5, &d)
	}, 0, 1)
	mustRefuseTruncated(t, cat(0x18, props(0x15, "method", 0x16, "data")), func(b []byte) error {
		var a wire.Auth
		return wire.DecodeAuth(b, &a)
	})
}
