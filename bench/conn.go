package bench

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/outcry-mqtt/outcry/internal/poller"
)

// state is the progress of a connection.
type state uint8

const (
	closed      state = iota
	dialing           // a goroutine connects and does the TLS handshake
	upgrading         // waits for the answer to the WebSocket upgrade
	connecting        // waits for CONNACK
	subscribing       // waits for SUBACK
	up
	leaving // DISCONNECT was sent
)

// awaited names the event that a connection in a state waits for.
var awaited = map[state]string{
	dialing: "the TLS handshake", upgrading: "the WebSocket upgrade", connecting: "CONNACK", subscribing: "SUBACK",
}

// role is the behaviour of a client. Its methods are called by the connection's worker.
type role interface {
	up(w *worker, c *conn)                      // connected, and subscribed if it has a filter
	message(w *worker, c *conn, p *publication) // valid during the call
	acknowledged(w *worker, c *conn, kind byte, id uint16, code byte)
	down(w *worker, c *conn) // ended, but not by leave
}

// conn is a connection. It belongs to a worker.
type conn struct {
	role   role
	client int    // number among all clients, the suffix of the client identifier
	filter string // to subscribe to; "": none
	qos    int    // of the subscription
	buffer int    // size of the kernel's receive buffer, in bytes; 0: the default
	slow   bool   // read at its own pace, not when it is readable
	index  int    // in the worker's table

	state      state
	writes     bool // the poller watches for writability
	pinged     bool
	generation uint32 // of the descriptor; a late event for an older one is ignored
	fd         int
	tls        *secured
	frames     *unframer // of a WebSocket
	rest       []byte    // start of an incomplete packet, or of an HTTP answer
	pending    []byte    // bytes that the socket did not take

	receiveMaximum int
	keepAlive      time.Duration
	dialed         int64 // time of the dial; ns since the run began
	asked          int64 // time of SUBSCRIBE
	due            int64 // deadline of the current state, or time of the next ping; 0: never
}

// connectTimeout bounds each step of connecting.
const connectTimeout = 30 * time.Second

var errLeft = errors.New("the broker closed the connection")

func (c *conn) token() uint64 { return uint64(c.index) | uint64(c.generation)<<32 }

// dial starts to connect.
func (w *worker) dial(c *conn) {
	c.generation++
	c.dialed = w.clock()
	c.due = c.dialed + int64(connectTimeout)
	w.pending++
	w.n.dialed++
	if w.n.firstDial == 0 {
		w.n.firstDial = c.dialed
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
	w.startProtocol(c, fd)
}

// startProtocol starts the protocol on a new descriptor.
func (w *worker) startProtocol(c *conn, fd int) {
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

// connected handles a CONNACK.
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

// accepted handles an accepted connection: it subscribes if it has a filter.
func (w *worker) accepted(c *conn) {
	w.connects.record(w.now - c.dialed)
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

// subscribed handles a SUBACK.
func (w *worker) subscribed(c *conn, body []byte) error {
	if c.state != subscribing || len(body) < 3 {
		return errMalformed
	}
	if code := body[len(body)-1]; code > 2 {
		return &RefusedError{Filter: c.filter, Code: code, version: w.opts.Version}
	} else if int(code) < c.qos {
		w.note(fmt.Sprintf("subscriptions were granted QoS %d, not %d", code, c.qos))
	}
	w.arrive(c)
	return nil
}

// arrive handles a connection that is ready.
func (w *worker) arrive(c *conn) {
	c.state = up
	w.pending--
	w.n.opened++
	w.n.up++
	w.n.lastUp = w.now
	w.ready.record(w.now - c.dialed)
	w.rearm(c)
	c.role.up(w, c)
}

// rearm sets the time of the next ping of an idle connection.
func (w *worker) rearm(c *conn) {
	c.due = 0
	if c.keepAlive > 0 {
		c.due = w.now + int64(c.keepAlive)*3/4
	}
}

// leave sends DISCONNECT; the broker then closes the connection.
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

// lose handles a connection that failed or that the broker ended.
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
	w.noteError(err)
	w.close(c)
	c.role.down(w, c)
}

// close closes the descriptor. Its callers count the connection.
func (w *worker) close(c *conn) {
	c.state, c.due, c.writes, c.pinged = closed, 0, false, false
	c.generation++
	w.out = w.out[:0]
	if c.fd >= 0 {
		closeFD(c.fd)
	}
	c.fd, c.tls, c.frames, c.rest, c.pending = -1, nil, nil, nil, nil
}

// expire handles a connection whose deadline has passed.
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
