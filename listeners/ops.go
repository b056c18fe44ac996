package listeners

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"
)

const opsContentSecurityPolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

// opsIndex is the operator's first page.
const opsIndex = `<!doctype html>
<title>Outcry: operator's pages</title>
<h1>Outcry</h1>
<ul>
<li><a href="/metrics">/metrics</a> for Prometheus
<li><a href="/healthz">/healthz</a> 200 while the process lives
<li><a href="/readyz">/readyz</a> 200 while it takes clients, else 503 and why not
<li><a href="/debug/pprof/">/debug/pprof/</a> profiles
</ul>
`

// OpsOptions say what the operator's HTTP serves. Zero fields mean the defaults given with them.
type OpsOptions struct {
	Address string       // host:port, "127.0.0.1:9090"; port 0 takes a free one
	Metrics http.Handler // of /metrics; nil: 404
	// Ready returns what prevents the broker from taking clients; nil: nothing ever does.
	Ready func() []error

	// AllowRemote lets Address be one that other machines can reach. Nothing here asks for a password, and profiles
	// show what is in memory; so it is refused otherwise.
	AllowRemote bool
	// Hosts are the names that requests may be for, as in WebSocketOptions; nil: "loopback", or any with AllowRemote.
	Hosts []string

	KeepAlive time.Duration // as in WebSocketOptions
	Name      string        // for logs: "http"
	ConfigKey string        // where these options stand in the config file, for errors: the name
	Logger    *slog.Logger  // nil: discard
}

// Ops is the listener of the operator's HTTP: metrics, health and profiles.
type Ops struct{ *httpListener }

var _ Listener = (*Ops)(nil)

// ListenOps binds the address; the error of a failure is a *BindError.
func ListenOps(o OpsOptions) (*Ops, error) {
	o.defaults()
	if !o.AllowRemote && !IsLoopback(o.Address) {
		return nil, remoteRefused(o.Address, o.ConfigKey)
	}
	l, err := bindTCP(o.Address, o.ConfigKey+".address", o.KeepAlive)
	if err != nil {
		return nil, err
	}
	h := withSecurityHeaders(opsContentSecurityPolicy, withHosts(o.Hosts, o.ConfigKey+".hosts", opsRoutes(&o)))
	return &Ops{newHTTPListener(o.Name, l, httpLimits{}, h, logger(o.Logger, o.Name))}, nil
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
	if o.Hosts == nil && !o.AllowRemote {
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
		Reason:  "metrics and profiles would be open to other machines without a password",
		Hint:    fmt.Sprintf("use 127.0.0.1 in %s.address or set %s.allow_remote", key, key),
	}
	if _, port, err := net.SplitHostPort(address); err == nil {
		e.Hint = fmt.Sprintf("use 127.0.0.1:%s in %s.address or set %s.allow_remote", port, key, key)
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
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol) // go tool pprof asks this way
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
