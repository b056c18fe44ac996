package wire_test

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

// add adds the seeds of some packet types.
func add(f *testing.F, types ...wire.Type) {
	for _, s := range seeds() {
		if slices.Contains(types, s.typ) {
			f.Add(byte(s.typ), s.flags, s.version, s.body)
		}
	}
}

// clipped returns a copy of b without spare capacity, so that reading too far panics.
func clipped(b []byte) []byte { return slices.Clip(slices.Clone(b)) }

func FuzzParseHeader(f *testing.F) {
	addCorpus(f)
	f.Add([]byte{0x30, 0x80, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok, err := wire.ParseHeader(clipped(b))
		switch {
		case err != nil && ok, err == nil && !ok && len(b) >= 5:
			t.Errorf("got %t, %v", ok, err)
		case ok && (h.Size < 2 || h.Size > 5 || h.Size > len(b) || h.Remaining < 0 || h.Remaining > 268435455):
			t.Errorf("got %+v", h)
		}
		if ok { // the header alone gives the same result, and its last byte is needed
			again, ok, err := wire.ParseHeader(clipped(b[:h.Size]))
			if again != h || !ok || err != nil {
				t.Errorf("got %+v, %t, %v, want %+v", again, ok, err, h)
			}
			if _, ok, err := wire.ParseHeader(clipped(b[:h.Size-1])); ok || err != nil {
				t.Errorf("without its end: got %t, %v", ok, err)
			}
		}
	})
}

func FuzzDecodeConnect(f *testing.F) {
	addCorpus(f)
	add(f, wire.TypeConnect)
	f.Fuzz(func(t *testing.T, _, _, _ byte, body []byte) {
		var c wire.Connect
		if wire.DecodeConnect(clipped(body), &c) != nil {
			return
		}
		if c.Version < wire.V31 || c.Version > wire.V5 || c.ReceiveMaximum == 0 || len(c.AuthData) > 0 && !c.HasAuthMethod {
			t.Errorf("got %+v", c)
		}
		texts := []string{c.ClientID, c.Username, c.AuthMethod}
		if w := c.Will; w != nil {
			texts = append(texts, w.Topic)
			if w.QoS > 2 {
				t.Errorf("got will %+v", w)
			}
			_, err := wire.DecodeProps(w.Props)
			mustCode(t, err, 0)
		}
		for _, s := range texts {
			if !wire.ValidUTF8([]byte(s)) {
				t.Errorf("got %q", s)
			}
		}
		_, err := wire.DecodeProps(c.UserProperties)
		mustCode(t, err, 0)
	})
}

// FuzzDecodePublish encodes a decoded packet again and compares.
func FuzzDecodePublish(f *testing.F) {
	addCorpus(f)
	add(f, wire.TypePublish)
	f.Fuzz(func(t *testing.T, _, flags, version byte, body []byte) {
		version = wire.V31 + version%3
		var p wire.Publish
		if wire.DecodePublish(flags&15, clipped(body), version, &p) != nil {
			return
		}
		if (p.QoS > 0) != (p.PacketID > 0) || p.QoS > 2 || len(p.Topic) == 0 && p.Alias == 0 {
			t.Errorf("got %+v", p)
		}
		o := wire.Outgoing{
			Dup: p.Dup, QoS: p.QoS, Retain: p.Retain, Topic: string(p.Topic), PacketID: p.PacketID, Alias: p.Alias,
			Expiry: p.Expiry, HasExpiry: p.HasExpiry, Props: p.Props, Payload: p.Payload,
		}
		packet := wire.AppendPublish(nil, version, &o)
		h, ok, err := wire.ParseHeader(packet)
		if err != nil || !ok || h.Type != wire.TypePublish || h.Flags != flags&15 || len(packet) != wire.PublishSize(version, &o) {
			t.Fatalf("% X has the header %+v, %t, %v", packet, h, ok, err)
		}
		var again wire.Publish
		mustCode(t, wire.DecodePublish(h.Flags, packet[h.Size:], version, &again), 0)
		nilEmpty(&p)
		nilEmpty(&again)
		if !reflect.DeepEqual(p, again) {
			t.Errorf("got %+v, want %+v", again, p)
		}
		_, err = wire.DecodeProps(p.Props)
		mustCode(t, err, 0)
	})
}

