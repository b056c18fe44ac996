package listeners

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// DefaultContentSecurityPolicy lets pages load only what this host serves, and connect to any broker. Charts set
// styles on their elements.
const DefaultContentSecurityPolicy = "default-src 'self'; connect-src 'self' ws: wss:; " +
	"style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; " +
	"form-action 'self'; frame-ancestors 'none'"

// withSecurityHeaders tells browsers what pages may do. There is no referrer: a page's address may carry a token.
func withSecurityHeaders(policy string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		next.ServeHTTP(w, r)
	})
}

// hostLoopback in a list of hosts stands for localhost and the loopback addresses.
const hostLoopback = "loopback"

// withHosts answers only requests for one of hosts; nil: for any. Without it a page of a stranger can reach a server
// on the reader's own machine, by a name that first leads to the stranger and then to 127.0.0.1 (DNS rebinding).
func withHosts(hosts []string, key string, next http.Handler) http.Handler {
	if hosts == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostname(r.Host); !hostAllowed(hosts, host) {
			text := fmt.Sprintf("this server does not answer for the host %q; add it to %s", host, key)
			http.Error(w, text, http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func hostAllowed(hosts []string, host string) bool {
	return slices.ContainsFunc(hosts, func(h string) bool {
		return strings.EqualFold(h, host) || h == hostLoopback && isLoopbackName(host)
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
