package wire_test

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

func TestDecodePublish(t *testing.T) {
	for _, k := range []struct {
		name    string
		flags   byte
		version byte
		body    []byte
		want    wire.Publish
	}{
		{"QoS 0 in 3.1.1", 0, wire.V311, cat("a/b", []byte("hi")), wire.Publish{Topic: []byte("a/b"), Payload: []byte("hi")}},
		{"QoS 0 in 5", 0, wire.V5, cat("a/b", 0, []byte("hi")), wire.Publish{Topic: []byte("a/b"), Payload: []byte("hi")}},
		{"QoS 1, retained", 3, wire.V31, cat("a", 0, 9, []byte("x")),
			wire.Publish{Topic: []byte("a"), QoS: 1, Retain: true, PacketID: 9, Payload: []byte("x")}},
		{"QoS 2 again", 12, wire.V5, cat("a", 0xFF, 0xFF, 0),
			wire.Publish{Topic: []byte("a"), QoS: 2, Dup: true, PacketID: 65535}},
		{"no payload", 0, wire.V311, cat("a"), wire.Publish{Topic: []byte("a")}},
		{"an alias alone", 0, wire.V5, cat("", props(0x23, 1, 2), []byte("x")),
			wire.Publish{Alias: 258, Payload: []byte("x")}},
		{"an expiry of 0", 0, wire.V5, cat("a", props(2, 0, 0, 0, 0)),
			wire.Publish{Topic: []byte("a"), HasExpiry: true}},
		{"all that is passed on", 0, wire.V5,
			cat("a", props(0x26, "k", "1", 1, 1, 3, "text/plain", 0x26, "k", "2", 8, "r", 9, "\x00\xFF"), []byte("x")),
			wire.Publish{Topic: []byte("a"), PayloadFormat: 1, ResponseTopic: []byte("r"), Payload: []byte("x"),
				Props: cat(0x26, "k", "1", 1, 1, 3, "text/plain", 0x26, "k", "2", 8, "r", 9, "\x00\xFF")}},
		{"what is not passed on between it", 0, wire.V5,
			cat("a", props(0x23, 0, 7, 0x26, "k", "1", 2, 0, 0, 1, 0, 9, "id"), []byte("x")),
			wire.Publish{Topic: []byte("a"), Alias: 7, Expiry: 256, HasExpiry: true, Payload: []byte("x"),
				Props: cat(0x26, "k", "1", 9, "id")}},
		{"a topic that is not looked at", 0, wire.V311, cat("a/#\xFF"), wire.Publish{Topic: []byte("a/#\xFF")}},
	} {
		t.Run(k.name, func(t *testing.T) {
			got := wire.Publish{Props: []byte("left over"), PacketID: 77, Alias: 7}
			mustCode(t, wire.DecodePublish(k.flags, slices.Clone(k.body), k.version, &got), 0)
			nilEmpty(&got)
			if !reflect.DeepEqual(got, k.want) {
				t.Errorf("got  %+v\nwant %+v", got, k.want)
			}
		})
	}
}

// nilEmpty sets empty slices of p to nil.
func nilEmpty(p *wire.Publish) {
	for _, s := range []*[]byte{&p.Topic, &p.Props, &p.Payload} {
		if len(*s) == 0 {
			*s = nil
		}
	}
}

