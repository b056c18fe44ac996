package listeners

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestFailuresAreForgottenAndBounded(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	f := failures{now: func() time.Time { return now }, byNetwork: map[netip.Prefix]*failure{}}
	guesser := network("192.0.2.1:5")
	for range failuresAllowed {
		if f.tooMany(guesser) {
			t.Fatal("refused too early")
		}
		f.add(guesser)
	}
	if !f.tooMany(guesser) || f.tooMany(network("192.0.2.2:5")) {
		t.Error("not the one who guessed is refused")
	}
	now = now.Add(failuresWindow)
	if f.tooMany(guesser) {
		t.Error("refused for ever")
	}
	for i := range 3 * failuresKept {
		f.add(network(fmt.Sprintf("[2001:db8:%x::1]:5", i)))
	}
	if len(f.byNetwork) > failuresKept {
		t.Errorf("%d networks are remembered", len(f.byNetwork))
	}
}

func TestNetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:5":           "192.0.2.1/32",
		"[::ffff:192.0.2.1]:5":  "192.0.2.1/32",
		"[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:5":      "fe80::/64",
		"nowhere":               "invalid Prefix",
	} {
		if got := network(remote).String(); got != want {
			t.Errorf("%s is of %s, want %s", remote, got, want)
		}
	}
}

// FuzzOrigin looks for an accepted header that is not one of the allowed origins.
func FuzzOrigin(f *testing.F) {
	addCorpus(f)
	for _, seed := range []string{
		"https://x.b.com", "https://b.com", "http://a.com:8083", "HTTPS://X.B.COM:443", "https://evil.com#.b.com",
		"https://evil.com/.b.com", "https://u@.b.com", "https://evil.com\\.b.com", "https://[::1]", "null", "",
		"https://x.b.com:", "http://a.com:8083:", "https://[::1%25.b.com]", "https://x%E3%80%82.b.com",
	} {
		f.Add(seed)
	}
	list, err := parseOrigins([]string{"self", "https://*.b.com"}, "origins")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := &http.Request{Host: "a.com:8083", Header: http.Header{"Origin": {header}}}
		if !list.allow(r) {
			return
		}
		plain := strings.ToLower(header)
		subdomain := strings.HasSuffix(strings.TrimSuffix(plain, ":443"), ".b.com") && strings.HasPrefix(plain, "https://")
		if !strings.HasSuffix(plain, "://a.com:8083") && !subdomain {
			t.Errorf("%q is allowed", header)
		}
	})
}

var ours = proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48")}

