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

// TCPOptions configure MQTT over TCP. Attacher is required; other zero values mean the default in the comment.
type TCPOptions struct {
	Address  string // host:port, "127.0.0.1:1883"; port 0 takes a free one
	Attacher Attacher

	// TLS enables TLS; see CertReloader.Config.
	TLS *tls.Config
	// ProxyProtocol are proxies that begin each connection with the PROXY protocol, version 1 or 2, which names the
	// client's address. Their connections are closed without it. From other addresses it is malformed MQTT, or TLS.
	ProxyProtocol []netip.Prefix
	// HandshakeTimeout bounds a TLS handshake and the PROXY protocol before it, 10 s, or less if the Attacher says
	// so: see broker.Ticket.
	HandshakeTimeout time.Duration
	// MaxHandshakes bounds concurrent handshakes, 1000; further peers wait in the kernel's queue.
	MaxHandshakes int

	// KeepAlive is the idle time before TCP keep-alive probes, 60 s; negative: no probes.
	KeepAlive time.Duration
	// Listener is an already bound socket (socket activation); Address and KeepAlive are then ignored.
	Listener net.Listener
	// Name is for metrics, logs and hooks: "tcp", or "tls" with TLS.
	Name string
	// ConfigKey is the key of these options in the config file, for errors: "listeners." and the name.
	ConfigKey string
	Logger    *slog.Logger // nil: discard
}

// TCP is a listener for MQTT over TCP, with or without TLS.
type TCP struct{ *stream }

var _ Listener = (*TCP)(nil)

// ListenTCP binds the address. A failure is a *BindError.
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
	s := newStream(o.Name, l, o.Attacher, o.Logger)
	s.admission.places = newPlaces(o.MaxHandshakes)
	s.tls, s.proxies = o.TLS, o.ProxyProtocol
	s.admission.proxies, s.admission.timeout = o.ProxyProtocol, o.HandshakeTimeout
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
