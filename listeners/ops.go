package listeners

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/url"
	"strings"
	"time"
)

const opsContentSecurityPolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

// opsIndex is the operator's start page.
const opsIndex = `<!doctype html>
<title>Outcry: operator's pages</title>
<h1>Outcry</h1>
<ul>
<li><a href="/metrics">/metrics</a> for Prometheus
<li><a href="/healthz">/healthz</a> 200 while the process runs
<li><a href="/readyz">/readyz</a> 200 while it accepts clients, else 503 and the reason
<li><a href="/debug/pprof/">/debug/pprof/</a> profiles
</ul>
`

// OpsOptions configure the operator's HTTP. Zero values mean the default in the comment.
type OpsOptions struct {
	Address string       // host:port, "127.0.0.1:9090"; port 0 takes a free one
	Metrics http.Handler // for /metrics; nil: 404
	// Handlers are further handlers by their http.ServeMux patterns. A handler that changes state must refuse
	// requests of web pages: TokenFile may be missing.
	Handlers map[string]http.Handler
	// Ready returns the reasons why the broker cannot accept clients; nil: always ready.
	Ready func() []error

	// TokenFile holds the token of "Authorization: Bearer", required except for /healthz and /readyz; "": no token.
	// Address must then be loopback: profiles reveal memory contents. Only its owner may have read access.
	TokenFile string
	// Hosts are the accepted host names, as in WebSocketOptions; nil: "loopback", or any if Address is reachable from
	// other machines.
	Hosts []string

	KeepAlive time.Duration // as in WebSocketOptions
	Name      string        // for logs: "http"
	ConfigKey string        // key of these options in the config file, for errors: the name
	Logger    *slog.Logger  // nil: discard
}

// Ops is the listener of the operator's HTTP: metrics, health and profiles.
type Ops struct {
	*httpListener

	bearer *bearer // nil: no token is required
}

var _ Listener = (*Ops)(nil)

// ListenOps reads the token and binds the address. A failure is a *BindError.
func ListenOps(o OpsOptions) (*Ops, error) {
	o.defaults()
	b, err := o.bearer()
	if err != nil {
		return nil, err
	}
	routes := opsRoutes(&o)
	if b != nil {
		routes = b.wrap(routes, "/healthz", "/readyz")
	}
	l, err := bindTCP(o.Address, o.ConfigKey+".address", o.KeepAlive)
	if err != nil {
		return nil, err
	}
	h := withSecurityHeaders(opsContentSecurityPolicy, withHosts(o.Hosts, o.ConfigKey+".hosts", withoutOtherSites(routes)))
	return &Ops{newHTTPListener(o.Name, l, httpLimits{}, h, logger(o.Logger, o.Name)), b}, nil
}

// bearer reads the token, if there is one. It is required if other machines can reach the address.
func (o *OpsOptions) bearer() (*bearer, error) {
	if o.TokenFile == "" {
		if !IsLoopback(o.Address) {
			return nil, remoteRefused(o.Address, o.ConfigKey)
		}
		return nil, nil
	}
	b, err := newBearer(o.TokenFile)
	if err != nil {
		return nil, &BindError{Address: o.Address, Key: o.ConfigKey + ".token_file", Reason: err.Error(), Hint: "see " + o.ConfigKey + ".token_file", Err: err}
	}
	return b, nil
}

// Refused returns the number of requests without the right token.
func (o *Ops) Refused() uint64 {
	if o.bearer == nil {
		return 0
	}
	return o.bearer.refused.Load()
}

// ReloadToken reads the token's file again, if there is one. After an error the old token applies.
func (o *Ops) ReloadToken() error {
	if o.bearer == nil {
		return nil
	}
	return o.bearer.reload()
}

func (o *OpsOptions) defaults() {
	if o.Address == "" {
		o.Address = "127.0.0.1:9090"
	}
	if o.Metrics == nil {
		o.Metrics = http.NotFoundHandler()
	}
	if o.Ready == nil {
		o.Ready = func() []error { return nil }
	}
	if o.Hosts == nil && IsLoopback(o.Address) {
		o.Hosts = []string{hostLoopback}
	}
	if o.Name == "" {
		o.Name = "http"
	}
	if o.ConfigKey == "" {
		o.ConfigKey = o.Name
	}
}

func remoteRefused(address, key string) *BindError {
	e := &BindError{
		Address: address,
		Key:     key + ".address",
		Reason:  "metrics and profiles would be open to other machines without a token",
		Hint:    fmt.Sprintf("use 127.0.0.1 in %s.address or set %s.token_file", key, key),
	}
	if _, port, err := net.SplitHostPort(address); err == nil {
		e.Hint = fmt.Sprintf("use 127.0.0.1:%s in %s.address or set %s.token_file", port, key, key)
	}
	return e
}

func opsRoutes(o *OpsOptions) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, opsIndex)
	})
	mux.Handle("GET /metrics", o.Metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { ready(w, o.Ready()) })
	for pattern, h := range o.Handlers {
		mux.Handle(pattern, h)
	}
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol) // used by go tool pprof
	return mux
}

func ready(w http.ResponseWriter, reasons []error) {
	if len(reasons) == 0 {
		plain(w, http.StatusOK, "ready")
		return
	}
	lines := make([]string, len(reasons))
	for i, err := range reasons {
		lines[i] = err.Error()
	}
	plain(w, http.StatusServiceUnavailable, strings.Join(lines, "\n"))
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// operatorHeader in a request, with any value, shows that no page of another site has sent it: a browser lets a page
// add such a header only if the server agrees first (CORS), and this one never does.
const operatorHeader = "X-Outcry-Operator"

const crossSiteText = "requests from pages of other sites are refused"

const noHeaderText = "the request may come from a page of another site; send the header " + operatorHeader + ": 1"

// withoutOtherSites refuses requests of other sites' pages. On loopback there may be no token, and the visitor's
// browser sends a page's GET requests although the page cannot read the answer. The browser's own headers decide
// (Fetch Metadata). Expensive or state-changing requests also need a header that no such page can send, for browsers
// without that metadata.
func withoutOtherSites(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case fromOtherSite(r):
			http.Error(w, crossSiteText, http.StatusForbidden)
		case !isCheap(r.URL.Path) && !isOperators(r):
			http.Error(w, noHeaderText, http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// fromOtherSite reports whether a browser marks a request as sent by a page of another site, or of another port of
// this host.
func fromOtherSite(r *http.Request) bool {
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" {
			return true
		}
	}
	for _, origin := range r.Header.Values("Origin") {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return true
		}
	}
	return false
}

// isCheap reports whether any page may request a path.
func isCheap(path string) bool {
	switch path {
	case "/", "/metrics", "/healthz", "/readyz", "/debug/pprof/":
		return true
	}
	return false
}

// isOperators reports whether a request has a header that another site's page cannot send. Such pages cannot choose
// the User-Agent either, so one that no browser has is enough: that of curl, or of go tool pprof, which cannot add
// headers.
func isOperators(r *http.Request) bool {
	if r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get(operatorHeader) != "" || r.Header.Get("Authorization") != "" {
		return true // fromOtherSite has checked the first one's value
	}
	agent := r.UserAgent()
	return agent != "" && !strings.HasPrefix(agent, "Mozilla/")
}
