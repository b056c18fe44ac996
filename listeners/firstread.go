package listeners

import (
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// firstReadListener is a net.Listener for net/http. If the first read of a connection is a complete WebSocket
// request, it upgrades the connection before net/http sees it. net/http loses its buffers when a connection is
// hijacked, 10 KiB of garbage for each client; it reuses those of a connection that ends.
type firstReadListener struct {
	net.Listener
	to *WebSocket
}

// Accept returns the next connection.
func (l *firstReadListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &firstRead{Conn: c, to: l.to}, nil
}

// firstRead is a connection with HTTP until it is handed over. For net/http it then ends.
type firstRead struct {
	net.Conn
	to   *WebSocket
	read bool // used by the reader only

	mu             sync.Mutex // guards the fields below
	closed, handed bool
}

// Read reads from the connection. It returns io.EOF if the first read upgraded it.
func (c *firstRead) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil || c.read {
		return n, err
	}
	c.read = true
	if c.to.upgradeFast(c, p[:n]) {
		return 0, io.EOF
	}
	return n, nil
}

// handOver marks the connection as handed over. It returns false if it was closed.
func (c *firstRead) handOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handed = !c.closed
	return c.handed
}

func (c *firstRead) isHandedOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.handed
}

// Close closes the connection, unless the Attacher owns it.
func (c *firstRead) Close() error {
	c.mu.Lock()
	c.closed = true
	handed := c.handed
	c.mu.Unlock()
	if handed {
		return nil
	}
	return c.Conn.Close()
}

// CloseWrite lets net/http end a connection after the peer has got the last answer.
func (c *firstRead) CloseWrite() error { return closeWrite(c.Conn) }

// SetWriteDeadline ignores calls after the handover: net/http calls it on connections that have ended.
func (c *firstRead) SetWriteDeadline(t time.Time) error {
	if c.isHandedOver() {
		return net.ErrClosed
	}
	return c.Conn.SetWriteDeadline(t)
}

// upgradeFast upgrades a connection whose first bytes are text. If it reports false it has written nothing, and
// net/http must read and answer the request.
func (w *WebSocket) upgradeFast(c *firstRead, text []byte) bool {
	u := fastUpgrades.Get().(*fastUpgrade)
	defer u.release()
	r, ok := u.readRequest(text)
	if !ok || !slices.Contains(w.paths, r.URL.Path) || !w.hosts.allow(r.Host) {
		return false
	}
	r.RemoteAddr = c.RemoteAddr().String()
	joinSubprotocols(r.Header)
	if _, refused := w.refusal(r); refused {
		return false
	}
	u.conn = c
	link, err := w.open(u, r, u.ignore)
	if err != nil {
		return u.hijacked
	}
	if c.handOver() {
		attach(w.attacher, link, w.refusals)
	}
	return true
}