func FuzzDecodeAck(f *testing.F) {
	addCorpus(f)
	add(f, acks...)
	f.Fuzz(func(t *testing.T, typ, _, version byte, body []byte) {
		kind := acks[typ%4]
		version = wire.V31 + version%3
		var a, again wire.Ack
		if wire.DecodeAck(kind, clipped(body), version, &a) != nil {
			return
		}
		packet := wire.AppendAck(nil, kind, version, a.PacketID, a.Code)
		mustCode(t, wire.DecodeAck(kind, packet[2:], version, &again), 0)
		if a != again || a.PacketID == 0 {
			t.Errorf("got %+v, want %+v", again, a)
		}
	})
}

func FuzzDecodeSubscribe(f *testing.F) {
	addCorpus(f)
	add(f, wire.TypeSubscribe)
	f.Fuzz(func(t *testing.T, _, _, version byte, body []byte) {
		version = wire.V31 + version%3
		var s wire.Subscribe
		if wire.DecodeSubscribe(clipped(body), version, &s) != nil {
			return
		}
		if s.PacketID == 0 || len(s.Filters) == 0 || s.Identifier > 268435455 || version < wire.V5 && s.Identifier != 0 {
			t.Errorf("got %+v", s)
		}
		for _, x := range s.Filters {
			plain := wire.Filter{Filter: x.Filter, QoS: x.QoS}
			if x.Filter == "" || !wire.ValidUTF8([]byte(x.Filter)) || x.QoS > 2 || x.RetainHandling > 2 || version < wire.V5 && x != plain {
				t.Errorf("got %+v", x)
			}
		}
	})
}

func FuzzDecodeUnsubscribe(f *testing.F) {
	addCorpus(f)
	add(f, wire.TypeUnsubscribe)
	f.Fuzz(func(t *testing.T, _, _, version byte, body []byte) {
		var u wire.Unsubscribe
		if wire.DecodeUnsubscribe(clipped(body), wire.V31+version%3, &u) != nil {
			return
		}
		if u.PacketID == 0 || len(u.Filters) == 0 || slices.Contains(u.Filters, "") {
			t.Errorf("got %+v", u)
		}
	})
}

func FuzzDecodeDisconnect(f *testing.F) {
	addCorpus(f)
	add(f, wire.TypeDisconnect)
	f.Fuzz(func(t *testing.T, _, _, version byte, body []byte) {
		version = wire.V31 + version%3
		var d wire.Disconnect
		if wire.DecodeDisconnect(clipped(body), version, &d) != nil {
			return
		}
		if version < wire.V5 && d != (wire.Disconnect{}) || !wire.ValidUTF8([]byte(d.Reason)) || !d.HasSessionExpiry && d.SessionExpiry > 0 {
			t.Errorf("got %+v", d)
		}
	})
}

// FuzzDecodeAuth encodes a decoded packet again and compares.
func FuzzDecodeAuth(f *testing.F) {
	addCorpus(f)
	add(f, wire.TypeAuth)
	f.Fuzz(func(t *testing.T, _, _, _ byte, body []byte) {
		var a, again wire.Auth
		if wire.DecodeAuth(clipped(body), &a) != nil || a.Method == "" { // mochi's encoder omits an empty method
			return
		}
		packet := wire.AppendAuth(nil, &a)
		h, _, err := wire.ParseHeader(packet)
		mustCode(t, err, 0)
		mustCode(t, wire.DecodeAuth(packet[h.Size:], &again), 0)
		if a.Code != again.Code || a.Method != again.Method || !bytes.Equal(a.Data, again.Data) {
			t.Errorf("got %+v, want %+v", again, a)
		}
	})
}

// FuzzDecodeProps encodes decoded properties again and compares.
func FuzzDecodeProps(f *testing.F) {
	addCorpus(f)
	f.Add(cat(1, 1, 3, "text", 8, "r", 9, "\x00", 0x26, "k", "v"))
	f.Fuzz(func(t *testing.T, props []byte) {
		p, err := wire.DecodeProps(clipped(props))
		if err != nil {
			return
		}
		if err := p.Check(); err != nil {
			t.Error(err)
		}
		again, err := wire.DecodeProps(p.Append(nil))
		mustCode(t, err, 0)
		if !reflect.DeepEqual(p, again) {
			t.Errorf("got %+v, want %+v", again, p)
		}
	})
}