func TestDecodePublishRefused(t *testing.T) {
	for _, k := range []struct {
		name    string
		flags   byte
		version byte
		body    []byte
		code    byte
	}{
		{"nothing", 0, wire.V311, nil, 0x81},
		{"a topic that ends early", 0, wire.V311, []byte{0, 3, 'a', 'b'}, 0x81},
		{"QoS 3", 6, wire.V311, cat("a", 0, 1), 0x81},
		{"DUP with QoS 0", 8, wire.V311, cat("a"), 0x81},
		{"no packet identifier", 2, wire.V311, cat("a"), 0x81},
		{"packet identifier 0", 2, wire.V311, cat("a", 0, 0), 0x82},
		{"packet identifier 0, QoS 2", 4, wire.V5, cat("a", 0, 0, 0), 0x82},
		{"no topic", 0, wire.V311, cat(""), 0x82},
		{"no topic in 5", 0, wire.V5, cat("", 0), 0x82},
		{"no topic, with other properties", 0, wire.V5, cat("", props(1, 0)), 0x82},
		{"no properties", 0, wire.V5, cat("a"), 0x81},
		{"properties beyond the end", 0, wire.V5, cat("a", 9, 1, 0), 0x81},
		{"properties' length padded", 0, wire.V5, cat("a", 0x82, 0, 1, 0), 0x81},
		{"properties' length of five bytes", 0, wire.V5, cat("a", 0x80, 0x80, 0x80, 0x80, 1), 0x81},
		{"a property that ends early", 0, wire.V5, cat("a", 1, 1, 0), 0x81},
		{"a string that ends behind the properties", 0, wire.V5, cat("a", 4, 3, 0, 2, 'x', 'y'), 0x81},
		{"a property identifier of two bytes", 0, wire.V5, cat("a", props(0x81, 0, 1)), 0x81},
		{"payload format 2", 0, wire.V5, cat("a", props(1, 2)), 0x82},
		{"alias 0", 0, wire.V5, cat("a", props(0x23, 0, 0)), 0x94},
		{"alias twice", 0, wire.V5, cat("a", props(0x23, 0, 1, 0x23, 0, 1)), 0x82},
		{"a subscription identifier", 0, wire.V5, cat("a", props(0x0B, 1)), 0x82},
		{"a response topic with +", 0, wire.V5, cat("a", props(8, "a/+")), 0x82},
		{"a response topic with #", 0, wire.V5, cat("a", props(8, "#")), 0x82},
		{"an empty response topic", 0, wire.V5, cat("a", props(8, "")), 0x82},
		{"a content type with a surrogate", 0, wire.V5, cat("a", props(3, "\xED\xA0\x80")), 0x81},
		{"a response topic with U+0000", 0, wire.V5, cat("a", props(8, "a\x00b")), 0x81},
		{"a user property whose name is not UTF-8", 0, wire.V5, cat("a", props(0x26, "\xFF", "v")), 0x81},
		{"a user property whose value is not UTF-8", 0, wire.V5, cat("a", props(0x26, "k", "\xC0\x80")), 0x81},
		{"a user property without a value", 0, wire.V5, cat("a", props(0x26, "k")), 0x81},
	} {
		t.Run(k.name, func(t *testing.T) {
			var p wire.Publish
			mustCode(t, wire.DecodePublish(k.flags, slices.Clone(k.body), k.version, &p), k.code)
		})
	}
}

func TestPublishEndsInFull(t *testing.T) {
	for version, name := range versions {
		t.Run(name, func(t *testing.T) {
			body := withProps(version, cat("a/b", 0, 1), props(1, 1, 0x23, 0, 1, 3, "text", 0x26, "k", "v"))
			mustRefuseTruncated(t, body, func(b []byte) error {
				var p wire.Publish
				return wire.DecodePublish(2, b, version, &p)
			})
		})
	}
}

// TestPublishLiesInItsBytes checks that nothing is copied, and that no slice has capacity beyond its field.
func TestPublishLiesInItsBytes(t *testing.T) {
	body := cat("topic", props(0x23, 0, 1, 0x26, "k", "v"), []byte("payload"))
	var p wire.Publish
	mustCode(t, wire.DecodePublish(0, body, wire.V5, &p), 0)
	for i := range body {
		body[i] = '-'
	}
	if string(p.Topic) != "-----" || string(p.Payload) != "-------" || bytes.Trim(p.Props, "-") != nil {
		t.Errorf("got copies: %+v", p)
	}
	if _ = append(p.Topic, "xx"...); bytes.ContainsRune(body, 'x') {
		t.Error("what is appended to the topic overwrites what is behind it")
	}
	if _ = append(p.Props, make([]byte, 50)...); bytes.Contains(p.Payload, []byte{0}) {
		t.Error("what is appended to the properties overwrites the payload")
	}
}

func TestDecodePublishAllocatesNothing(t *testing.T) {
	body := cat("topic", 0, 1, props(0x23, 0, 1, 0x26, "k", "v", 2, 0, 0, 0, 1, 8, "r"), []byte("payload"))
	bad := cat("topic", 0, 1, props(0x23, 0, 1, 0x23, 0, 1))
	buf := make([]byte, len(body))
	var p wire.Publish
	if n := testing.AllocsPerRun(100, func() {
		_ = wire.DecodePublish(2, buf[:copy(buf, body)], wire.V5, &p)
		_ = wire.DecodePublish(2, bad, wire.V5, &p)
		_, _, _ = wire.ParseHeader(body)
	}); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}
