package wire_test

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// received decodes a packet with the strict test client.
func received(t *testing.T, version byte, packet []byte) *raw.Received {
	t.Helper()
	server, client := net.Pipe()
	go func() {
		_, _ = server.Write(packet)
		_ = server.Close()
	}()
	c := raw.New(t, client, version)
	p, err := c.Read()
	if err != nil {
		t.Fatalf("% X: %v", packet, err)
	}
	if p, err := c.Read(); err == nil {
		t.Fatalf("% X: and then %v", packet, p)
	}
	return p
}

func TestAppendConnack(t *testing.T) {
	zero, hour, one := uint32(0), uint32(3600), byte(1)
	for _, k := range []struct {
		name    string
		version byte
		c       wire.Connack
		want    []byte
	}{
		{"3.1", wire.V31, wire.Connack{}, cat(0x20, 2, 0, 0)},
		{"3.1, which has no session present", wire.V31, wire.Connack{SessionPresent: true}, cat(0x20, 2, 0, 0)},
		{"3.1.1", wire.V311, wire.Connack{SessionPresent: true}, cat(0x20, 2, 1, 0)},
		{"3.1.1 refused", wire.V311, wire.Connack{Code: wire.NotAuthorized, SessionPresent: true, ReasonString: "no"}, cat(0x20, 2, 0, 5)},
		{"3.1.1 with properties", wire.V311, wire.Connack{ReceiveMaximum: 10, AssignedClientID: "x"}, cat(0x20, 2, 0, 0)},
		{"5.0", wire.V5, wire.Connack{SessionPresent: true}, cat(0x20, 3, 1, 0, 0)},
		{"5.0 refused", wire.V5, wire.Connack{Code: 0x87, SessionPresent: true, ReasonString: "no"},
			cat(0x20, 8, 0, 0x87, props(0x1F, "no"))},
		{"values that are zero but there", wire.V5, wire.Connack{SessionExpiry: &zero, HasServerKeepAlive: true},
			cat(0x20, 11, 0, 0, props(0x11, 0, 0, 0, 0, 0x13, 0, 0))},
		{"a keep alive that is not", wire.V5, wire.Connack{ServerKeepAlive: 5}, cat(0x20, 3, 0, 0, 0)},
		{"text that cannot be sent", wire.V5, wire.Connack{Code: 0x80, ReasonString: "a\x00b\xFF"},
			cat(0x20, 11, 0, 0x80, props(0x1F, "ab\uFFFD"))},
	} {
		t.Run(k.name, func(t *testing.T) {
			got := wire.AppendConnack([]byte("x"), k.version, &k.c)
			if want := cat('x', k.want); !bytes.Equal(got, want) {
				t.Errorf("got  % X\nwant % X", got, want)
			}
			received(t, k.version, k.want)
		})
	}
	t.Run("all properties", func(t *testing.T) {
		p := received(t, wire.V5, wire.AppendConnack(nil, wire.V5, &wire.Connack{
			SessionExpiry: &hour, ReceiveMaximum: 10, MaximumQoS: &one, MaximumPacketSize: 100_000, AssignedClientID: "id",
			TopicAliasMaximum: 20, ReasonString: "why", ServerKeepAlive: 30, HasServerKeepAlive: true,
			ResponseInformation: "answers/", ServerReference: "other", AuthMethod: "SCRAM", AuthData: []byte("\x00"),
		}))
		want := raw.Props{
			raw.Num(raw.SessionExpiry, 3600), raw.Num(raw.ReceiveMaximum, 10), raw.Num(raw.MaximumQoS, 1),
			raw.Num(raw.MaximumPacketSize, 100_000), raw.Txt(raw.AssignedClientID, "id"), raw.Num(raw.TopicAliasMaximum, 20),
			raw.Txt(raw.ReasonString, "why"), raw.Num(raw.ServerKeepAlive, 30), raw.Txt(raw.ResponseInformation, "answers/"),
			raw.Txt(raw.ServerReference, "other"), raw.Txt(raw.AuthMethod, "SCRAM"), raw.Txt(raw.AuthData, "\x00"),
		}
		mustHave(t, p.Props, want)
	})
}

// mustHave fails the test unless got has the properties of want, in any order.
func mustHave(t *testing.T, got, want raw.Props) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, p := range want {
		if !slices.Contains(got, p) {
			t.Errorf("got %v, which is without %v", got, p)
		}
	}
}

