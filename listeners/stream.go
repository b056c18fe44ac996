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

// stream is a listener for plain MQTT connections, with or without TLS.
type stream struct {
	// Static after construction.
	name       string
	remote     string // replaces the peer's address; a unix socket has none
	attacher   Attacher
	tls        *tls.Config // nil: none
	proxies    proxies     // that send the PROXY protocol
	admission  admission
	accept     *acceptor
	bare       *sockets // accepts instead, if nothing precedes MQTT; nil: unused
	handshakes *rateLimitedLog
	refusals   *rateLimitedLog
	ctx        context.Context // ends with the listener
	cancel     context.CancelFunc

	mu      sync.Mutex // guards the fields below
	stopped bool
	running sync.WaitGroup // Serve and its handshakes
}

func newStream(name string, l net.Listener, to Attacher, log *slog.Logger) *stream {
	log = logger(log, name)
	s := &stream{
		name:       name,
		attacher:   to,
		admission:  admission{to: to, timeout: defaultHandshakeTimeout, full: newRateLimitedLog(log)},
		accept:     newAcceptor(l, 0, log),
		handshakes: newRateLimitedLog(log),
		refusals:   newRateLimitedLog(log),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Name returns the listener's name.
func (s *stream) Name() string { return s.name }

// Addr returns the bound address.
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
		if s.tls == nil && !s.proxies.sent(c) {
			if s.admit(&link) {
				attach(s.attacher, link, s.refusals)
			}
			continue
		}
		pl := s.admission.place(c, s.accept.closing)
		if pl == nil {
			continue
		}
		if !s.admit(&link) {
			pl.release()
			continue
		}
		s.running.Go(func() { s.handshake(link, pl) })
	}
}

// admit counts a connection, or closes it.
func (s *stream) admit(link *broker.Conn) (ok bool) {
	link.Ticket, ok = s.admission.admit(link.Conn, remoteOf(link))
	return ok
}

// serveBare accepts bare descriptors and hands them over.
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
			attach(s.attacher, broker.Conn{FD: each.fd, Listener: s.name, Remote: remote}, s.refusals)
		}
	}
}

// begin registers Serve for Close to wait for, unless the listener is closed already.
func (s *stream) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.running.Add(1)
	return true
}

func (s *stream) link(c net.Conn) broker.Conn {
	return broker.Conn{Conn: c, Listener: s.name, Remote: s.remote}
}

// handshake completes everything before MQTT within its time limit, and hands the connection over.
func (s *stream) handshake(link broker.Conn, pl *place) {
	raw := link.Conn
	ctx, cancel := context.WithDeadline(s.ctx, s.admission.deadline(link.Ticket))
	defer cancel()
	ready := s.prepare(ctx, &link, pl)
	if pl.release() && ready {
		attach(s.attacher, link, s.refusals)
		return
	}
	link.Ticket.Leave()
	raw.Close()
}

// prepare reads the PROXY protocol header, if a proxy must send one, and does the TLS handshake.
func (s *stream) prepare(ctx context.Context, link *broker.Conn, pl *place) bool {
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
		if s.admission.attribute(link.Ticket, pl, client) != nil {
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
	return state.NegotiatedProtocol != acme.ALPNProto // an authority has validated the host
}

// Shutdown stops accepting, drops handshakes in progress and waits for their end, or for ctx.
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

// Close is Shutdown without a time limit: it waits for no peer.
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
