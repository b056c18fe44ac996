package broker

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/internal/poller"
)

const (
	streamRead  = 16 << 10        // bytes read at once
	streamHeld  = 64 << 10        // bytes held for the writer before the connection counts as full, if its socket has no low-water mark
	streamClose = 5 * time.Second // time limit for writing the rest after close
)

// carrier transports the bytes of a connection that the shard's poller does not watch. It posts input to the shard, one piece
// at a time. For output it behaves like a socket.
type carrier interface {
	start(wg *sync.WaitGroup) // starts the reader; wg ends with it
	settle(s *shard)          // the connection is on s now; nil: moving between two shards
	proceed()                 // the shard is ready to read on
	close()                   // closes after the accepted bytes are written; idempotent

	// write accepts as many bytes as there is room for and returns their number. It copies data, unless shared is set, which
	// means that data is immutable.
	write(head, data []byte, shared bool) int
}

// stream is a carrier with two goroutines, for connections that the shard's poller cannot watch: TLS, and systems without
// epoll. It tells the shard when it has room again.
type stream struct {
	c     *conn
	nc    net.Conn
	home  atomic.Pointer[shard] // shard of c; nil: moving between two shards
	going chan struct{}         // the shard is ready to read on

	// Owned by the shard's loop.
	askedAt int64 // lastRead of c when the reader got its streamGrace, -1 before
	waits   bool  // the reader's last piece has been handled, and it waits for proceed

	mu      sync.Mutex // guards the fields below
	more    sync.Cond  // bytes to write, or closed
	held    int        // limit of bytes in out before the connection counts as full
	out     outgo      // accepted bytes that are not being written yet
	starved bool       // some bytes were not accepted: the shard waits for a notice of room
	closed  bool
}

func newStream(c *conn, nc net.Conn) *stream {
	st := &stream{c: c, nc: nc, going: make(chan struct{}, 1), held: streamHeld, askedAt: -1}
	st.more.L = &st.mu
	return st
}

// settle also ends the last piece of a connection that leaves its shard: its bytes have been handled or copied.
func (st *stream) settle(s *shard) {
	st.waits = st.waits || s == nil
	st.home.Store(s)
}

// start starts the reader and the writer. The shard may enter the connection before or after.
func (st *stream) start(wg *sync.WaitGroup) {
	wg.Add(2)
	go func() { defer wg.Done(); st.read() }()
	go func() { defer wg.Done(); st.writeAll() }()
}

// arrival is a post with bytes that a stream has read, or the error that ended it.
type arrival struct {
	st   *stream
	data []byte
	err  error
}

func (a *arrival) run(s *shard) {
	c := a.st.c
	if a.st.home.Load() != s || c.state == stateClosed {
		return
	}
	if a.err != nil {
		c.lost(closePeer)
		return
	}
	if !c.received(a.data) || c.state == stateClosed {
		return
	}
	a.st.waits = true
	if c.input.paused == 0 {
		a.st.proceed()
	}
}

// read posts its input to the shard, one piece at a time. It reads the next piece when the shard is ready.
func (st *stream) read() {
	buf := make([]byte, streamRead)
	for {
		n, err := st.nc.Read(buf)
		if n > 0 && !st.pass(&arrival{st: st, data: buf[:n]}) {
			return
		}
		if err != nil {
			st.pass(&arrival{st: st, err: err})
			return
		}
	}
}

// pass posts an arrival and waits until the shard wants more. It returns false at the end of the input.
func (st *stream) pass(a *arrival) bool {
	home := st.home.Load() // nil once closed; between two shards the stream is not read
	if home == nil || !home.post(a) {
		return false
	}
	if a.err != nil {
		return false
	}
	_, ok := <-st.going
	return ok
}

// proceed lets the reader read the next piece. It does nothing until the shard has handled the last one, because the reader
// would overwrite it, and while credentials are being checked.
func (st *stream) proceed() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed || !st.waits || st.c.state == stateChecking {
		return
	}
	st.waits = false
	st.going <- struct{}{} // never blocks: the reader has taken the last one
}

// write accepts as many bytes as there is room for and returns their number.
func (st *stream) write(head, data []byte, shared bool) int {
	st.mu.Lock()
	defer st.mu.Unlock()
	room := max(st.held-st.out.bytes, 0)
	if st.out.bytes == 0 {
		room = max(room, min(len(head)+len(data), streamHeld))
	}
	n := min(room, len(head))
	st.out.add(head[:n], false)
	m := min(room-n, len(data))
	st.out.add(data[:m], shared)
	st.starved = n < len(head) || m < len(data)
	st.more.Signal()
	return n + m
}

// writeAll writes the accepted bytes until the stream is closed, and then the rest within a time limit.
func (st *stream) writeAll() {
	var now outgo
	for {
		st.mu.Lock()
		for st.out.bytes == 0 && !st.closed {
			st.more.Wait()
		}
		now, st.out = st.out, now
		starved, closed := st.starved, st.closed
		st.starved = false
		st.mu.Unlock()
		if now.bytes == 0 && closed {
			_ = st.nc.Close()
			return
		}
		if starved {
			st.sayRoom()
		}
		if err := now.writeTo(st.nc); err != nil {
			_ = st.nc.Close() // its reader tells the shard
			st.abandon()
			return
		}
	}
}

// sayRoom tells the shard that there is room again. A connection between two shards needs no notice: it is written to when it arrives.
func (st *stream) sayRoom() {
	home := st.home.Load()
	if home == nil {
		return
	}
	home.post(call(func(s *shard) {
		if st.home.Load() == s && st.c.state != stateClosed {
			st.c.writable()
		}
	}))
}

// setLowWater limits the bytes that wait in the stream and its socket.
func (st *stream) setLowWater() {
	st.mu.Lock()
	st.held = lowWaterBytes
	st.mu.Unlock()
	poller.SetLowWaterConn(st.nc, lowWaterBytes)
}

// abandon drops bytes that can no longer be written.
func (st *stream) abandon() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.out = outgo{}
}

// close ends both goroutines after the accepted bytes are written. It is idempotent.
func (st *stream) close() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return
	}
	st.closed = true
	close(st.going)
	_ = st.nc.SetDeadline(time.Now().Add(streamClose))
	st.more.Signal()
}
