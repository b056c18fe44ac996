package devices

import (
	"net"
	"sync"
	"time"
)

// writeTimeout bounds a write; the connection then counts as lost.
const writeTimeout = 30 * time.Second

// Coalesce returns a connection for Paho's MQTT 5 client that sends each packet with one write. Paho writes a packet
// in pieces, and locks a connection that is a sync.Locker around them. Only complete, locked packets may be written
// to the result.
func Coalesce(conn net.Conn) net.Conn { return &packetConn{Conn: conn} }

// packetConn buffers everything written between Lock and Unlock. While it is held, it buffers packets too.
type packetConn struct {
	net.Conn

	mu   sync.Mutex // guards the fields below; held during the write, too, to keep packets in order
	buf  []byte
	held bool
	err  error // the first write error; every later write returns it
}

// Lock begins a packet.
func (c *packetConn) Lock() { c.mu.Lock() }

// Unlock ends a packet and sends it, unless the connection is held.
func (c *packetConn) Unlock() {
	if !c.held {
		c.flush()
	}
	c.mu.Unlock()
}

// Write adds p to the packet; c is locked. An error is an earlier packet's: the connection is lost.
func (c *packetConn) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}

// hold buffers packets until release.
func (c *packetConn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = true
}

// release sends the packets buffered since hold.
func (c *packetConn) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
	c.flush()
}

func (c *packetConn) flush() {
	if len(c.buf) == 0 || c.err != nil {
		return
	}
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, c.err = c.Conn.Write(c.buf); c.err != nil {
		_ = c.Close() // wakes the reader, which then reports the loss
	}
	if c.buf = c.buf[:0]; cap(c.buf) > 64<<10 {
		c.buf = nil
	}
}
