package listeners

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// DefaultContentSecurityPolicy lets pages load from and connect to this host only, and nothing inline: a manipulated
// page could not send a token elsewhere. {host} stands for the host and port of the request; some browsers do not
// apply 'self' to WebSockets.
const DefaultContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self' ws://{host} wss://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// policyFor inserts a request's host into a policy. For a Host header that could end a directive it inserts
// "invalid".
func policyFor(policy, host string) string {
	if host == "" || strings.ContainsFunc(host, isNoAuthorityRune) {
		host = "invalid"
	}
	return strings.ReplaceAll(policy, "{host}", host)
}

func isNoAuthorityRune(r rune) bool { return isNoHostRune(r) && !strings.ContainsRune(".:[]_", r) }

// withSecurityHeaders adds headers that restrict pages. They disable the referrer: a page's address may contain a
// token.
func withSecurityHeaders(policy string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policyFor(policy, r.Host))
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		next.ServeHTTP(w, r)
	})
}

// hostLoopback in a list of hosts matches localhost and the loopback addresses.
const hostLoopback = "loopback"

// HostsOwn in a list of hosts matches names that a stranger cannot register in the DNS: localhost, the name of this
// machine with and without .local, the name in the listener's address, and any address.
const HostsOwn = "own"

// hostAddress in a list of hosts matches any IP address.
const hostAddress = "address"

// expandHosts replaces HostsOwn by its expansion.
func expandHosts(list []string, address string) []string {
	at := slices.Index(list, HostsOwn)
	if at < 0 {
		return list
	}
	own := []string{hostLoopback, hostAddress}
	if host := hostname(address); host != "" {
		own = append(own, host)
	}
	if machine, err := os.Hostname(); err == nil {
		own = append(own, machine, machine+".local")
	}
	return slices.Replace(slices.Clone(list), at, at+1, own...)
}

// hosts are the accepted host names; nil: any.
type hosts []string

// allow checks a Host header.
func (list hosts) allow(header string) bool {
	if list == nil {
		return true
	}
	host := hostname(header)
	return slices.ContainsFunc(list, func(h string) bool {
		return strings.EqualFold(h, host) || h == hostLoopback && isLoopbackName(host) || h == hostAddress && isAddress(host)
	})
}

// withHosts answers only requests for one of hosts. Otherwise a stranger's page could reach a server on the reader's
// own machine, by a name that resolves to the stranger first and then to 127.0.0.1 (DNS rebinding).
func withHosts(list hosts, key string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !list.allow(r.Host) {
			text := fmt.Sprintf("this server does not serve the host %q; add it to %s", hostname(r.Host), key)
			http.Error(w, text, http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func isLoopbackName(host string) bool {
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// hostname returns a Host header without port and brackets.
func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}
