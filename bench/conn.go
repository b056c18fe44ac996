package bench

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/outcry-mqtt/outcry/broker/poller"
)

// state is how far a connection has come.
type state uint8

const (
	closed      state = iota
	dialing           // a goroutine dials and does the TLS handshake
	upgrading         // the answer to the WebSocket upgrade is awaited
	connecting        // CONNACK is awaited
	subscribing       // SUBACK is awaited
	up
	leaving // DISCONNECT was sent
)

// awaited says what a connection in a state waits for.
var awaited = map[state]string{
	dialing: "the TLS handshake", upgrading: "the WebSocket upgrade", connecting: "CONNACK", subscribing: "SUBACK",
}

// role is what a connection is there for. Its methods are called by the connection's worker.
type role interface {
	up(w *worker, c *conn)                      // it is connected, and subscribed if it wants to be
	message(w *worker, c *conn, p *publication) // valid for the call
	acknowledged(w *worker, c *conn, kind byte, id uint16, code byte)
	down(w *worker, c *conn) // it has ended, and was not told to
}

// conn is a connection. It belongs to a worker.
type conn struct {
	role   role
	client int    // number among all clients: its identifier is the prefix and this
	filter string // to subscribe to; "": nothing
	qos    int    // of the subscription
	buffer int    // bytes that the kernel keeps of what came; 0: as it likes
	slow   bool   // it is read when it is its turn, not when there is something
	index  int    // in the worker's table

	state      state
	writes     bool // the poller watches for room to write
	pinged     bool
	generation uint32 // of the descriptor, so that what is late is not taken for another's
	fd         int
	tls        *secured
	frames     *unframer // of a WebSocket
	rest       []byte    // the beginning of a packet, or of an HTTP answer, that is not complete
	pending    []byte    // what the socket did not take

	receiveMaximum int
	keepAlive      time.Duration
	began          int64 // when it was dialed; ns since the run began
	asked          int64 // when SUBSCRIBE was sent
	due            int64 // when it must have come on, or is to be pinged; 0: never
}

// connectTimeout is how long each step of making a connection may take.
const connectTimeout = 30 * time.Second

var errLeft = errors.New("the broker closed the connection")

func (c *conn) token() uint64 { return uint64(c.index) | uint64(c.generation)<<32 }

// dial begins to make the connection.
func (w *worker) dial(c *conn) {
	c.generation++
	c.began = w.clock()
	c.due = c.began + int64(connectTimeout)
	w.pending++
	w.n.dialed++
	if w.n.firstDial == 0 {
		w.n.firstDial = c.began
	}
	if w.opts.secure() {
		c.state = dialing
		w.dialSecured(c)
		return
	}
	fd, err := w.to.connect(w.run.dials.Add(1), c.buffer)
	if err != nil {
		c.state = connecting
		c.fd = -1
		w.lose(c, err)
		return
	}
	w.greet(c, fd)
}

// greet begins to talk on a new descriptor.
func (w *worker) greet(c *conn, fd int) {
	c.fd = fd
	if err := w.poller.Add(fd, c.token(), poller.Read); err != nil {
		w.lose(c, err)
		return
	}
	if w.opts.webSocket() {
		c.state, c.frames = upgrading, &unframer{text: w.opcode == opText}
		w.out = append(w.out, w.run.upgrade.request...)
	} else {
		w.connect(c)
	}
	w.flush(c)
}

// connect sends CONNECT.
func (w *worker) connect(c *conn) {
	c.state = connecting
	w.scratch = appendConnect(w.scratch[:0], w.opts, w.opts.Prefix+strconv.Itoa(c.client))
	w.put(c, w.scratch)
}

// connected heeds a CONNACK.
func (w *worker) connected(c *conn, body []byte) error {
	if c.state != connecting {
		return errMalformed
	}
	ack, err := readConnack(body, w.opts.Version)
	if err != nil {
		return err
	}
	c.receiveMaximum, c.keepAlive = ack.receiveMaximum, w.opts.KeepAlive
	if ack.keepAlive >= 0 {
		c.keepAlive = ack.keepAlive
	}
	w.accepted(c)
	return nil
}

// accepted is for a connection that was let in: it subscribes if it wants to.
func (w *worker) accepted(c *conn) {
	w.connects.record(w.now - c.began)
	if c.filter == "" {
		w.arrive(c)
		return
	}
	c.state, c.asked = subscribing, w.now
	if w.dialect != nil {
		w.scratch = w.dialect.join(w.scratch[:0], c.filter)
	} else {
		w.scratch = appendSubscribe(w.scratch[:0], w.opts.Version, c.filter, c.qos)
	}
	w.put(c, w.scratch)
}

// subscribed heeds a SUBACK.
func (w *worker) subscribed(c *conn, body []byte) error {
	if c.state != subscribing || len(body) < 3 {
		return errMalformed
	}
	if code := body[len(body)-1]; code > 2 {
		return fmt.Errorf("subscription to %s refused: %s", c.filter, reason(code, w.opts.Version))
	} else if int(code) < c.qos {
		w.note(fmt.Sprintf("subscriptions were granted QoS %d, not %d", code, c.qos))
	}
	w.arrive(c)
	return nil
}

// arrive is for a connection that has all it wants.
func (w *worker) arrive(c *conn) {
	c.state = up
	w.pending--
	w.n.opened++
	w.n.up++
	w.n.lastUp = w.now
	w.ready.record(w.now - c.began)
	w.rearm(c)
	c.role.up(w, c)
}

// rearm sets when a connection that sends nothing is to be pinged.
func (w *worker) rearm(c *conn) {
	c.due = 0
	if c.keepAlive > 0 {
		c.due = w.now + int64(c.keepAlive)*3/4
	}
}

// leave takes leave of the broker, which then closes the connection.
func (w *worker) leave(c *conn) {
	if c.state == up {
		if w.n.up--; w.dialect == nil {
			w.put(c, disconnect)
			w.flushQuietly(c)
		}
	} else if c.state != closed {
		w.pending--
	}
	w.close(c)
}

var (
	disconnect = []byte{typeDisconnect, 0}
	ping       = []byte{typePingreq, 0}
)

// lose is for a connection that failed or was ended by the broker.
func (w *worker) lose(c *conn, err error) {
	switch c.state {
	case closed:
		return
	case up:
		w.n.up--
		w.n.lost++
	default:
		w.pending--
		w.n.failed++
	}
	if errors.Is(err, io.EOF) {
		err = errLeft
	}
	w.note(err.Error())
	w.close(c)
	c.role.down(w, c)
}

// close closes the descriptor. Whoever calls it has counted the connection.
func (w *worker) close(c *conn) {
	c.state, c.due, c.writes, c.pinged = closed, 0, false, false
	c.generation++
	w.out = w.out[:0]
	if c.fd >= 0 {
		closeFD(c.fd)
	}
	c.fd, c.tls, c.frames, c.rest, c.pending = -1, nil, nil, nil, nil
}

// expire is for a connection whose time has come.
func (w *worker) expire(c *conn) {
	if c.state != up {
		w.lose(c, fmt.Errorf("no answer within %v: %s did not come", connectTimeout, awaited[c.state]))
		return
	}
	if c.pinged {
		w.lose(c, errors.New("PINGRESP did not come within the keep-alive time"))
		return
	}
	c.pinged = true
	w.put(c, ping)
	w.flush(c)
	c.due = w.now + int64(c.keepAlive)
}
