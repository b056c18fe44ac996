package bench

import (
	"context"
	"crypto/tls"
	"io"
	"net"
)

// secured is TLS on a connection's descriptor. The handshake is done by a goroutine on a net.Conn, as crypto/tls wants
// it; afterwards the descriptor belongs to the worker, reads that would wait fail for the time being, and a write takes
// everything, so that it never fails half-way.
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

// wouldWait is a temporary error: crypto/tls can be asked again.
type wouldWait struct{}

// Error is never seen.
func (wouldWait) Error() string { return "nothing to read now" }

// Timeout is true, as of everything that can be tried again.
func (wouldWait) Timeout() bool { return true }

// Temporary tells crypto/tls that the connection goes on.
func (wouldWait) Temporary() bool { return true }

func (u *underTLS) Read(b []byte) (int, error) {
	if u.conn == nil {
		return u.Conn.Read(b)
	}
	n, again, err := readFD(u.conn.fd, b)
	switch {
	case again:
		return 0, wouldWait{}
	case err == nil && n == 0:
		return 0, io.EOF
	}
	return n, err
}

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

// adopt takes over a connection that was dialed, unless nobody waits for it any more.
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
	w.greet(c, fd)
	if c.state != closed {
		w.read(c) // what came with the handshake's last bytes is in the tls.Conn already
	}
}