func FuzzValidUTF8(f *testing.F) {
	addCorpus(f)
	f.Add([]byte("a\xED\xA0\x80"))
	f.Fuzz(func(t *testing.T, b []byte) {
		want := true
		for rest := b; len(rest) > 0; {
			r, n := utf8.DecodeRune(rest)
			want = want && r != 0 && (r != utf8.RuneError || n > 1)
			rest = rest[n:]
		}
		if got := wire.ValidUTF8(b); got != want {
			t.Errorf("% X: got %t, want %t", b, got, want)
		}
	})
}

// client is a packet of a client without its fixed header.
type client struct {
	typ     wire.Type
	flags   byte
	version byte
	body    []byte
}

// seeds are valid packets of every type, for fuzzing and for the comparison with mochi.
func seeds() []client {
	message := props(1, 1, 0x23, 0, 1, 3, "text", 2, 0, 0, 0, 60, 8, "r/é", 9, "\x00", 0x26, "k", "v", 0x26, "k", "")
	will := props(0x18, 0, 0, 0, 5, 1, 1, 2, 0, 0, 0, 9, 3, "t", 8, "r", 9, "c", 0x26, "k", "v")
	session := props(0x11, 0, 0, 0, 9, 0x21, 0, 10, 0x27, 0, 1, 0, 0, 0x22, 0, 20, 0x19, 1, 0x17, 0, 0x15, "m", 0x16, "d",
		0x26, "k", "v")
	reason := props(0x1F, "why", 0x26, "k", "v")
	all := []client{
		{wire.TypeConnect, 0, wire.V31, connect(wire.V31, 0xEE, nil, cat("id", "will", "gone", "user", "pass"))},
		{wire.TypeConnect, 0, wire.V31, connect(wire.V31, 0xC2, nil, cat("id"))},
		{wire.TypeConnect, 0, wire.V311, connect(wire.V311, 2, nil, cat(""))},
		{wire.TypeConnect, 0, wire.V311, connect(wire.V311, 0xEE, nil, cat("id", "will", "gone", "user", "pass"))},
		{wire.TypeConnect, 0, wire.V5, connect(wire.V5, 0, props(), cat(""))},
		{wire.TypeConnect, 0, wire.V5, connect(wire.V5, 0xD6, session, cat("id", will, "will", "gone", "user", "pass"))},
		{wire.TypePublish, 0, wire.V311, cat("a/b", []byte("payload"))},
		{wire.TypePublish, 3, wire.V311, cat("a/b", 0, 1, []byte("payload"))},
		{wire.TypePublish, 0, wire.V5, cat("a/b", 0, []byte("payload"))},
		{wire.TypePublish, 12, wire.V5, cat("a/b", 0, 1, message, []byte("payload"))},
		{wire.TypePublish, 1, wire.V5, cat("", props(0x23, 0, 1))},
		{wire.TypeSubscribe, 2, wire.V31, cat(0, 1, "a/+", 2, "b", 0)},
		{wire.TypeSubscribe, 2, wire.V311, cat(0, 1, "a/+", 2, "b", 0)},
		{wire.TypeSubscribe, 2, wire.V5, cat(0, 1, props(0x0B, 0x80, 1, 0x26, "k", "v"), "$share/g/a", 0x2A, "#", 0x15)},
		{wire.TypeUnsubscribe, 2, wire.V311, cat(0, 1, "a/+", "b")},
		{wire.TypeUnsubscribe, 2, wire.V5, cat(0, 1, props(0x26, "k", "v"), "a/+", "b")},
		{wire.TypeDisconnect, 0, wire.V311, nil},
		{wire.TypeDisconnect, 0, wire.V5, nil},
		{wire.TypeDisconnect, 0, wire.V5, cat(4)},
		{wire.TypeDisconnect, 0, wire.V5, cat(0, props(0x11, 0, 0, 0, 9, 0x1F, "why", 0x26, "k", "v"))},
		{wire.TypeAuth, 0, wire.V5, cat(0x18, props(0x15, "m", 0x16, "d", 0x1F, "why", 0x26, "k", "v"))},
	}
	for _, typ := range acks {
		flags := byte(0)
		if typ == wire.TypePubrel {
			flags = 2
		}
		all = append(all, client{typ, flags, wire.V311, cat(0, 1)}, client{typ, flags, wire.V5, cat(0, 1)},
			client{typ, flags, wire.V5, cat(0, 1, 0)}, client{typ, flags, wire.V5, cat(0, 1, 0, reason)})
	}
	return all
}
