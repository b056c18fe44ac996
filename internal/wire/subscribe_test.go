package wire_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

func TestDecodeSubscribe(t *testing.T) {
	for _, k := range []struct {
		name    string
		version byte
		body    []byte
		want    wire.Subscribe
	}{
		{"3.1", wire.V31, cat(0, 1, "a", 2), wire.Subscribe{PacketID: 1, Filters: []wire.Filter{{Filter: "a", QoS: 2}}}},
		{"3.1 with bits that it does not use", wire.V31, cat(0, 1, "a", 0xFD),
			wire.Subscribe{PacketID: 1, Filters: []wire.Filter{{Filter: "a", QoS: 1}}}},
		{"3.1.1", wire.V311, cat(1, 0, "a/#", 0, "$share/g/b", 1),
			wire.Subscribe{PacketID: 256, Filters: []wire.Filter{{Filter: "a/#"}, {Filter: "$share/g/b", QoS: 1}}}},
		{"5.0", wire.V5, cat(0, 1, 0, "a", 0x2E, "b", 0x11),
			wire.Subscribe{PacketID: 1, Filters: []wire.Filter{
				{Filter: "a", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2},
				{Filter: "b", QoS: 1, RetainHandling: 1},
			}}},
		{"an identifier", wire.V5, cat(0, 1, props(0x26, "k", "v", 0x0B, 0xFF, 0xFF, 0xFF, 0x7F), "a", 0),
			wire.Subscribe{PacketID: 1, Identifier: 268435455, Filters: []wire.Filter{{Filter: "a"}}}},
		{"a filter that is none", wire.V311, cat(0, 1, "a#+", 0),
			wire.Subscribe{PacketID: 1, Filters: []wire.Filter{{Filter: "a#+"}}}},
		{"no local on what is nearly shared", wire.V5, cat(0, 1, 0, "$shared/a", 4),
			wire.Subscribe{PacketID: 1, Filters: []wire.Filter{{Filter: "$shared/a", NoLocal: true}}}},
	} {
		t.Run(k.name, func(t *testing.T) {
			got := wire.Subscribe{PacketID: 77, Identifier: 7, Filters: make([]wire.Filter, 5, 9)}
			array := &got.Filters[0]
			body := slices.Clone(k.body)
			mustCode(t, wire.DecodeSubscribe(body, k.version, &got), 0)
			for i := range body { // the decoded filters are copies
				body[i] = 0xEE
			}
			if !reflect.DeepEqual(got, k.want) {
				t.Errorf("got %+v, want %+v", got, k.want)
			}
			if array != &got.Filters[0] {
				t.Error("the array of filters was not used again")
			}
		})
	}
}

func TestDecodeSubscribeRefused(t *testing.T) {
	for _, k := range []struct {
		name    string
		version byte
		body    []byte
		code    byte
	}{
		{"nothing", wire.V311, nil, 0x81},
		{"packet identifier 0", wire.V311, cat(0, 0, "a", 0), 0x82},
		{"no filters", wire.V311, cat(0, 1), 0x82},
		{"no filters in 5", wire.V5, cat(0, 1, 0), 0x82},
		{"no properties", wire.V5, cat(0, 1), 0x81},
		{"no options", wire.V311, cat(0, 1, "a"), 0x81},
		{"no options in 5", wire.V5, cat(0, 1, 0, "a"), 0x81},
		{"no options for the second", wire.V5, cat(0, 1, 0, "a", 0, "b"), 0x81},
		{"an empty filter", wire.V311, cat(0, 1, "", 0), 0x82},
		{"an empty second filter", wire.V5, cat(0, 1, 0, "a", 0, "", 0), 0x82},
		{"a filter that ends early", wire.V311, cat(0, 1, 0, 9, 'a'), 0x81},
		{"a filter that is not UTF-8", wire.V311, cat(0, 1, "\xC3\x28", 0), 0x81},
		{"a filter with U+0000", wire.V5, cat(0, 1, 0, "a\x00", 0), 0x81},
		{"QoS 3 in 3.1", wire.V31, cat(0, 1, "a", 3), 0x82},
		{"QoS 3 in 3.1.1", wire.V311, cat(0, 1, "a", 3), 0x82},
		{"QoS 3 in 5", wire.V5, cat(0, 1, 0, "a", 3), 0x82},
		{"an option of 5 in 3.1.1", wire.V311, cat(0, 1, "a", 4), 0x81},
		{"reserved bit 6", wire.V5, cat(0, 1, 0, "a", 0x40), 0x81},
		{"reserved bit 7", wire.V5, cat(0, 1, 0, "a", 0x80), 0x81},
		{"retain handling 3", wire.V5, cat(0, 1, 0, "a", 0x30), 0x82},
		{"no local on a shared one", wire.V5, cat(0, 1, 0, "$share/g/a", 4), 0x82},
		{"identifier 0", wire.V5, cat(0, 1, props(0x0B, 0), "a", 0), 0x82},
		{"two identifiers", wire.V5, cat(0, 1, props(0x0B, 1, 0x0B, 2), "a", 0), 0x82},
		{"an identifier of five bytes", wire.V5, cat(0, 1, props(0x0B, 0x80, 0x80, 0x80, 0x80, 1), "a", 0), 0x81},
		{"an identifier that is padded", wire.V5, cat(0, 1, props(0x0B, 0x81, 0), "a", 0), 0x81},
		{"a reason string", wire.V5, cat(0, 1, props(0x1F, "x"), "a", 0), 0x81},
	} {
		t.Run(k.name, func(t *testing.T) {
			var s wire.Subscribe
			mustCode(t, wire.DecodeSubscribe(k.body, k.version, &s), k.code)
		})
	}
}

