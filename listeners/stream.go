package listeners

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"

	"golang.org/x/crypto/acme"

	"github.com/outcry-mqtt/outcry/broker"
)

// stream is a listener for connections that carry MQTT as it is, with or without TLS around it.
type stream struct {
	// Static after construction.
	name       string
	remote     string // overrides the peer's address, which a unix socket does not have
	attacher   Attacher
	tls        *tls.Config // nil: none
	proxies    proxies     // that begin with the PROXY protocol
	door       door
	accept     *acceptor
	bare       *sockets // accepts in its place where there is nothing to do before MQTT; nil: does not
	handshakes *throttled
	refusals   *throttled
	ctx        context.Context // ends with the listener
	cancel     context.CancelFunc

	mu      sync.Mutex // guards what follows
	stopped bool
	running sync.WaitGroup // Serve and the handshakes it starts
}

func newStream(name string, l net.Listener, to Attacher, slots int, log *slog.Logger) *stream {
	log = logger(log, name)
	s := &stream{
		name:       name,
		attacher:   to,
		door:       door{to: to, timeout: defaultHandshakeTimeout},
		accept:     newAcceptor(l, slots, log),
		handshakes: newThrottled(log),
		refusals:   newThrottled(log),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Name returns the listener's name.
func (s *stream) Name() string { return s.name }

// Addr returns the address that was bound.
func (s *stream) Addr() net.Addr { return s.accept.Addr() }

// Serve accepts connections and hands them to the Attacher until the listener is closed.
func (s *stream) Serve() error {
	if !s.begin() {
		return ErrServerClosed
	}
	defer s.running.Done()
	if s.bare != nil {
		return s.serveBare()
	}
	for {
		c, err := s.accept.Accept()
		if err != nil {
			return err
		}
		link := s.link(c)
		pass, ok := s.door.let(c, remoteOf(&link))
		if !ok {
			s.accept.release()
			continue
		}
		link.Pass = pass
		if s.tls == nil && !s.proxies.sent(c) {
			attach(s.attacher, link, s.refusals)
			s.accept.release()
			continue
		}
		s.running.Go(func() { s.handshake(link) })
	}
}

// serveBare hands descriptors over as they come.
func (s *stream) serveBare() error {
	for {
		some, err := retried(s.accept, s.bare.accept)
		if err != nil {
			return err
		}
		for _, each := range some {
			remote := s.remote
			if remote == "" {
				remote = each.remote.String()
			}
			attach(s.attacher, broker.Link{FD: each.fd, Listener: s.name, Remote: remote}, s.refusals)
		}
	}
}

// begin counts Serve among what Close waits for, unless the listener is closed already.
func (s *stream) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.running.Add(1)
	return true
}

func (s *stream) link(c net.Conn) broker.Link {
	return broker.Link{Conn: c, Listener: s.name, Remote: s.remote}
}

// handshake does within its time limit what comes before MQTT, and hands the connection over.
func (s *stream) handshake(link broker.Link) {
	defer s.accept.release()
	raw := link.Conn
	ctx, cancel := context.WithDeadline(s.ctx, s.door.deadline(link.Pass))
	defer cancel()
	if s.prepare(ctx, &link) {
		attach(s.attacher, link, s.refusals)
		return
	}
	link.Pass.Leave()
	raw.Close()
}

// prepare reads the header of the PROXY protocol, if a proxy must send one, and does the TLS handshake.
func (s *stream) prepare(ctx context.Context, link *broker.Link) bool {
	if s.proxies.sent(link.Conn) {
		client, err := clientOf(ctx, link.Conn)
		if err != nil {
			if s.ctx.Err() == nil {
				logProxyHeader(s.handshakes, link.Conn, err)
			}
			return false
		}
		if client.IsValid() {
			link.Remote = client.String()
		}
		if s.door.from(link.Pass, client) != nil {
			return false
		}
	}
	if s.tls == nil {
		return true
	}
	c := tls.Server(link.Conn, s.tls)
	if err := c.HandshakeContext(ctx); err != nil {
		if s.ctx.Err() == nil {
			s.handshakes.Log(slog.LevelWarn, "tls handshake failed", "remote", remoteOf(link), "error", err)
		}
		return false
	}
	state := c.ConnectionState()
	link.Conn, link.TLS = c, &state
	return state.NegotiatedProtocol != acme.ALPNProto // an authority has its proof
}

// Shutdown stops accepting, drops handshakes in progress and waits until they have ended, or for ctx.
func (s *stream) Shutdown(ctx context.Context) error {
	err := s.stop()
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close is Shutdown without a limit: nothing that it waits for depends on a peer.
func (s *stream) Close() error {
	err := s.stop()
	s.running.Wait()
	return err
}

func (s *stream) stop() error {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.cancel()
	err := s.accept.Close()
	s.bare.close()
	return err
}
