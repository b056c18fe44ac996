package listeners

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/outcry-mqtt/outcry/listeners/firstread"
)

// proxies are the addresses of trusted proxies.
type proxies []netip.Prefix

// has reports whether an address is a trusted proxy's.
func (p proxies) has(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// sent reports whether a trusted proxy opened a connection.
func (p proxies) sent(c net.Conn) bool {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	return ok && p.has(tcp.AddrPort().Addr())
}

// clientOf reads the PROXY protocol header from a connection before ctx ends. It returns the zero address if the
// proxy connects for itself.
func clientOf(ctx context.Context, c net.Conn) (netip.AddrPort, error) {
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	client, err := readProxyHeader(c)
	if !stop() {
		return netip.AddrPort{}, context.Cause(ctx)
	}
	return client, err
}

// proxyListener reads the PROXY protocol header of proxies' connections, each at its first use: Accept waits for no
// peer.
type proxyListener struct {
	net.Listener
	proxies proxies
	timeout time.Duration // for the header
	refused *rateLimitedLog
}

// Accept returns the next connection. A proxy's has the client's address, and its data begins behind the header.
func (l *proxyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil || !l.proxies.sent(c) {
		return c, err
	}
	return &proxiedConn{Conn: c, listener: l, accepted: time.Now()}, nil
}

// proxiedConn is a connection opened by a proxy.
type proxiedConn struct {
	net.Conn // the proxy's
	listener *proxyListener
	accepted time.Time

	once   sync.Once
	client net.Addr // the client behind the proxy
	err    error    // of the header
}

// RemoteAddr returns the client's address. The first call waits for the header.
func (c *proxiedConn) RemoteAddr() net.Addr {
	c.once.Do(c.readHeader)
	return c.client
}

// Read reads the data behind the header.
func (c *proxiedConn) Read(p []byte) (int, error) {
	c.once.Do(c.readHeader)
	if c.err != nil {
		return 0, &net.OpError{Op: "read", Net: "tcp", Addr: c.client, Err: c.err} // net/http does not answer these
	}
	return c.Conn.Read(p)
}

func (c *proxiedConn) readHeader() {
	ctx, cancel := context.WithDeadline(context.Background(), c.accepted.Add(c.listener.timeout))
	defer cancel()
	c.client = c.Conn.RemoteAddr()
	client, err := clientOf(ctx, c.Conn)
	if err != nil {
		c.err = err
		logProxyHeader(c.listener.refused, c.Conn, err)
	}
	if client.IsValid() {
		c.client = net.TCPAddrFromAddrPort(client)
	}
	if g := pendingConnOf(c.Conn); c.err == nil && g != nil {
		c.err = g.admission.attribute(g.pass, g.currentPlace(), client)
	}
}

// unwrap returns the connection itself, from which the broker reads on behind the header.
func unwrap(c net.Conn) net.Conn {
	if f, ok := c.(*firstread.Conn); ok {
		c = f.Conn
	}
	if p, ok := c.(*proxiedConn); ok {
		c = p.Conn
	}
	if g, ok := c.(*pendingConn); ok {
		c = g.Conn
	}
	return c
}

// logProxyHeader logs a proxy that does not send the expected header.
func logProxyHeader(log *rateLimitedLog, c net.Conn, err error) {
	log.Log(slog.LevelWarn, "connection from a proxy refused", "proxy", c.RemoteAddr().String(), "error", err)
}
