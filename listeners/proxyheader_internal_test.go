package listeners

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
)

const after = "\x10\x0e and what follows"

// block returns a header of version 2.
func block(command, family byte, length int, body string) string {
	return proxySignature + string([]byte{command, family, byte(length >> 8), byte(length)}) + body
}

const (
	body4 = "\xc0\x00\x02\x01\xc0\x00\x02\x02\x04\xd2\x07\x5b"
	body6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x04\xd2\x07\x5b"
	mapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x02\x04\xd2\x07\x5b"
)

var proxyHeaders = []struct {
	name, header string
	client       string // "": the proxy's own
	err          error
}{
	{"1: IPv4", "PROXY TCP4 192.0.2.1 192.0.2.2 1234 1883\r\n", "192.0.2.1:1234", nil},
	{"1: IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 1234 1883\r\n", "[2001:db8::1]:1234", nil},
	{"1: IPv4 in IPv6", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n", "192.0.2.1:1", nil},
	{"1: the longest", "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "", nil},
	{"1: unknown", "PROXY UNKNOWN\r\n", "", nil},
	{"1: too long", "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", "", errProxyLine},
	{"1: no end", "PROXY TCP4 " + strings.Repeat("1", 200), "", errProxyLine},
	{"1: only LF", "PROXY TCP4 192.0.2.1 192.0.2.2 1234 1883\n" + strings.Repeat("x", 80), "", errProxyLine},
	{"1: a name", "PROXY TCP4 localhost 192.0.2.2 1234 1883\r\n", "", errProxyLine},
	{"1: the other family", "PROXY TCP4 2001:db8::1 2001:db8::2 1234 1883\r\n", "", errProxyLine},
	{"1: a zone", "PROXY TCP6 fe80::1%eth0 fe80::2 1234 1883\r\n", "", errProxyLine},
	{"1: a large port", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 1883\r\n", "", errProxyLine},
	{"1: a port with a zero", "PROXY TCP4 192.0.2.1 192.0.2.2 01234 1883\r\n", "", errProxyLine},
	{"1: two spaces", "PROXY TCP4  192.0.2.1 192.0.2.2 1234 1883\r\n", "", errProxyLine},
	{"1: too many words", "PROXY TCP4 192.0.2.1 192.0.2.2 1234 1883 x\r\n", "", errProxyLine},
	{"1: a strange family", "PROXY UDP4 192.0.2.1 192.0.2.2 1234 1883\r\n", "", errProxyLine},
	{"1: cut off", "PROXY TCP4 192.0.2.1", "", io.EOF},
	{"2: IPv4", block(0x21, 0x11, 12, body4), "192.0.2.1:1234", nil},
	{"2: IPv6", block(0x21, 0x21, 36, body6), "[2001:db8::1]:1234", nil},
	{"2: IPv4 in IPv6", block(0x21, 0x21, 36, mapped), "192.0.2.1:1234", nil},
	{"2: with more behind", block(0x21, 0x11, 20, body4+"\x04\x00\x0512345"), "192.0.2.1:1234", nil},
	{"2: as much as there may be", block(0x21, 0x11, 4096, body4+strings.Repeat("x", 4084)), "192.0.2.1:1234", nil},
	{"2: more than that", block(0x21, 0x11, 4097, body4+strings.Repeat("x", 4085)), "", errProxyBlockSize},
	{"2: the proxy itself", block(0x20, 0x11, 12, body4), "", nil},
	{"2: nothing is told", block(0x21, 0x00, 0, ""), "", nil},
	{"2: a unix socket", block(0x21, 0x31, 216, strings.Repeat("x", 216)), "", nil},
	{"2: UDP", block(0x21, 0x12, 12, body4), "", errProxyBlock},
	{"2: too short", block(0x21, 0x11, 11, body4[:11]), "", errProxyBlock},
	{"2: another command", block(0x22, 0x11, 12, body4), "", errProxyBlock},
	{"2: another version", block(0x31, 0x11, 12, body4), "", errProxyBlock},
	{"2: cut off", block(0x21, 0x11, 12, body4[:5]), "", io.ErrUnexpectedEOF},
	{"none", "\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02me", "", errNoProxyHeader},
	{"HTTP", "GET /mqtt HTTP/1.1\r\n", "", errNoProxyHeader},
	{"nothing", "", "", io.EOF},
}

func TestProxyHeader(t *testing.T) {
	for _, test := range proxyHeaders {
		t.Run(test.name, func(t *testing.T) {
			text := test.header
			if test.err == nil {
				text += after
			}
			r := strings.NewReader(text)
			client, err := readProxyHeader(r)
			if !errors.Is(err, test.err) {
				t.Fatalf("error is %v, want %v", err, test.err)
			}
			if got := proxyHeader(client); got != test.client {
				t.Errorf("client is %s, want %s", got, test.client)
			}
			if rest, _ := io.ReadAll(r); err == nil && string(rest) != after {
				t.Errorf("%q is left to read, want %q", rest, after)
			}
		})
	}
}

func proxyHeader(client netip.AddrPort) string {
	if !client.IsValid() {
		return ""
	}
	return client.String()
}

// No input is read beyond the longest header, and a valid header is read exactly.
func FuzzProxyHeader(f *testing.F) {
	addCorpus(f)
	for _, test := range proxyHeaders {
		f.Add([]byte(test.header))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := bytes.NewReader(text)
		client, err := readProxyHeader(r)
		used := text[:len(text)-r.Len()]
		if len(used) > 16+proxyBlockMax {
			t.Fatalf("read %d bytes", len(used))
		}
		if err != nil {
			if client.IsValid() {
				t.Fatalf("an address with the error %v", err)
			}
			return
		}
		again, err := readProxyHeader(bytes.NewReader(used))
		if err != nil || again != client {
			t.Fatalf("%q alone is %v, %v; want %v", used, again, err, client)
		}
		if addr := client.Addr(); addr.Is4In6() || addr.Zone() != "" {
			t.Fatalf("%v has more than one form", addr)
		}
	})
}
