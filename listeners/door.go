package listeners

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
)

// door lets connections in one by one as soon as they are accepted. One that is over a limit of its address is closed at
// once: before TLS, before anything of it is read.
type door struct {
	to      Attacher
	proxies proxies       // whose connections are counted once it is known who is behind them
	timeout time.Duration // for everything before MQTT, if the Attacher does not set a shorter one
}

// let counts a connection, or closes it.
func (d *door) let(c net.Conn, remote string) (*broker.Pass, bool) {
	if d.proxies.sent(c) {
		remote = ""
	}
	p, err := d.to.Enter(remote)
	if err != nil {
		c.Close()
		return nil, false
	}
	return p, true
}

// deadline is when everything before MQTT must be done; what is left until the Attacher's deadline is for CONNECT.
func (d *door) deadline(p *broker.Pass) time.Time {
	ours, theirs := time.Now().Add(d.timeout), p.Deadline()
	if theirs.IsZero() || ours.Before(theirs) {
		return ours
	}
	return theirs
}

// from counts a connection for who is behind a proxy, as that has said. Another proxy will tell with its request.
func (d *door) from(p *broker.Pass, client netip.AddrPort) error {
	if !client.IsValid() || d.proxies.has(client.Addr()) {
		return nil
	}
	return p.From(client.String())
}

// doorListener is a net.Listener whose connections have come through a door.
type doorListener struct {
	*acceptor
	door door
}

// Accept returns the next connection that is let in, as a *guest.
func (l *doorListener) Accept() (net.Conn, error) {
	for {
		c, err := l.acceptor.Accept()
		if err != nil {
			return nil, err
		}
		p, ok := l.door.let(c, c.RemoteAddr().String())
		if !ok {
			l.acceptor.release()
			continue
		}
		g := &guest{Conn: c, door: &l.door, pass: p}
		g.timer = time.AfterFunc(time.Until(l.door.deadline(p)), g.expire)
		return g, nil
	}
}

// guest is a connection that speaks HTTP, or TLS before that. It is closed when the time for its first request, or for
// becoming a WebSocket, is over.
type guest struct {
	net.Conn
	door  *door
	pass  *broker.Pass
	timer *time.Timer

	mu     sync.Mutex // guards what follows
	served bool       // it has had an answer that was no upgrade
}

// expire closes the connection when its time is over, which may be before its timer is set.
func (g *guest) expire() {
	g.pass.Leave()
	_ = g.Conn.Close()
}

// Close closes the connection, unless the Attacher has it.
func (g *guest) Close() error {
	g.timer.Stop()
	g.pass.Leave()
	return g.Conn.Close()
}

// CloseWrite lets net/http end a connection so that the peer gets the last answer.
func (g *guest) CloseWrite() error { return closeWrite(g.Conn) }

// closeWrite ends what is written to a connection, if that can be done by itself.
func closeWrite(c net.Conn) error {
	if c, ok := c.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// serve notes that the connection loads a page, which has limits of its own.
func (g *guest) serve() {
	g.timer.Stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.served = true
}

// hand takes the pass of a connection that is upgraded. One that has loaded pages before begins anew.
func (g *guest) hand() *broker.Pass {
	g.timer.Stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.served {
		g.pass.Leave()
		return nil
	}
	return g.pass
}

// guestOf finds the guest behind TLS and the PROXY protocol; nil: there is none.
func guestOf(c net.Conn) *guest {
	for {
		switch inner := c.(type) {
		case *guest:
			return inner
		case *tls.Conn:
			c = inner.NetConn()
		case *proxiedConn:
			c = inner.Conn
		case *firstRead:
			c = inner.Conn
		default:
			return nil
		}
	}
}

// guestKey is what a request's context knows its guest by.
type guestKey struct{}

// withGuest is the ConnContext of a server.
func withGuest(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, guestKey{}, guestOf(c))
}

// serves notes that a request is answered with a page.
func serves(r *http.Request) {
	if g, _ := r.Context().Value(guestKey{}).(*guest); g != nil {
		g.serve()
	}
}
