// Package firstread upgrades WebSockets before net/http has read them. net/http loses its buffers when a connection is hijacked,
// 10 KiB of garbage for each client; it reuses those of a connection that ends.
//
// Only a first read that is exactly one plain GET request is looked at. net/http gets the bytes of every other one, and of one
// that the Upgrade function declines, as if this package were not there.
package firstread

import (
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Upgrade answers a request by hijacking its connection, and calls handOver before it passes the connection on: false means that
// the connection was closed meanwhile. If Upgrade returns false without a hijack, net/http reads and answers the request.
type Upgrade func(rw http.ResponseWriter, r *http.Request, handOver func() bool) bool

// Listener is a net.Listener for net/http.
type Listener struct {
	net.Listener
	Upgrade Upgrade
}

// Accept returns the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: c, upgrade: l.Upgrade}, nil
}

// Conn is a connection with HTTP until it is handed over. For net/http it then ends.
type Conn struct {
	net.Conn
	upgrade Upgrade
	read    bool // used by the reader only

	mu             sync.Mutex // guards the fields below
	closed, handed bool
}

// Read reads from the connection. It returns io.EOF if the first read upgraded it.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil || c.read {
		return n, err
	}
	c.read = true
	if c.upgradeBy(p[:n]) {
		return 0, io.EOF
	}
	return n, nil
}

// handOver marks the connection as handed over. It returns false if it was closed.
func (c *Conn) handOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handed = !c.closed
	return c.handed
}

func (c *Conn) isHandedOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.handed
}

// Close closes the connection, unless it was handed over.
func (c *Conn) Close() error {
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
func (c *Conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// SetWriteDeadline ignores calls after the handover: net/http calls it on connections that have ended.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.isHandedOver() {
		return net.ErrClosed
	}
	return c.Conn.SetWriteDeadline(t)
}

// upgradeBy upgrades a connection whose first bytes are text. If it reports false it has written nothing.
func (c *Conn) upgradeBy(text []byte) bool {
	q := requests.Get().(*request)
	defer q.release()
	r, ok := q.read(text)
	if !ok {
		return false
	}
	r.RemoteAddr = c.RemoteAddr().String()
	q.conn = c
	return c.upgrade(q, r, c.handOver) || q.hijacked
}
