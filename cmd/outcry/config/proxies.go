package config

import (
	"fmt"
	"net/netip"
	"strconv"
)

// Prefixes parses a list of networks, each an address or a prefix such as 10.0.0.0/8. Load has checked those of a
// Config.
func Prefixes(list []string) (prefixes []netip.Prefix, err error) {
	for _, text := range list {
		p, err := parsePrefix(text)
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%s is not a network", strconv.Quote(text))
	}
	return p.Masked(), nil
}

// proxies checks the lists of proxies.
func (v *validator) proxies() {
	l := &v.loaded.Listeners
	for _, list := range []struct {
		path  string
		items []string
	}{
		{"listeners.tcp.proxy_protocol", l.TCP.ProxyProtocol},
		{"listeners.tls.proxy_protocol", l.TLS.ProxyProtocol},
		{"listeners.ws.proxy_protocol", l.WS.ProxyProtocol},
		{"listeners.ws.forwarded", l.WS.Forwarded},
		{"listeners.wss.proxy_protocol", l.WSS.ProxyProtocol},
		{"listeners.wss.forwarded", l.WSS.Forwarded},
	} {
		for i, text := range list.items {
			if _, err := parsePrefix(text); err != nil {
				v.report(Item(list.path, i), err.Error(), "write an address or a network, such as 192.0.2.1 or 10.0.0.0/8")
			}
		}
	}
}
