package wire_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

func TestForwarded(t *testing.T) {
	for _, k := range []struct {
		name string
		f    wire.Forwarded
		want []byte
	}{
		{"nothing", wire.Forwarded{}, nil},
		{"everything", wire.Forwarded{
			PayloadFormat: 1, ContentType: "text", ResponseTopic: "r", CorrelationData: []byte("\x00\xFF"),
			User: []wire.UserProperty{{"b", "1"}, {"a", ""}, {"b", "1"}},
		}, cat(1, 1, 3, "text", 8, "r", 9, "\x00\xFF", 0x26, "b", "1", 0x26, "a", "", 0x26, "b", "1")},
		{"correlation data that is empty but there", wire.Forwarded{CorrelationData: []byte{}}, cat(9, "")},
	} {
		t.Run(k.name, func(t *testing.T) {
			if err := k.f.Check(); err != nil {
				t.Error(err)
			}
			b := k.f.Append([]byte("x"))
			if want := cat('x', k.want); !bytes.Equal(b, want) {
				t.Errorf("got % X, want % X", b, want)
			}
			got, err := wire.DecodeProps(b[1:])
			mustCode(t, err, 0)
			clear(b) // the decoded properties are copies
			if !reflect.DeepEqual(got, k.f) {
				t.Errorf("got %+v, want %+v", got, k.f)
			}
		})
	}
}

func TestDecodePropsRefused(t *testing.T) {
	for name, k := range map[string]struct {
		props []byte
		code  byte
	}{
		"an alias":        {cat(0x23, 0, 1), 0x82},
		"an expiry":       {cat(2, 0, 0, 0, 1), 0x82},
		"not a message's": {cat(0x1F, "x"), 0x81},
		"one twice":       {cat(3, "a", 3, "a"), 0x82},
		"one in part":     {cat(3, 0), 0x81},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := wire.DecodeProps(k.props)
			mustCode(t, err, k.code)
			if !reflect.DeepEqual(f, wire.Forwarded{}) {
				t.Errorf("got %+v with an error", f)
			}
		})
	}
}

func TestForwardedCheck(t *testing.T) {
	long := strings.Repeat("x", 65536)
	for want, f := range map[string]wire.Forwarded{
		"payload format is 2":       {PayloadFormat: 2},
		"content type has 65536":    {ContentType: long},
		"content type is not":       {ContentType: "\xFF"},
		"response topic has 65536":  {ResponseTopic: long},
		"response topic is not":     {ResponseTopic: "a\x00"},
		"has a wildcard":            {ResponseTopic: "a/#"},
		"correlation data has 6553": {CorrelationData: []byte(long)},
		"name of a user property":   {User: []wire.UserProperty{{"\xFF", ""}}},
		"value of a user property":  {User: []wire.UserProperty{{"", long}}},
	} {
		if err := f.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want what says %q", err, want)
		}
	}
}

func ExampleDecodeProps() {
	var p wire.Publish
	body := []byte("\x00\x01a" + "\x0C" + "\x03\x00\x04text" + "\x02\x00\x00\x00\x3C" + "payload")
	if err := wire.DecodePublish(0, body, wire.V5, &p); err != nil {
		fmt.Println(err)
		return
	}
	f, err := wire.DecodeProps(p.Props)
	fmt.Println(f.ContentType, p.Expiry, string(p.Payload), err)
	// Output: text 60 payload <nil>
}