func TestDecodeUnsubscribe(t *testing.T) {
	for _, k := range []struct {
		name    string
		version byte
		body    []byte
		want    []string
		code    byte
	}{
		{"3.1", wire.V31, cat(0, 1, "a"), []string{"a"}, 0},
		{"3.1.1", wire.V311, cat(0, 1, "a", "b/#", "a#"), []string{"a", "b/#", "a#"}, 0},
		{"5.0", wire.V5, cat(0, 1, props(0x26, "k", "v"), "a"), []string{"a"}, 0},
		{"nothing", wire.V5, nil, nil, 0x81},
		{"packet identifier 0", wire.V5, cat(0, 0, 0, "a"), nil, 0x82},
		{"no filters", wire.V311, cat(0, 1), nil, 0x82},
		{"no filters in 5", wire.V5, cat(0, 1, 0), nil, 0x82},
		{"no properties", wire.V5, cat(0, 1), nil, 0x81},
		{"an empty filter", wire.V311, cat(0, 1, "a", ""), nil, 0x82},
		{"a filter that ends early", wire.V311, cat(0, 1, 0, 2, 'a'), nil, 0x81},
		{"a byte more", wire.V311, cat(0, 1, "a", 0), nil, 0x81},
		{"a filter that is not UTF-8", wire.V311, cat(0, 1, "\xFE"), nil, 0x81},
		{"a subscription identifier", wire.V5, cat(0, 1, props(0x0B, 1), "a"), nil, 0x81},
	} {
		t.Run(k.name, func(t *testing.T) {
			got := wire.Unsubscribe{Filters: []string{"left", "over"}}
			err := wire.DecodeUnsubscribe(k.body, k.version, &got)
			mustCode(t, err, k.code)
			if err == nil && (got.PacketID != 1 || !slices.Equal(got.Filters, k.want)) {
				t.Errorf("got %+v, want %q", got, k.want)
			}
		})
	}
}

func TestSubscribeEndsInFull(t *testing.T) {
	for version, name := range versions {
		t.Run(name, func(t *testing.T) {
			head := withProps(version, cat(0, 1), props(0x0B, 5, 0x26, "k", "v"))
			first := cat(head, "a/b", 1)
			mustRefuseTruncated(t, cat(first, "c", 0), func(b []byte) error {
				var s wire.Subscribe
				return wire.DecodeSubscribe(b, version, &s)
			}, len(first))

			head = withProps(version, cat(0, 1), props(0x26, "k", "v"))
			first = cat(head, "a/b")
			mustRefuseTruncated(t, cat(first, "c"), func(b []byte) error {
				var u wire.Unsubscribe
				return wire.DecodeUnsubscribe(b, version, &u)
			}, len(first))
		})
	}
}

func ExampleDecodeSubscribe() {
	var s wire.Subscribe
	err := wire.DecodeSubscribe([]byte{0, 7, 0, 7, 'r', 'o', 'o', 'm', 's', '/', '+', 1}, wire.V311, &s)
	fmt.Println(s.PacketID, s.Filters[0].Filter, s.Filters[0].QoS, err)
	err = wire.DecodeSubscribe([]byte{0, 7}, wire.V311, &s)
	fmt.Println(err)
	// Output:
	// 7 rooms/+ 1 <nil>
	// no topic filters [MQTT-3.8.3-2] [MQTT-3.10.3-2] (0x82)
}
