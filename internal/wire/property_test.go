package wire_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// decodeWith decodes packets that are valid except for the given properties.
var decodeWith = map[string]func(props []byte) error{
	"CONNECT": func(ps []byte) error {
		return wire.DecodeConnect(connect(wire.V5, 2, ps, cat("id")), &wire.Connect{})
	},
	"WILL": func(ps []byte) error {
		return wire.DecodeConnect(connect(wire.V5, 6, props(), cat("id", ps, "will", "")), &wire.Connect{})
	},
	"PUBLISH": func(ps []byte) error {
		return wire.DecodePublish(0, cat("a", ps), wire.V5, &wire.Publish{})
	},
	"PUBACK":  func(ps []byte) error { return decodeAck(wire.TypePuback, ps) },
	"PUBREC":  func(ps []byte) error { return decodeAck(wire.TypePubrec, ps) },
	"PUBREL":  func(ps []byte) error { return decodeAck(wire.TypePubrel, ps) },
	"PUBCOMP": func(ps []byte) error { return decodeAck(wire.TypePubcomp, ps) },
	"SUBSCRIBE": func(ps []byte) error {
		return wire.DecodeSubscribe(cat(0, 1, ps, "a", 0), wire.V5, &wire.Subscribe{})
	},
	"UNSUBSCRIBE": func(ps []byte) error {
		return wire.DecodeUnsubscribe(cat(0, 1, ps, "a"), wire.V5, &wire.Unsubscribe{})
	},
	"DISCONNECT": func(ps []byte) error { return wire.DecodeDisconnect(cat(0, ps), wire.V5, &wire.Disconnect{}) },
	"AUTH":       func(ps []byte) error { return wire.DecodeAuth(cat(0x18, ps), &wire.Auth{}) },
}

func decodeAck(typ wire.Type, ps []byte) error {
	return wire.DecodeAck(typ, cat(0, 1, 0, ps), wire.V5, &wire.Ack{})
}

// requiredProps returns the properties that a property requires.
func requiredProps(packet string, id raw.ID) []byte {
	if id != raw.AuthMethod && (packet == "AUTH" || packet == "CONNECT" && id == raw.AuthData) {
		return raw.Txt(raw.AuthMethod, "m").Bytes()
	}
	return nil
}

// validProp returns a property with a valid value.
func validProp(id raw.ID) []byte {
	switch raw.Definitions[id].Kind {
	case raw.Byte, raw.Two, raw.Four, raw.Variable:
		return raw.Num(id, 1).Bytes()
	case raw.PairOfText:
		return raw.User("name", "value").Bytes()
	}
	return raw.Txt(id, "text").Bytes()
}

// TestProperties adds every property to every packet: once, twice, truncated, and with a byte too many.
func TestProperties(t *testing.T) {
	for id, d := range raw.Definitions {
		for packet, decode := range decodeWith {
			t.Run(fmt.Sprintf("0x%02X in %s", byte(id), packet), func(t *testing.T) {
				one, needed := validProp(id), requiredProps(packet, id)
				once := decode(props(one, needed))
				if !slices.Contains(strings.Fields(d.ToServer), packet) {
					code := byte(0x81)
					if id == raw.SubscriptionIdentifier && packet == "PUBLISH" {
						code = 0x82 // [MQTT-3.3.4-6]
					}
					mustCode(t, once, code)
					return
				}
				mustCode(t, once, 0)
				mustCode(t, decode(props(needed, one)), 0)
				twice := byte(0x82)
				if id == raw.UserProperty {
					twice = 0
				}
				mustCode(t, decode(props(one, needed, one)), twice)
				for n := 1; n < len(one); n++ {
					mustCode(t, decode(props(needed, one[:n])), 0x81)
				}
			})
		}
	}
}

func TestUnknownProperties(t *testing.T) {
	for id := range 256 {
		if _, known := raw.Definitions[raw.ID(id)]; known {
			continue
		}
		for _, decode := range decodeWith {
			mustCode(t, decode(props(id, 1, 1, 1, 1)), 0x81)
		}
	}
}

// TestForgedPropertiesLength sets a wrong length of the properties.
func TestForgedPropertiesLength(t *testing.T) {
	user := raw.User("name", "value").Bytes()
	for packet, decode := range decodeWith {
		all := cat(requiredProps(packet, raw.UserProperty), user)
		mustCode(t, decode(cat(len(all), all)), 0)
		for length := range 256 {
			ps := cat(length, all)
			if length == len(all) {
				continue
			}
			if packet == "PUBLISH" && length == 0 { // the properties become the payload
				continue
			}
			if err := decode(ps); err == nil {
				t.Errorf("%s: length %d of % X was taken", packet, length, all)
			}
		}
	}
}

func TestValidUTF8(t *testing.T) {
	for _, k := range []struct {
		name  string
		s     string
		valid bool
	}{
		{"nothing", "", true},
		{"ASCII", "a/b/c 123 ~ and some more of it", true},
		{"every length", "é日😀\U0010FFFF", true},
		{"byte order mark [MQTT-1.5.4-3]", "\uFEFFa", true},
		{"control character", "a\x01\x1F\x7F", true},
		{"non-character", "\uFFFF\uFDD0", true},
		{"U+0000", "a\x00b", false},
		{"U+0000 at the end of a long one", strings.Repeat("a", 40) + "\x00", false},
		{"U+0000 in two bytes", "\xC0\x80", false},
		{"overlong slash", "\xC0\xAF", false},
		{"surrogate D800", "\xED\xA0\x80", false},
		{"surrogate DFFF", "a\xED\xBF\xBF", false},
		{"surrogate pair", "\xED\xA0\x81\xED\xB0\x80", false},
		{"beyond U+10FFFF", "\xF4\x90\x80\x80", false},
		{"cut short", "a\xE6\x97", false},
		{"continuation alone", "\x80", false},
	} {
		if got := wire.ValidUTF8([]byte(k.s)); got != k.valid {
			t.Errorf("%s: got %t, want %t", k.name, got, k.valid)
		}
	}
}
