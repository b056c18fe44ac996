package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// read reads and handles the available bytes of a connection.
func (w *worker) read(c *conn) {
	err := w.readAll(c)
	if err != nil {
		w.out = w.out[:0]
		w.lose(c, err)
		return
	}
	if c.state != closed {
		w.flush(c)
	}
}

// readAll reads once. With TLS it reads until nothing is left: the poller does not report decrypted bytes.
func (w *worker) readAll(c *conn) error {
	for {
		n, again, err := w.readSome(c, w.in)
		if again || err != nil {
			return err
		}
		w.now = w.clock()
		if err := w.take(c, w.in[:n]); err != nil || c.tls == nil {
			return err
		}
	}
}

func (w *worker) readSome(c *conn, b []byte) (n int, again bool, err error) {
	if c.tls == nil {
		if n, again, err = readFD(c.fd, b); n == 0 && !again && err == nil {
			err = io.EOF
		}
		return n, again, err
	}
	n, err = c.tls.Read(b)
	if errors.Is(err, wouldBlock{}) {
		return 0, true, nil
	}
	return n, false, err
}

// take handles bytes from the socket, or from TLS.
func (w *worker) take(c *conn, b []byte) error {
	if c.frames == nil {
		return w.feed(c, b)
	}
	if c.state == upgrading {
		return w.upgraded(c, b)
	}
	for len(b) > 0 && c.state != closed {
		op, piece, rest, done, err := c.frames.next(b)
		if err != nil {
			return err
		}
		if b = rest; !done {
			continue
		}
		if err := w.frame(c, op, piece); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) frame(c *conn, op byte, piece []byte) error {
	switch op {
	case opPing:
		w.putControl(opPong, piece)
	case opPong:
	case opClose:
		if len(piece) >= 2 {
			return fmt.Errorf("%w (WebSocket close code %d)", errLeft, binary.BigEndian.Uint16(piece))
		}
		return errLeft
	default:
		if w.dialect != nil {
			return w.receivePiece(c, piece)
		}
		return w.feed(c, piece)
	}
	return nil
}

// upgraded handles the answer to the WebSocket upgrade.
func (w *worker) upgraded(c *conn, b []byte) error {
	c.rest = append(c.rest, b...)
	size, err := w.run.upgrade.answered(c.rest)
	if err != nil || size == 0 {
		return err
	}
	b = c.rest[size:]
	c.rest = nil
	if w.dialect != nil {
		w.openDialect(c)
	} else {
		w.connect(c)
	}
	return w.take(c, b)
}

// feed handles bytes of the MQTT stream: it handles complete packets, and keeps the rest.
func (w *worker) feed(c *conn, b []byte) error {
	for len(b) > 0 && c.state != closed {
		if len(c.rest) > 0 {
			var err error
			if b, err = w.complete(c, b); err != nil {
				return err
			}
			continue
		}
		whole, head := packetLen(b)
		if head < 0 {
			return errMalformed
		}
		if head == 0 || whole > len(b) {
			c.rest = append(w.spare(), b...)
			return nil
		}
		if err := w.packet(c, b[0], b[head:whole]); err != nil {
			return err
		}
		b = b[whole:]
	}
	return nil
}

// packetLen returns the length of the packet at the start of b, and of its fixed header; 0 if that is incomplete, -1
// if it is malformed.
func packetLen(b []byte) (whole, head int) {
	if len(b) >= 2 && b[1] < 0x80 {
		return 2 + int(b[1]), 2
	}
	if len(b) < 2 {
		return 0, 0
	}
	remaining, size := varint(b[1:])
	if size <= 0 {
		return 0, size
	}
	return 1 + size + remaining, 1 + size
}

// complete appends to an incomplete packet, handles it if it is complete, and returns the rest of b.
func (w *worker) complete(c *conn, b []byte) ([]byte, error) {
	whole, head := packetLen(c.rest)
	for head == 0 && len(b) > 0 {
		c.rest, b = append(c.rest, b[0]), b[1:]
		whole, head = packetLen(c.rest)
	}
	if head < 0 {
		return nil, errMalformed
	}
	if head == 0 {
		return nil, nil
	}
	n := min(whole-len(c.rest), len(b))
	c.rest, b = append(c.rest, b[:n]...), b[n:]
	if len(c.rest) < whole {
		return b, nil
	}
	packet := c.rest
	c.rest = nil
	err := w.packet(c, packet[0], packet[head:])
	w.spares = append(w.spares, packet[:0])
	return b, err
}

// spare returns a buffer for an incomplete packet, a used one if possible.
func (w *worker) spare() []byte {
	if n := len(w.spares); n > 0 {
		b := w.spares[n-1]
		w.spares = w.spares[:n-1]
		return b
	}
	return make([]byte, 0, 256)
}

// packet handles a packet: its first byte, and the part behind the remaining length.
func (w *worker) packet(c *conn, first byte, body []byte) error {
	switch first & 0xf0 {
	case typePublish:
		return w.published(c, first, body)
	case typeConnack:
		return w.connected(c, body)
	case typeSuback:
		return w.subscribed(c, body)
	case typePingresp:
		c.pinged = false
		w.rearm(c)
		return nil
	case typePuback, typePubrec, typePubcomp, typePubrel & 0xf0:
		return w.acknowledge(c, first, body)
	case typeDisconnect:
		code := byte(0)
		if len(body) > 0 {
			code = body[0]
		}
		return fmt.Errorf("the broker disconnected: %s", reason(code, 5))
	}
	return errMalformed
}

func (w *worker) published(c *conn, first byte, body []byte) error {
	p := &w.incoming
	if !readPublish(p, first, body, w.opts.Version) || c.state < subscribing {
		return errMalformed
	}
	switch p.qos {
	case 1:
		w.putAck(c, typePuback, p.id)
	case 2:
		w.putAck(c, typePubrec, p.id)
	}
	c.role.message(w, c, p)
	return nil
}

// acknowledge handles acknowledgements of both directions.
func (w *worker) acknowledge(c *conn, first byte, body []byte) error {
	if len(body) < 2 {
		return errMalformed
	}
	id, code := binary.BigEndian.Uint16(body), byte(0)
	if len(body) > 2 {
		code = body[2]
	}
	if first == typePubrel {
		w.putAck(c, typePubcomp, id)
		return nil
	}
	c.role.acknowledged(w, c, first, id, code)
	return nil
}
