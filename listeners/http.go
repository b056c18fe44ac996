package listeners

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
)

const (
	defaultHeaderTimeout  = 10 * time.Second
	defaultMaxHeaderBytes = 16 << 10
	defaultMaxRequests    = 4096
	defaultMaxPages       = 1000

	requestTimeout  = 30 * time.Second // to read a whole request, its body included
	responseTimeout = time.Minute      // to write a response; profiles add their own length
	idleTimeout     = 15 * time.Second // between two requests of one connection
)

// httpLimits bound a peer of an HTTP listener before it is an MQTT client.
type httpLimits struct {
	headerTimeout  time.Duration // also for the TLS handshake
	maxHeaderBytes int
	maxRequests    int // connections with HTTP, idle or not
}

func (l *httpLimits) defaults() {
	if l.headerTimeout <= 0 {
		l.headerTimeout = defaultHeaderTimeout
	}
	if l.maxHeaderBytes <= 0 {
		l.maxHeaderBytes = defaultMaxHeaderBytes
	}
	if l.maxRequests <= 0 {
		l.maxRequests = defaultMaxRequests
	}
}

// httpListener is a net/http server with the interface of a Listener.
type httpListener struct {
	name      string
	server    *http.Server
	accept    *acceptor
	conns     *httpConns
	tls       *tls.Config // nil: none
	admission *admission  // nil: no limits

	wrap func(net.Listener) net.Listener // wraps net/http's listener; nil: no wrapper

	proxies proxies         // that send the PROXY protocol
	refused *rateLimitedLog // log of their malformed connections
}

func newHTTPListener(name string, l net.Listener, limits httpLimits, h http.Handler, log *slog.Logger) *httpListener {
	limits.defaults()
	accept := newAcceptor(l, limits.maxRequests, log)
	conns := &httpConns{fresh: map[net.Conn]struct{}{}, release: accept.release}
	return &httpListener{
		name:   name,
		accept: accept,
		conns:  conns,

		refused: newRateLimitedLog(log),
		server: &http.Server{
			Handler:           h,
			ReadHeaderTimeout: limits.headerTimeout,
			ReadTimeout:       requestTimeout,
			WriteTimeout:      responseTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    limits.maxHeaderBytes,
			ConnState:         conns.observe,
			ConnContext:       withPendingConn,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
	}
}

// useAdmission admits connections by an admission, whose places replace the acceptor's slots.
func (l *httpListener) useAdmission(d *admission) {
	l.admission = d
	l.accept.slots = nil
}

// Name returns the listener's name.
func (l *httpListener) Name() string { return l.name }

// Addr returns the bound address.
func (l *httpListener) Addr() net.Addr { return l.accept.Addr() }

// Serve answers requests until the listener is closed.
func (l *httpListener) Serve() error {
	var incoming net.Listener = l.accept
	if l.admission != nil {
		incoming = &admissionListener{l.accept, *l.admission}
	}
	if len(l.proxies) > 0 {
		incoming = &proxyListener{incoming, l.proxies, l.server.ReadHeaderTimeout, l.refused}
	}
	if l.wrap != nil {
		incoming = l.wrap(incoming)
	}
	if l.tls != nil {
		incoming = tls.NewListener(incoming, http1(l.tls))
	}
	err := l.server.Serve(incoming)
	if l.accept.closed() {
		return ErrServerClosed
	}
	return err
}

// Shutdown stops accepting, drops connections without a request and waits for requests in progress. When ctx ends
// earlier, it cuts them off and returns ctx's error.
func (l *httpListener) Shutdown(ctx context.Context) error {
	err := l.accept.Close()
	l.conns.closeFresh()
	if stopped := l.server.Shutdown(ctx); stopped != nil {
		l.server.Close()
		return stopped
	}
	return err
}

// Close closes all connections that are not attached.
func (l *httpListener) Close() error {
	err := l.accept.Close()
	l.conns.closeFresh()
	l.server.Close()
	return err
}

// http1 returns a copy of c that offers HTTP/1.1 only: a WebSocket is an upgrade of it (RFC 6455 4.1). A validating
// ACME authority is served too; net/http then closes its connection.
func http1(c *tls.Config) *tls.Config {
	c = c.Clone()
	if !slices.Contains(c.NextProtos, acme.ALPNProto) {
		c.NextProtos = []string{"http/1.1"}
	}
	if choose := c.GetConfigForClient; choose != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if chosen == nil || err != nil {
				return nil, err
			}
			return http1(chosen), nil
		}
	}
	return c
}

// httpConns tracks the connections of a server while they use HTTP.
type httpConns struct {
	release func() // called once for each connection that was upgraded or closed

	mu      sync.Mutex // guards the fields below
	fresh   map[net.Conn]struct{}
	closing bool
}

// observe is the server's ConnState callback.
func (h *httpConns) observe(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if !h.add(c) {
			c.Close()
		}
	case http.StateActive:
		h.remove(c)
	case http.StateHijacked, http.StateClosed:
		h.remove(c)
		h.release()
	}
}

func (h *httpConns) add(c net.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return false
	}
	h.fresh[c] = struct{}{}
	return true
}

func (h *httpConns) remove(c net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.fresh, c)
}

// closeFresh closes the connections without a request. Browsers open connections in advance, and net/http's Shutdown
// would wait five seconds for each.
func (h *httpConns) closeFresh() {
	h.mu.Lock()
	h.closing = true
	fresh := h.fresh
	h.fresh = map[net.Conn]struct{}{}
	h.mu.Unlock()
	for c := range fresh {
		c.Close()
	}
}
