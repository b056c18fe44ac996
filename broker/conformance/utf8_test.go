package conformance_test

import (
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// invalidUTF8 are byte sequences that MQTT does not accept as UTF-8.
var invalidUTF8 = map[string]string{
	"a stray byte":           "a\x80b",
	"0xFF":                   "a\xFFb",
	"cut short":              "a\xE6\x97",
	"longer than it must be": "a\xC0\xAFb",
	"a surrogate":            "a\xED\xA0\x80b",
	"a pair of surrogates":   "\xED\xA0\x80\xED\xB0\x80",
	"beyond U+10FFFF":        "\xF4\x90\x80\x80",
	"U+0000":                 "a\x00b",
}

// stringFields are the string fields of packets.
var stringFields = []struct {
	name  string
	since byte
	make  func(version byte, s string) (raw.Type, []byte)
}{
	{"client identifier", raw.V31, func(v byte, s string) (raw.Type, []byte) { return raw.CONNECT, clean(v, s).Bytes() }},
	{"will topic", raw.V31, func(v byte, s string) (raw.Type, []byte) {
		k := clean(v, "c")
		k.Will = &raw.Will{Topic: s}
		return raw.CONNECT, k.Bytes()
	}},
	{"user name", raw.V31, func(v byte, s string) (raw.Type, []byte) {
		k := clean(v, "c")
		k.User = &s
		return raw.CONNECT, k.Bytes()
	}},
	{"topic name", raw.V31, func(v byte, s string) (raw.Type, []byte) { return raw.PUBLISH, raw.Publish{Topic: s}.Bytes(v) }},
	{"topic filter", raw.V31, func(v byte, s string) (raw.Type, []byte) {
		return raw.SUBSCRIBE, raw.Subscribe{ID: 1, Filters: filters(s, 0)}.Bytes(v)
	}},
	{"topic filter of UNSUBSCRIBE", raw.V31, func(v byte, s string) (raw.Type, []byte) {
		return raw.UNSUBSCRIBE, raw.Unsubscribe{ID: 1, Filters: []string{s}}.Bytes(v)
	}},
	{"authentication method", raw.V5, property("CONNECT", raw.AuthMethod)},
	{"user property of CONNECT", raw.V5, property("CONNECT", raw.UserProperty)},
	{"name of a user property", raw.V5, func(_ byte, s string) (raw.Type, []byte) {
		return raw.PUBLISH, packetWith["PUBLISH"](raw.Props{raw.User(s, "value")})
	}},
	{"content type of a will", raw.V5, property("WILL", raw.ContentType)},
	{"response topic of a will", raw.V5, property("WILL", raw.ResponseTopic)},
	{"user property of a will", raw.V5, property("WILL", raw.UserProperty)},
	{"content type", raw.V5, property("PUBLISH", raw.ContentType)},
	{"response topic", raw.V5, property("PUBLISH", raw.ResponseTopic)},
	{"user property", raw.V5, property("PUBLISH", raw.UserProperty)},
	{"user property of SUBSCRIBE", raw.V5, property("SUBSCRIBE", raw.UserProperty)},
	{"user property of UNSUBSCRIBE", raw.V5, property("UNSUBSCRIBE", raw.UserProperty)},
	{"reason string of PUBACK", raw.V5, property("PUBACK", raw.ReasonString)},
	{"reason string of PUBREL", raw.V5, property("PUBREL", raw.ReasonString)},
	{"reason string of DISCONNECT", raw.V5, property("DISCONNECT", raw.ReasonString)},
}

// property builds packets with one string property.
func property(packet string, id raw.ID) func(byte, string) (raw.Type, []byte) {
	return func(_ byte, s string) (raw.Type, []byte) {
		p := packetWith[packet](raw.Props{{ID: id, Name: "name", S: s}})
		return raw.Type(p[0] >> 4), p
	}
}

func TestIllFormedUTF8(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		for _, place := range stringFields {
			if version < place.since {
				continue
			}
			for name, text := range invalidUTF8 {
				t.Run(place.name+" with "+name, func(t *testing.T) {
					kind, packet := place.make(version, text)
					mustRefuse(t, s, version, kind, packet, 0x81)
				})
			}
		}
	})
}

// TestByteOrderMark checks that U+FEFF is an ordinary character.
func TestByteOrderMark(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.connect(t, clean(version, "c"))
		c.Subscribe(0, "\uFEFFa")
		c.Publish(raw.Publish{Topic: "a"})
		c.Publish(raw.Publish{Topic: "\uFEFFa", Payload: "1"})
		c.ExpectPublish("\uFEFFa", "1")
	})
}
