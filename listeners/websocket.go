package listeners

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// Subprotocols are the WebSocket subprotocols that are spoken: MQTT 3.1.1 and 5.0 [MQTT-6.0.0-3], and MQTT 3.1.
var Subprotocols = []string{"mqtt", "mqttv3.1"}

// WebSocketOptions say how MQTT comes in by WebSocket, and what else the same port serves. Attacher is required; zero
// fields mean the defaults given with them.
type WebSocketOptions struct {
	Address  string // host:port, "127.0.0.1:8083"; port 0 takes a free one
	Attacher Attacher
	// Paths are where a WebSocket may be opened, "/mqtt".
	Paths []string
	// Pages answers all other paths; nil: 404.
	Pages http.Handler
	// ContentSecurityPolicy is what the pages may do, DefaultContentSecurityPolicy. {host} in it stands for the host and
	// port of the request.
	ContentSecurityPolicy string

	// TLS makes it wss and https; see CertReloader.Config. Only HTTP/1.1 is offered, whatever it says.
	TLS *tls.Config
	// Origins are whose pages may open a WebSocket: "self" (the same host and port), "https://app.example.com",
	// "https://*.example.com", "http://localhost:*", "null" or "*"; nil: "self", empty: none. Clients that send no Origin are not
	// browsers and may.
	Origins []string
	// Hosts are the names that requests may be for, by their Host header; "loopback" stands for localhost and the
	// loopback addresses; nil: any. A broker that lets anonymous clients in should set it.
	Hosts []string
	// AllowNoSubprotocol lets a client in that offers no subprotocol. The protocol says that it must
	// [MQTT-6.0.0-3]; by default it is told so and refused.
	AllowNoSubprotocol bool
	// Compression lets clients that offer it have permessage-deflate (RFC 7692), always without context takeover.
	Compression bool

	// ProxyProtocol are proxies that begin each connection with the PROXY protocol, as in TCPOptions.
	ProxyProtocol []netip.Prefix
	// Forwarded are proxies that say in ForwardedHeader, XForwardedFor or Forwarded, whom they speak for. It is not
	// looked at in requests of others, which are from who sent them.
	Forwarded       []netip.Prefix
	ForwardedHeader string // XForwardedFor

	// HeaderTimeout is how long a peer may take for the PROXY protocol, TLS and the header of its first request together,
	// 10 s, or less if the Attacher says so: see broker.Pass. A peer that loads pages has as long for each further header.
	HeaderTimeout time.Duration
	// MaxHeaderBytes is how long such a header may be, 16 KiB (and 4 KiB that net/http adds).
	MaxHeaderBytes int
	// MaxRequests is how many connections may speak HTTP at once, 4096: pages, upgrades and peers that say nothing.
	// While there are as many, further ones wait in the kernel's queue. Connections that were upgraded don't count.
	MaxRequests int
	// KeepAlive is how long a connection may be silent until TCP probes it, 60 s; negative: it is never probed.
	KeepAlive time.Duration

	// Listener is a socket that is bound already (socket activation); Address and KeepAlive are then not used.
	Listener net.Listener
	// Name is for metrics, logs and hooks: "ws", or "wss" with TLS.
	Name string
	// ConfigKey is where these options stand in the config file, for errors: "listeners." and the name.
	ConfigKey string
	Logger    *slog.Logger // nil: discard
}

// WebSocket is a listener for MQTT over WebSocket and for pages, with or without TLS.
type WebSocket struct {
	*httpListener

	attacher     Attacher
	upgrader     websocket.Upgrader
	paths        []string
	hosts        hosts
	origins      origins
	forwarded    forwarded
	needProtocol bool
	compression  bool
	configKey    string
	refused      *throttled // clients that were turned away
	refusals     *throttled // connections that the attacher did not take
}

var _ Listener = (*WebSocket)(nil)

// ListenWebSocket checks the options and binds the address; the error of a failed bind is a *BindError.
func ListenWebSocket(o WebSocketOptions) (*WebSocket, error) {
	o.defaults()
	if o.Attacher == nil {
		return nil, errNoAttacher
	}
	if err := checkPaths(o.Paths, o.ConfigKey+".paths"); err != nil {
		return nil, err
	}
	allowed, err := parseOrigins(o.Origins, o.ConfigKey+".origins")
	if err != nil {
		return nil, err
	}
	l := o.Listener
	if l == nil {
		if l, err = bindTCP(o.Address, o.ConfigKey+".address", o.KeepAlive); err != nil {
			return nil, err
		}
	}
	log := logger(o.Logger, o.Name)
	w := &WebSocket{
		attacher:     o.Attacher,
		paths:        o.Paths,
		hosts:        o.Hosts,
		origins:      allowed,
		forwarded:    forwarded{o.Forwarded, o.ForwardedHeader},
		needProtocol: !o.AllowNoSubprotocol,
		compression:  o.Compression,
		configKey:    o.ConfigKey,
		refused:      newThrottled(log),
		refusals:     newThrottled(log),
	}
	w.upgrader = websocket.Upgrader{
		HandshakeTimeout: o.HeaderTimeout,
		Subprotocols:     Subprotocols,
		CheckOrigin:      func(*http.Request) bool { return true }, // refusal has looked at it
	}
	limits := httpLimits{o.HeaderTimeout, o.MaxHeaderBytes, o.MaxRequests}
	w.httpListener = newHTTPListener(o.Name, l, limits, w.routes(&o), log)
	w.tls, w.proxies = o.TLS, o.ProxyProtocol
	if o.TLS == nil { // net/http wants to do the handshake itself
		w.wrap = func(l net.Listener) net.Listener { return &firstReadListener{l, w} }
	}
	w.door = &door{to: o.Attacher, proxies: slices.Concat(o.ProxyProtocol, o.Forwarded), timeout: o.HeaderTimeout}
	return w, nil
}

func (o *WebSocketOptions) defaults() {
	if o.Address == "" {
		o.Address = "127.0.0.1:8083"
	}
	if o.Paths == nil {
		o.Paths = []string{"/mqtt"}
	}
	if o.ForwardedHeader == "" {
		o.ForwardedHeader = XForwardedFor
	}
	if o.Pages == nil {
		o.Pages = http.NotFoundHandler()
	}
	if o.ContentSecurityPolicy == "" {
		o.ContentSecurityPolicy = DefaultContentSecurityPolicy
	}
	if o.HeaderTimeout <= 0 {
		o.HeaderTimeout = defaultHeaderTimeout
	}
	if o.Name == "" {
		o.Name = "ws"
		if o.TLS != nil {
			o.Name = "wss"
		}
	}
	if o.ConfigKey == "" {
		o.ConfigKey = "listeners." + o.Name
	}
}

func checkPaths(paths []string, key string) error {
	for i, path := range paths {
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#") {
			return fmt.Errorf("%s[%d]: %q is not a path; write one such as /mqtt", key, i, path)
		}
	}
	return nil
}

// routes puts together what the port serves.
func (w *WebSocket) routes(o *WebSocketOptions) http.Handler {
	split := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if slices.Contains(w.paths, r.URL.Path) {
			w.upgrade(rw, r)
			return
		}
		serves(r)
		o.Pages.ServeHTTP(rw, r)
	})
	return withSecurityHeaders(o.ContentSecurityPolicy, withHosts(w.hosts, o.ConfigKey+".hosts", split))
}
