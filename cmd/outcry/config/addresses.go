package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
)

// Address is a network address to listen on.
type Address struct{ Path, Address string }

// Addresses returns all network addresses, enabled or not.
func (c *Config) Addresses() []Address {
	return []Address{
		{"listeners.tcp.address", c.Listeners.TCP.Address},
		{"listeners.tls.address", c.Listeners.TLS.Address},
		{"listeners.ws.address", c.Listeners.WS.Address},
		{"listeners.wss.address", c.Listeners.WSS.Address},
		{"http.address", c.HTTP.Address},
		{"listeners.acme.http_address", c.Listeners.ACME.HTTPAddress},
	}
}

// endpoint is a parsed address.
type endpoint struct {
	path, host string
	addr       netip.Addr // of a numeric host, without IPv4 in IPv6
	port       uint16
}

// isUnspecified reports whether p is on all interfaces: for an unspecified address Go listens on IPv4 and
// IPv6.
func (p *endpoint) isUnspecified() bool {
	return p.host == "" || p.addr.IsValid() && p.addr.IsUnspecified()
}

// conflicts reports whether two endpoints cannot be listened on together.
func (p *endpoint) conflicts(other *endpoint) bool {
	if p.port != other.port || p.port == 0 {
		return false
	}
	return p.isUnspecified() || other.isUnspecified() || p.host == other.host || p.addr.IsValid() && p.addr == other.addr
}

// hostName matches a host name.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$`)

// addresses checks each address, and that no two exclude each other.
func (v *validator) addresses() {
	var taken []endpoint
	for _, a := range v.loaded.Addresses() {
		if a.Address == "" {
			continue
		}
		p, ok := v.endpoint(a.Path, a.Address)
		if !ok {
			continue
		}
		for i := range taken {
			if p.conflicts(&taken[i]) {
				v.report(a.Path, a.Address+" is also the address of "+taken[i].path, "change one of the two")
				break
			}
		}
		taken = append(taken, p)
	}
}

// endpoint parses an address, or reports the problem.
func (v *validator) endpoint(path, text string) (p endpoint, ok bool) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		v.report(path, strconv.Quote(text)+" is not an address", "write host:port, such as 127.0.0.1:1883, or :1883 for all interfaces")
		return p, false
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		v.report(path, fmt.Sprintf("%q is not a port", port), "write 1 to 65535, or 0 for a free one")
		return p, false
	}
	p = endpoint{path: path, host: host, port: uint16(number)}
	if host == "localhost" {
		p.addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	} else if p.addr, err = netip.ParseAddr(host); err == nil {
		p.addr = p.addr.Unmap()
	} else if host != "" && (!hostName.MatchString(host) || len(host) > 253) {
		v.report(path, fmt.Sprintf("%q is not a host", host), "write an address or a name that this machine has, or :"+port+" for all interfaces")
		return p, false
	}
	return p, true
}
