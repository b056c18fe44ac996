package listeners

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/listeners/firstread"
)

// admission admits accepted connections one by one. It closes one that exceeds a limit of its address at once: before TLS,
// and before reading anything.
type admission struct {
	to      Attacher
	proxies proxies         // proxies, whose connections are counted when their client's address is known
	timeout time.Duration   // for everything before MQTT; the Attacher may set a shorter one
	places  *places         // of connections before MQTT; nil: no bound
	pages   *places         // of connections that load pages
	full    *rateLimitedLog // log of connections closed for lack of a place
}

// admit counts a connection, or closes it.
func (d *admission) admit(c net.Conn, remote string) (*broker.Ticket, bool) {
	if d.proxies.sent(c) {
		remote = ""
	}
	p, err := d.to.Admit(remote)
	if err != nil {
		c.Close()
		return nil, false
	}
	return p, true
}

// deadline is the time limit of everything before MQTT; the rest of the Attacher's time is for CONNECT.
func (d *admission) deadline(p *broker.Ticket) time.Time {
	ours, theirs := time.Now().Add(d.timeout), p.Deadline()
	if theirs.IsZero() || ours.Before(theirs) {
		return ours
	}
	return theirs
}

// attribute counts a connection for the client behind a proxy. If that is another proxy, its requests name the client.
func (d *admission) attribute(p *broker.Ticket, pl *place, client netip.AddrPort) error {
	if !client.IsValid() || d.proxies.has(client.Addr()) {
		return nil
	}
	pl.move(networkOf(client.Addr()))
	return p.From(client.String())
}

// place takes a place for a connection before MQTT. Its time begins afterwards, with let. If its address has too
// many, or the listener is closing, it closes the connection and returns nil.
func (d *admission) place(c net.Conn, closing <-chan struct{}) *place {
	pl := d.places.enter(addressOf(c.RemoteAddr()), func() { c.Close() }, closing)
	if pl == nil {
		c.Close()
		d.full.Log(slog.LevelWarn, "connection closed: its address has used its share of limits.max_handshakes", "remote", c.RemoteAddr().String())
	}
	return pl
}

// admissionListener is a net.Listener of admitted connections.
type admissionListener struct {
	*acceptor
	admission admission
}

// Accept returns the next admitted connection, as a *pendingConn.
func (l *admissionListener) Accept() (net.Conn, error) {
	for {
		c, err := l.acceptor.Accept()
		if err != nil {
			return nil, err
		}
		pl := l.admission.place(c, l.acceptor.closing)
		if pl == nil {
			continue
		}
		p, ok := l.admission.admit(c, c.RemoteAddr().String())
		if !ok {
			pl.release()
			continue
		}
		g := &pendingConn{Conn: c, admission: &l.admission, pass: p, place: pl}
		g.timer = time.AfterFunc(time.Until(l.admission.deadline(p)), g.expire)
		pl.use(g.expire)
		return g, nil
	}
}

// pendingConn is a connection with HTTP, or TLS before that. It is closed when the time for its first request, or for the
// upgrade, is over; or, if it loads pages, when the time for those is over.
type pendingConn struct {
	net.Conn
	admission *admission
	pass      *broker.Ticket
	timer     *time.Timer

	mu     sync.Mutex // guards the fields below
	place  *place     // one of admission.pages after the first page, else one of admission.places
	served time.Time  // time of the first page; zero: none
	closed bool
}

// currentPlace returns the connection's place.
func (g *pendingConn) currentPlace() *place {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.place
}

// expire closes the connection when its time is over, which may be before its timer is set.
func (g *pendingConn) expire() {
	g.pass.Leave()
	_ = g.Conn.Close()
}

// Close closes the connection, unless the Attacher owns it.
func (g *pendingConn) Close() error {
	g.timer.Stop()
	g.pass.Leave()
	g.mu.Lock()
	g.closed = true
	g.place.release()
	g.mu.Unlock()
	return g.Conn.Close()
}

// CloseWrite lets net/http end a connection after the peer has got the last answer.
func (g *pendingConn) CloseWrite() error { return closeWrite(g.Conn) }

// closeWrite closes the sending direction, if the connection supports that.
func closeWrite(c net.Conn) error {
	if c, ok := c.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

const (
	pageTime    = time.Minute                      // from a connection's first page; the next answer ends it
	pageCutTime = responseTimeout + 10*time.Second // time after pageTime until the connection is closed, longer than an answer may take
)

// servePage exchanges the connection's place for one among those that load pages, at its first page. last reports that
// the answer must end the connection. It returns false if there is no place.
func (g *pendingConn) servePage() (last, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return true, false
	}
	if !g.served.IsZero() {
		return time.Since(g.served) >= pageTime, true
	}
	address := g.place.address()
	if !g.place.release() {
		return true, false // it was evicted
	}
	var v verdict
	if g.place, v = g.admission.pages.try(address, g.expire); v != granted {
		return true, false
	}
	g.served = time.Now()
	g.timer.Reset(pageTime + pageCutTime)
	return false, true
}

// takePass returns the pass of an upgraded connection, or nil if it has loaded pages: its time then begins anew. If the
// connection was closed to make room for others, the Attacher sees that in the pass.
func (g *pendingConn) takePass() *broker.Ticket {
	g.timer.Stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.place.release() {
		g.pass.Leave()
		return g.pass
	}
	if !g.served.IsZero() {
		g.pass.Leave()
		return nil
	}
	return g.pass
}

// pendingConnOf finds the pendingConn beneath TLS and the PROXY protocol, or nil.
func pendingConnOf(c net.Conn) *pendingConn {
	for {
		switch inner := c.(type) {
		case *pendingConn:
			return inner
		case *tls.Conn:
			c = inner.NetConn()
		case *proxiedConn:
			c = inner.Conn
		case *firstread.Conn:
			c = inner.Conn
		default:
			return nil
		}
	}
}

// pendingConnKey is the context key of a request's pendingConn.
type pendingConnKey struct{}

// withPendingConn is a server's ConnContext.
func withPendingConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, pendingConnKey{}, pendingConnOf(c))
}

// withPlace answers requests for pages while there are places for them, and closes connections whose page time is
// over.
func withPlace(pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last, ok := false, true
		if g, _ := r.Context().Value(pendingConnKey{}).(*pendingConn); g != nil {
			last, ok = g.servePage()
		}
		if last {
			w.Header().Set("Connection", "close")
		}
		if !ok {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many connections load pages; try again later", http.StatusServiceUnavailable)
			return
		}
		pages.ServeHTTP(w, r)
	})
}
