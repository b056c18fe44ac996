package listeners

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

const (
	defaultHandshakeTimeout = 10 * time.Second
	defaultMaxHandshakes    = 1000
)

// TCPOptions say how MQTT comes in by TCP. Attacher is required; zero fields mean the defaults given with them.
type TCPOptions struct {
	Address  string // host:port, "127.0.0.1:1883"; port 0 takes a free one
	Attacher Attacher

	// TLS makes it MQTT over TLS; see CertReloader.Config.
	TLS *tls.Config
	// ProxyProtocol are proxies that begin each connection with the PROXY protocol, version 1 or 2. What they say is the
	// client's address; a connection of theirs without it is closed. From others it is malformed MQTT, or TLS.
	ProxyProtocol []netip.Prefix
	// HandshakeTimeout is how long a TLS handshake and the PROXY protocol before it may take, 10 s, or less if the Attacher
	// says so: see broker.Pass.
	HandshakeTimeout time.Duration
	// MaxHandshakes is how many of them may be going on at once, 1000; while there are as many, further peers wait in
	// the kernel's queue.
	MaxHandshakes int

	// KeepAlive is how long a connection may be silent until TCP probes it, 60 s; negative: it is never probed.
	KeepAlive time.Duration
	// Listener is a socket that is bound already (socket activation); Address and KeepAlive are then not used.
	Listener net.Listener
	// Name is for metrics, logs and hooks: "tcp", or "tls" with TLS.
	Name string
	// ConfigKey is where these options stand in the config file, for errors: "listeners." and the name.
	ConfigKey string
	Logger    *slog.Logger // nil: discard
}

// TCP is a listener for MQTT over TCP, with or without TLS.
type TCP struct{ *stream }

var _ Listener = (*TCP)(nil)

// ListenTCP binds the address; the error of a failure is a *BindError.
func ListenTCP(o TCPOptions) (*TCP, error) {
	o.defaults()
	if o.Attacher == nil {
		return nil, errNoAttacher
	}
	l := o.Listener
	if l == nil {
		var err error
		if l, err = bindTCP(o.Address, o.ConfigKey+".address", o.KeepAlive); err != nil {
			return nil, err
		}
	}
	slots := 0
	if o.TLS != nil || len(o.ProxyProtocol) > 0 {
		slots = o.MaxHandshakes
	}
	s := newStream(o.Name, l, o.Attacher, slots, o.Logger)
	s.tls, s.proxies = o.TLS, o.ProxyProtocol
	s.door.proxies, s.door.timeout = o.ProxyProtocol, o.HandshakeTimeout
	if o.TLS == nil && len(o.ProxyProtocol) == 0 {
		s.bare = newSockets(l)
	}
	return &TCP{s}, nil
}

func (o *TCPOptions) defaults() {
	if o.Address == "" {
		o.Address = "127.0.0.1:1883"
	}
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = defaultHandshakeTimeout
	}
	if o.MaxHandshakes <= 0 {
		o.MaxHandshakes = defaultMaxHandshakes
	}
	if o.Name == "" {
		o.Name = "tcp"
		if o.TLS != nil {
			o.Name = "tls"
		}
	}
	if o.ConfigKey == "" {
		o.ConfigKey = "listeners." + o.Name
	}
}
