package listeners

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// DefaultContentSecurityPolicy lets pages load only what this host serves, nothing inline, and connect only to it: a page
// that somebody managed to change could not carry a token away. {host} stands for the host and port that the page was
// asked for at; not all browsers take 'self' for WebSockets, too.
const DefaultContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self' ws://{host} wss://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// policyFor puts a request's host into a policy. Host headers may hold what ends a directive; of such there is no page.
func policyFor(policy, host string) string {
	if host == "" || strings.ContainsFunc(host, isNoAuthorityRune) {
		host = "invalid"
	}
	return strings.ReplaceAll(policy, "{host}", host)
}

func isNoAuthorityRune(r rune) bool { return isNoHostRune(r) && !strings.ContainsRune(".:[]_", r) }

// withSecurityHeaders tells browsers what pages may do. There is no referrer: a page's address may carry a token.
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

// hostLoopback in a list of hosts stands for localhost and the loopback addresses.
const hostLoopback = "loopback"

// hosts are whom a server answers for; nil: for any.
type hosts []string

// allow decides on a Host header.
func (list hosts) allow(header string) bool {
	if list == nil {
		return true
	}
	host := hostname(header)
	return slices.ContainsFunc(list, func(h string) bool {
		return strings.EqualFold(h, host) || h == hostLoopback && isLoopbackName(host)
	})
}

// withHosts answers only requests for one of hosts. Without it a page of a stranger can reach a server
// on the reader's own machine, by a name that first leads to the stranger and then to 127.0.0.1 (DNS rebinding).
func withHosts(list hosts, key string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !list.allow(r.Host) {
			text := fmt.Sprintf("this server does not answer for the host %q; add it to %s", hostname(r.Host), key)
			http.Error(w, text, http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLoopbackName(host string) bool {
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// hostname returns a Host header without its port and brackets.
func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}