func TestForwarded(t *testing.T) {
	const peer, proxy = "192.0.2.9:99", "10.0.0.1:99"
	for _, test := range []struct {
		name, from, header string
		values             []string
		want               string
	}{
		{"not a proxy", peer, XForwardedFor, []string{"198.51.100.1"}, peer},
		{"not a proxy, RFC 7239", peer, Forwarded, []string{"for=198.51.100.1"}, peer},
		{"nothing said", proxy, XForwardedFor, nil, proxy},
		{"one hop", proxy, XForwardedFor, []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"a port", proxy, XForwardedFor, []string{"198.51.100.1:1234"}, "198.51.100.1:1234"},
		{"IPv6", proxy, XForwardedFor, []string{"2001:db8::1"}, "[2001:db8::1]:0"},
		{"IPv6 in brackets", proxy, XForwardedFor, []string{"[2001:db8::1]"}, "[2001:db8::1]:0"},
		{"IPv6 with a port", proxy, XForwardedFor, []string{"[2001:db8::1]:1234"}, "[2001:db8::1]:1234"},
		{"IPv4 in IPv6", proxy, XForwardedFor, []string{"::ffff:198.51.100.1"}, "198.51.100.1:0"},
		{"a proxy by IPv4 in IPv6", "[::ffff:10.0.0.1]:99", XForwardedFor, []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"the last counts", proxy, XForwardedFor, []string{"203.0.113.7, 198.51.100.1"}, "198.51.100.1:0"},
		{"of several headers, too", proxy, XForwardedFor, []string{"203.0.113.7", "198.51.100.1"}, "198.51.100.1:0"},
		{"behind two proxies", proxy, XForwardedFor, []string{"203.0.113.7, 198.51.100.1, 10.9.9.9"}, "198.51.100.1:0"},
		{"proxies of both kinds", proxy, XForwardedFor, []string{"198.51.100.1,2001:db8:1::5 , 10.9.9.9"}, "198.51.100.1:0"},
		{"only proxies", proxy, XForwardedFor, []string{"10.1.1.1, 10.2.2.2"}, "10.1.1.1:0"},
		{"garbage at the end", proxy, XForwardedFor, []string{"198.51.100.1, evil"}, proxy},
		{"garbage before", proxy, XForwardedFor, []string{"evil\", 198.51.100.1"}, "198.51.100.1:0"},
		{"garbage behind a proxy", proxy, XForwardedFor, []string{"unknown, 10.2.2.2"}, "10.2.2.2:0"},
		{"an open bracket", proxy, XForwardedFor, []string{"[2001:db8::1"}, proxy},
		{"empty", proxy, XForwardedFor, []string{""}, proxy},

		{"RFC 7239", proxy, Forwarded, []string{"for=198.51.100.1;proto=https;by=10.0.0.1"}, "198.51.100.1:0"},
		{"RFC 7239, case and order", proxy, Forwarded, []string{`proto=https; For="198.51.100.1:1234"`}, "198.51.100.1:1234"},
		{"RFC 7239, IPv6", proxy, Forwarded, []string{`for="[2001:db8::1]:1234"`}, "[2001:db8::1]:1234"},
		{"RFC 7239, the last counts", proxy, Forwarded, []string{"for=203.0.113.7, for=198.51.100.1"}, "198.51.100.1:0"},
		{"RFC 7239, several headers", proxy, Forwarded, []string{"for=203.0.113.7", "for=198.51.100.1, for=10.9.9.9"}, "198.51.100.1:0"},
		{"RFC 7239, a comma in quotes", proxy, Forwarded, []string{`for=198.51.100.1;host="a,for=203.0.113.7"`}, "198.51.100.1:0"},
		{"RFC 7239, hidden", proxy, Forwarded, []string{"for=_secret"}, proxy},
		{"RFC 7239, unknown", proxy, Forwarded, []string{"for=unknown"}, proxy},
		{"RFC 7239, no for", proxy, Forwarded, []string{"for=203.0.113.7, proto=https"}, proxy},
		{"RFC 7239, an open quote", proxy, Forwarded, []string{`for="203.0.113.7, for=198.51.100.1`}, proxy},
		{"RFC 7239, no pairs", proxy, Forwarded, []string{"198.51.100.1"}, proxy},
		{"the other header", proxy, Forwarded, nil, proxy},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := http.Header{test.header: test.values}
			other := map[string]string{XForwardedFor: Forwarded, Forwarded: XForwardedFor}[test.header]
			h.Set(other, "for=203.0.113.66") // sent by the client, in the header that the proxy does not write
			got := forwarded{ours, test.header}.client(&http.Request{RemoteAddr: test.from, Header: h})
			if got != test.want {
				t.Errorf("client is %s, want %s", got, test.want)
			}
		})
	}
}

// A client cannot change the hop added by the last proxy, in either header, unless it makes the header malformed;
// then the proxy's own address counts.
func FuzzForwarded(f *testing.F) {
	addCorpus(f)
	for _, text := range []string{
		"", "for=1.2.3.4", `for="[2001:db8::1]:80";proto=https`, "10.0.0.1, 1.2.3.4", `for="a`, `a="\"`, ",,;=", "for=10.1.1.1",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for header, last := range map[string]string{XForwardedFor: "198.51.100.1", Forwarded: "for=198.51.100.1"} {
			r := &http.Request{RemoteAddr: "10.0.0.1:99", Header: http.Header{header: {text, last}}}
			got := forwarded{ours, header}.client(r)
			if got != "198.51.100.1:0" && (header == XForwardedFor || got != "10.0.0.1:99") {
				t.Errorf("%s %q makes the client %s", header, text, got)
			}
			r.Header.Set(header, text)
			if _, err := netip.ParseAddrPort(forwarded{ours, header}.client(r)); err != nil {
				t.Error(err)
			}
		}
	})
}
