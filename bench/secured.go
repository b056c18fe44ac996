package bench

import (
	"context"
	"crypto/tls"
	"io"
	"net"
)

// secured is TLS on a connection's descriptor. A goroutine does the handshake on a net.Conn, as crypto/tls requires.
// Afterwards the worker owns the descriptor: reads that would block fail temporarily, and writes take everything, so
// that they never fail half-way.
type secured struct {
	*tls.Conn
	under *underTLS
}

// underTLS is the net.Conn beneath a tls.Conn.
type underTLS struct {
	net.Conn // during the handshake
	worker   *worker
	conn     *conn // afterwards
}

// wouldBlock is a temporary error: crypto/tls can continue after it.
type wouldBlock struct{}

// Error is never shown.
func (wouldBlock) Error() string { return "no data to read yet" }

// Timeout returns true, like every error that permits another attempt.
func (wouldBlock) Timeout() bool { return true }

// Temporary tells crypto/tls that the connection continues.
func (wouldBlock) Temporary() bool { return true }

// Read reads from the connection, or from its descriptor after the handshake.
func (u *underTLS) Read(b []byte) (int, error) {
	if u.conn == nil {
		return u.Conn.Read(b)
	}
	n, again, err := readFD(u.conn.fd, b)
	switch {
	case again:
		return 0, wouldBlock{}
	case err == nil && n == 0:
		return 0, io.EOF
	}
	return n, err
}

// Write writes to the connection, or through its worker after the handshake.
func (u *underTLS) Write(b []byte) (int, error) {
	if u.conn == nil {
		return u.Conn.Write(b)
	}
	return len(b), u.worker.send(u.conn, b)
}

// dialSecured dials and does the handshake, and then hands the connection to its worker.
func (w *worker) dialSecured(c *conn) {
	generation, number := c.generation, w.run.dials.Add(1)
	w.run.dialers.Go(func() {
		s, fd, err := w.handshake(number, c.buffer)
		w.post(func() { w.adopt(c, generation, s, fd, err) })
	})
}

func (w *worker) handshake(number uint64, buffer int) (*secured, int, error) {
	ctx, cancel := context.WithTimeout(w.run.ctx, connectTimeout)
	defer cancel()
	nc, err := w.to.dialer(number, buffer).DialContext(ctx, w.to.network, w.to.name)
	if err != nil {
		return nil, -1, err
	}
	under := &underTLS{Conn: nc, worker: w}
	s := &secured{tls.Client(under, w.run.tls), under}
	if err := s.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, -1, err
	}
	fd, err := detach(nc)
	return s, fd, err
}

// adopt takes over a dialed connection, unless the worker no longer waits for it.
func (w *worker) adopt(c *conn, generation uint32, s *secured, fd int, err error) {
	if c.generation != generation || c.state != dialing {
		if fd >= 0 {
			closeFD(fd)
		}
		return
	}
	c.fd = fd
	if err != nil {
		w.lose(c, err)
		return
	}
	c.tls, s.under.conn = s, c
	w.startProtocol(c, fd)
	if c.state != closed {
		w.read(c) // bytes behind the handshake are already in the tls.Conn
	}
}
