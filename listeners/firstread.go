package listeners

import (
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// firstReadListener is a net.Listener for net/http whose connections become WebSockets before net/http knows it, if the
// first bytes of one are a whole request for that. net/http would lose the buffers of a connection that is hijacked from
// it, 10 KiB of garbage for each client; those of one that it sees end it uses again.
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

// firstRead is a connection that speaks HTTP until it is handed over; for net/http it has ended then.
type firstRead struct {
	net.Conn
	to   *WebSocket
	read bool // used by the reader only

	mu             sync.Mutex // guards what follows
	closed, handed bool
}

// Read reads on, or io.EOF if what it has read made a WebSocket of the connection.
func (c *firstRead) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil || c.read {
		return n, err
	}
	c.read = true
	if c.to.upgradeAtOnce(c, p[:n]) {
		return 0, io.EOF
	}
	return n, nil
}

// hand gives the connection away, unless it was closed.
func (c *firstRead) hand() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handed = !c.closed
	return c.handed
}

func (c *firstRead) isHanded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.handed
}

// Close closes the connection, unless the Attacher has it.
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

// CloseWrite lets net/http end a connection so that the peer gets the last answer.
func (c *firstRead) CloseWrite() error { return closeWrite(c.Conn) }

// SetWriteDeadline is called by net/http also after it has seen the connection end.
func (c *firstRead) SetWriteDeadline(t time.Time) error {
	if c.isHanded() {
		return net.ErrClosed
	}
	return c.Conn.SetWriteDeadline(t)
}

// upgradeAtOnce makes a WebSocket of a connection whose first bytes are text. If it reports false, nothing has been
// written, and net/http is to read the request and to answer it.
func (w *WebSocket) upgradeAtOnce(c *firstRead, text []byte) bool {
	u := atOnces.Get().(*atOnce)
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
	if c.hand() {
		attach(w.attacher, link, w.refusals)
	}
	return true
}
