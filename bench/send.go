package bench

import (
	"slices"

	"github.com/outcry-mqtt/outcry/internal/poller"
)

// flushAt is the size in bytes at which buffered output is written.
const flushAt = 64 << 10

// Output is buffered in w.out, which belongs to one connection until the flush.

// begin makes room for a packet of n bytes for c. The caller fills it and then calls end; nothing else may be
// buffered in between.
func (w *worker) begin(c *conn, n int) []byte {
	head := 0
	if c.frames != nil {
		head = frameHeader(n)
	}
	at := len(w.out)
	w.out = slices.Grow(w.out, head+n)[:at+head+n]
	if head > 0 {
		w.key = w.key*1664525 + 1013904223
		putFrameHeader(w.out[at:at+head], w.opcode, n, w.key)
	}
	return w.out[at+head:]
}

// end completes a packet.
func (w *worker) end(c *conn, packet []byte) {
	if c.frames != nil {
		mask(packet, w.key)
	}
}

// put buffers a whole packet.
func (w *worker) put(c *conn, packet []byte) {
	b := w.begin(c, len(packet))
	copy(b, packet)
	w.end(c, b)
}

// putAck buffers an acknowledgement.
func (w *worker) putAck(c *conn, kind byte, id uint16) {
	b := w.begin(c, 4)
	b[0], b[1], b[2], b[3] = kind, 2, byte(id>>8), byte(id)
	w.end(c, b)
}

// putControl buffers a control frame of a WebSocket.
func (w *worker) putControl(op byte, payload []byte) {
	at, head := len(w.out), frameHeader(len(payload))
	w.out = append(slices.Grow(w.out, head+len(payload))[:at+head], payload...)
	w.key = w.key*1664525 + 1013904223
	putFrameHeader(w.out[at:at+head], op, len(payload), w.key)
	mask(w.out[at+head:], w.key)
}

// flush writes the buffer to c. It reports whether the connection is still open.
func (w *worker) flush(c *conn) bool {
	if len(w.out) == 0 {
		return c.state != closed
	}
	err := w.write(c, w.out)
	w.out = w.out[:0]
	if err != nil {
		w.lose(c, err)
		return false
	}
	if c.state == up && !c.pinged {
		w.rearm(c)
	}
	return true
}

// flushQuietly is flush for the last packets of a connection.
func (w *worker) flushQuietly(c *conn) {
	_ = w.write(c, w.out)
	w.out = w.out[:0]
}

func (w *worker) write(c *conn, b []byte) error {
	if c.tls != nil {
		_, err := c.tls.Write(b)
		return err
	}
	return w.send(c, b)
}

// send writes to the descriptor. It keeps the rest if the socket is full, and sends it later.
func (w *worker) send(c *conn, b []byte) error {
	if len(c.pending) == 0 {
		n, err := writeFD(c.fd, b)
		if err != nil {
			return err
		}
		if b = b[n:]; len(b) == 0 {
			return nil
		}
	}
	c.pending = append(c.pending, b...)
	return w.watch(c)
}

// resume sends the kept bytes.
func (w *worker) resume(c *conn) error {
	n, err := writeFD(c.fd, c.pending)
	if err != nil {
		return err
	}
	if c.pending = c.pending[n:]; len(c.pending) == 0 {
		c.pending = nil
	}
	return w.watch(c)
}

// watch watches for writability if bytes are kept.
func (w *worker) watch(c *conn) error {
	wants := len(c.pending) > 0
	if wants == c.writes {
		return nil
	}
	c.writes = wants
	return w.poller.Change(c.fd, c.token(), c.interest())
}

// interest returns the conditions to watch for.
func (c *conn) interest() (interest poller.Interest) {
	if !c.slow {
		interest = poller.Read
	}
	if c.writes {
		interest |= poller.Write
	}
	return interest
}
