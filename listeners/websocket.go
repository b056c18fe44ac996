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
	"github.com/outcry-mqtt/outcry/listeners/firstread"
)

// Subprotocols are the supported WebSocket subprotocols: MQTT 3.1.1 and 5.0 [MQTT-6.0.0-3], and MQTT 3.1.
var Subprotocols = []string{"mqtt", "mqttv3.1"}

// WebSocketOptions configure MQTT over WebSocket, and the pages on the same port. Attacher is required; other zero
// values mean the default in the comment.
type WebSocketOptions struct {
	Address  string // host:port, "127.0.0.1:8083"; port 0 takes a free one
	Attacher Attacher
	// Paths are the paths of the WebSocket, "/mqtt".
	Paths []string
	// Pages answers all other paths; nil: 404.
	Pages http.Handler
	// ContentSecurityPolicy restricts the pages, DefaultContentSecurityPolicy. {host} in it stands for the host and
	// port of the request.
	ContentSecurityPolicy string

	// TLS enables wss and https; see CertReloader.Config. It always offers HTTP/1.1 only.
	TLS *tls.Config
	// Origins are the origins whose pages may open a WebSocket: "self" (the same host and port),
	// "https://app.example.com", "https://*.example.com", "http://localhost:*", an app's such as
	// "capacitor://localhost" or "file://", "null" or "*"; nil: "self", empty: none. Clients without an Origin header
	// are no browsers, and may.
	Origins []string
	// Hosts are the accepted names in the Host header; "loopback" stands for localhost and the loopback addresses,
	// HostsOwn for all names of this machine; nil: any. Set it for a broker with anonymous clients: without TLS a
	// stranger's page reaches the broker by a name that resolves to it (DNS rebinding).
	Hosts []string
	// AllowNoSubprotocol accepts a client that offers no subprotocol, although the specification requires one
	// [MQTT-6.0.0-3]; by default it is refused with an explanation.
	AllowNoSubprotocol bool
	// Compression agrees to offers of permessage-deflate (RFC 7692), always without context takeover.
	Compression bool

	// ProxyProtocol are proxies that begin each connection with the PROXY protocol, as in TCPOptions.
	ProxyProtocol []netip.Prefix
	// Forwarded are proxies that name their client in ForwardedHeader, XForwardedFor or Forwarded. Requests from
	// other addresses count for their sender.
	Forwarded       []netip.Prefix
	ForwardedHeader string // XForwardedFor

	// HeaderTimeout bounds the PROXY protocol, TLS and the header of the first request together, 10 s, or less if the
	// Attacher says so: see broker.Ticket. A peer that loads pages has as long for each further header.
	HeaderTimeout time.Duration
	// MaxHeaderBytes bounds such a header, 16 KiB (and 4 KiB that net/http adds).
	MaxHeaderBytes int
	// MaxRequests bounds the connections before MQTT, 4096: upgrades and silent peers. While all places are taken, an
	// address with few evicts the oldest connection of the address with most, and a connection from an address with
	// many is closed. If no address has many, or only one has any, further ones wait in the kernel's queue.
	MaxRequests int
	// MaxPages bounds the connections that load pages, 1000, shared among addresses likewise; more are answered with
	// 503. A connection may load pages for a minute.
	MaxPages int
	// KeepAlive is the idle time before TCP keep-alive probes, 60 s; negative: no probes.
	KeepAlive time.Duration
	// Ping is the idle time before a WebSocket ping, 25 s; negative: no pings. Proxies close idle connections, most
	// after 60 s.
	Ping time.Duration

	// Listener is an already bound socket (socket activation); Address and KeepAlive are then ignored.
	Listener net.Listener
	// Name is for metrics, logs and hooks: "ws", or "wss" with TLS.
	Name string
	// ConfigKey is the key of these options in the config file, for errors: "listeners." and the name.
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
	ping         time.Duration
	needProtocol bool
	compression  bool
	configKey    string
	refused      *rateLimitedLog // log of refused requests
	refusals     *rateLimitedLog // log of connections that the Attacher refused
}

var _ Listener = (*WebSocket)(nil)

// ListenWebSocket checks the options and binds the address. A failed bind is a *BindError.
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
		ping:         max(o.Ping, 0),
		needProtocol: !o.AllowNoSubprotocol,
		compression:  o.Compression,
		configKey:    o.ConfigKey,
		refused:      newRateLimitedLog(log),
		refusals:     newRateLimitedLog(log),
	}
	w.upgrader = websocket.Upgrader{
		HandshakeTimeout: o.HeaderTimeout,
		Subprotocols:     Subprotocols,
		CheckOrigin:      func(*http.Request) bool { return true }, // refusal has checked it
	}
	limits := httpLimits{o.HeaderTimeout, o.MaxHeaderBytes, o.MaxRequests}
	w.httpListener = newHTTPListener(o.Name, l, limits, w.routes(&o), log)
	w.tls, w.proxies = o.TLS, o.ProxyProtocol
	if o.TLS == nil { // net/http does the TLS handshake itself
		w.wrap = func(l net.Listener) net.Listener { return &firstread.Listener{Listener: l, Upgrade: w.upgradeFirst} }
	}
	w.useAdmission(&admission{
		to: o.Attacher, proxies: slices.Concat(o.ProxyProtocol, o.Forwarded), timeout: o.HeaderTimeout,
		places: newPlaces(o.MaxRequests), pages: newPlaces(o.MaxPages), full: newRateLimitedLog(log),
	})
	return w, nil
}

func (o *WebSocketOptions) defaults() {
	if o.Address == "" {
		o.Address = "127.0.0.1:8083"
	}
	if o.Paths == nil {
		o.Paths = []string{"/mqtt"}
	}
	o.Hosts = expandHosts(o.Hosts, o.Address)
	if o.ForwardedHeader == "" {
		o.ForwardedHeader = XForwardedFor
	}
	if o.Pages == nil {
		o.Pages = http.NotFoundHandler()
	}
	if o.ContentSecurityPolicy == "" {
		o.ContentSecurityPolicy = DefaultContentSecurityPolicy
	}
	if o.MaxRequests <= 0 {
		o.MaxRequests = defaultMaxRequests
	}
	if o.MaxPages <= 0 {
		o.MaxPages = defaultMaxPages
	}
	if o.HeaderTimeout <= 0 {
		o.HeaderTimeout = defaultHeaderTimeout
	}
	if o.Ping == 0 {
		o.Ping = 25 * time.Second
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

// routes returns the handler of the port.
func (w *WebSocket) routes(o *WebSocketOptions) http.Handler {
	pages := withPlace(o.Pages)
	split := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if slices.Contains(w.paths, r.URL.Path) {
			w.upgrade(rw, r)
			return
		}
		pages.ServeHTTP(rw, r)
	})
	return withSecurityHeaders(o.ContentSecurityPolicy, withHosts(w.hosts, o.ConfigKey+".hosts", split))
}