func TestAppendSuback(t *testing.T) {
	codes := []byte{0, 1, 2, 0x80, 0x87, 0x8F}
	for version, want := range map[byte][]byte{
		wire.V31:  cat(0x90, 8, 1, 2, 0, 1, 2, 0x80, 0x80, 0x80),
		wire.V311: cat(0x90, 8, 1, 2, 0, 1, 2, 0x80, 0x80, 0x80),
		wire.V5:   cat(0x90, 9, 1, 2, 0, codes),
	} {
		if got := wire.AppendSuback([]byte("x"), version, 258, codes); !bytes.Equal(got, cat('x', want)) {
			t.Errorf("%s: got % X, want % X behind x", versions[version], got, want)
		}
	}
	if !bytes.Equal(codes, []byte{0, 1, 2, 0x80, 0x87, 0x8F}) {
		t.Errorf("the codes were changed to % X", codes)
	}
	if got := received(t, wire.V5, wire.AppendSuback(nil, wire.V5, 7, make([]byte, 300))); len(got.Codes) != 300 || got.ID != 7 {
		t.Errorf("got %v", got)
	}
}

func TestAppendUnsuback(t *testing.T) {
	codes := []byte{0, 0x11, 0x87}
	for version, want := range map[byte][]byte{
		wire.V31: cat(0xB0, 2, 1, 2), wire.V311: cat(0xB0, 2, 1, 2), wire.V5: cat(0xB0, 6, 1, 2, 0, codes),
	} {
		if got := wire.AppendUnsuback([]byte("x"), version, 258, codes); !bytes.Equal(got, cat('x', want)) {
			t.Errorf("%s: got % X, want % X behind x", versions[version], got, want)
		}
	}
}

func TestAppendDisconnect(t *testing.T) {
	for _, k := range []struct {
		name, reason, reference string
		want                    []byte
	}{
		{"a code", "", "", cat(0xE0, 2, 0x8B, 0)},
		{"a reason", "bye", "", cat(0xE0, 8, 0x8B, props(0x1F, "bye"))},
		{"a server", "", "b:1883", cat(0xE0, 11, 0x8B, props(0x1C, "b:1883"))},
		{"both", "bye", "b", cat(0xE0, 12, 0x8B, props(0x1C, "b", 0x1F, "bye"))},
	} {
		t.Run(k.name, func(t *testing.T) {
			got := wire.AppendDisconnect([]byte("x"), wire.ServerShuttingDown, k.reason, k.reference)
			if !bytes.Equal(got, cat('x', k.want)) {
				t.Errorf("got % X, want % X behind x", got, k.want)
			}
			received(t, wire.V5, k.want)
		})
	}
}

// TestLongReasons checks that a reason is cut to the maximum length of a string, at a character boundary.
func TestLongReasons(t *testing.T) {
	reason := strings.Repeat("日", 30_000) // three bytes each
	p := received(t, wire.V5, wire.AppendDisconnect(nil, wire.UnspecifiedError, reason, ""))
	if got := p.Props.Txt(raw.ReasonString); len(got) != 65535 || !strings.HasPrefix(reason, got) {
		t.Errorf("got %d bytes", len(got))
	}
	p = received(t, wire.V5, wire.AppendDisconnect(nil, wire.UnspecifiedError, "x"+reason, ""))
	if got := p.Props.Txt(raw.ReasonString); len(got) != 65533 || !strings.HasPrefix("x"+reason, got) {
		t.Errorf("got %d bytes", len(got))
	}
}

func TestAppendAuth(t *testing.T) {
	for _, k := range []struct {
		name string
		a    wire.Auth
		want []byte
	}{
		{"continue", wire.Auth{Code: 0x18, Method: "m", Data: []byte("\x00d")}, cat(0xF0, 11, 0x18, props(0x15, "m", 0x16, "\x00d"))},
		{"no data", wire.Auth{Code: 0x18, Method: "m"}, cat(0xF0, 6, 0x18, props(0x15, "m"))},
		{"success", wire.Auth{Method: "m"}, cat(0xF0, 6, 0, props(0x15, "m"))},
	} {
		t.Run(k.name, func(t *testing.T) {
			if got := wire.AppendAuth([]byte("x"), &k.a); !bytes.Equal(got, cat('x', k.want)) {
				t.Errorf("got % X, want % X behind x", got, k.want)
			}
			received(t, wire.V5, k.want)
		})
	}
}
