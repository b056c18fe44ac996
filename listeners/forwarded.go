package listeners

import (
	"net/http"
	"net/netip"
	"strings"
)

// The headers in which a proxy names its client.
const (
	XForwardedFor = "X-Forwarded-For"
	Forwarded     = "Forwarded" // RFC 7239
)

// forwarded finds the address of clients behind proxies. It trusts only one header: a proxy would forward the other
// one as sent by the client.
type forwarded struct {
	proxies proxies
	header  string // XForwardedFor or Forwarded
}

// client returns the address of a request's sender, host:port, with port 0 if the proxy does not send it. It walks
// the hops from the last, added by the nearest proxy, to the first that is none of our proxies; anybody may have
// written the hops before.
func (f forwarded) client(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !f.proxies.has(peer.Addr()) {
		return r.RemoteAddr
	}
	hops := f.hops(r.Header)
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := parseHop(hops[i])
		if !ok {
			break
		}
		peer = hop
		if !f.proxies.has(hop.Addr()) {
			break
		}
	}
	return peer.String()
}

func (f forwarded) hops(h http.Header) []string {
	all := strings.Join(h.Values(f.header), ",")
	if f.header == Forwarded {
		return parseForwarded(all)
	}
	return strings.Split(all, ",")
}

// parseHop parses an address, with or without a port. It refuses obfuscated ones ("unknown", "_name").
func parseHop(text string) (netip.AddrPort, bool) {
	text = strings.TrimSpace(text)
	hop, err := netip.ParseAddrPort(text)
	if err != nil {
		inner, bracketed := strings.CutPrefix(text, "[")
		if bracketed {
			inner, bracketed = strings.CutSuffix(inner, "]")
		}
		addr, err := netip.ParseAddr(inner)
		if err != nil || bracketed != strings.HasPrefix(text, "[") {
			return netip.AddrPort{}, false
		}
		hop = netip.AddrPortFrom(addr, 0)
	}
	return netip.AddrPortFrom(hop.Addr().Unmap().WithZone(""), hop.Port()), true
}

// parseForwarded returns the "for" of each element, "" for one without; nothing if the header is malformed.
func parseForwarded(text string) (hops []string) {
	for {
		hop, rest, more, ok := forwardedElement(text)
		if !ok {
			return nil
		}
		hops = append(hops, hop)
		if !more {
			return hops
		}
		text = rest
	}
}

// forwardedElement parses the pairs up to the next unquoted comma.
func forwardedElement(text string) (hop, rest string, more, ok bool) {
	for {
		name, after, found := strings.Cut(text, "=")
		if !found {
			return "", "", false, strings.TrimSpace(text) == "" // an empty element
		}
		if strings.ContainsAny(name, ",;\"") {
			return "", "", false, false
		}
		value, after, ok := forwardedValue(after)
		if !ok {
			return "", "", false, false
		}
		if strings.EqualFold(strings.TrimSpace(name), "for") {
			hop = value
		}
		after = strings.TrimLeft(after, " \t")
		switch {
		case after == "":
			return hop, "", false, true
		case after[0] == ',':
			return hop, after[1:], true, true
		case after[0] != ';':
			return "", "", false, false
		}
		text = after[1:]
	}
}

// forwardedValue parses a token or a quoted string, and returns the rest.
func forwardedValue(text string) (value, rest string, ok bool) {
	quoted, isQuoted := strings.CutPrefix(text, `"`)
	if !isQuoted {
		end := strings.IndexAny(text, ",; \t\"")
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:], true
	}
	end := strings.IndexAny(quoted, "\"\\") // no address has an escaped character
	if end < 0 || quoted[end] == '\\' {
		return "", "", false
	}
	return quoted[:end], quoted[end+1:], true
}
