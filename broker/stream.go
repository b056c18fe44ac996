package broker

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	streamRead  = 16 << 10        // bytes read at once
	streamHeld  = 256 << 10       // bytes that its writer holds before the connection counts as full, if it is not shallow
	streamClose = 5 * time.Second // to write what is left when it is closed
)

// carrier carries the bytes of a connection that the shard's poller does not watch. It gives the shard what it reads, a piece
// at a time, by posts; the rest looks to the shard as a socket does.
type carrier interface {
	start(wg *sync.WaitGroup)    // begins to read; wg ends with it
	settle(s *shard)             // the connection is on s now; nil: between two
	proceed()                    // the shard wants to read on
	write(head, data []byte) int // takes as much as there is room for
	close()                      // after what was taken is written; it is idempotent
}

// stream is a carrier with two goroutines, where the shard's poller cannot watch the connection: TLS, and systems without
// epoll. When it has room again it says so.
type stream struct {
	c     *conn
	nc    net.Conn
	home  atomic.Pointer[shard] // the shard that c is on; nil: between two
	going chan struct{}         // the shard wants to read on

	mu      sync.Mutex // guards what follows
	more    sync.Cond  // something to write, or closed
	held    int        // bytes that out may hold before the connection counts as full
	out     []byte
	starved bool // something was not taken: the shard waits to hear of room
	closed  bool
}

func newStream(c *conn, nc net.Conn) *stream {
	st := &stream{c: c, nc: nc, going: make(chan struct{}, 1), held: streamHeld}
	st.more.L = &st.mu
	return st
}

func (st *stream) settle(s *shard) { st.home.Store(s) }

// start begins to read; the shard has entered the connection or will.
func (st *stream) start(wg *sync.WaitGroup) {
	wg.Add(2)
	go func() { defer wg.Done(); st.read() }()
	go func() { defer wg.Done(); st.writeAll() }()
}

// arrival is what a stream has read, or the error that ended it: a post.
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
	if c.received(a.data) && c.state != stateClosed && c.paused == 0 {
		a.st.proceed()
	}
}

// read posts what it reads to the shard, one piece at a time: the next when the shard wants to read on.
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

// pass posts an arrival and waits until the shard wants more; it returns false if there will be no more.
func (st *stream) pass(a *arrival) bool {
	home := st.home.Load() // nil once it is closed; between two shards it is not read
	if home == nil || !home.post(a) {
		return false
	}
	if a.err != nil {
		return false
	}
	_, ok := <-st.going
	return ok
}

// proceed lets the next piece be read.
func (st *stream) proceed() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return
	}
	select {
	case st.going <- struct{}{}:
	default:
	}
}

// write takes as much as there is room for.
func (st *stream) write(head, data []byte) int {
	st.mu.Lock()
	defer st.mu.Unlock()
	room := max(st.held-len(st.out), 0)
	if len(st.out) == 0 {
		room = max(room, len(head)+len(data))
	}
	n := min(room, len(head))
	st.out = append(st.out, head[:n]...)
	m := min(room-n, len(data))
	st.out = append(st.out, data[:m]...)
	st.starved = n < len(head) || m < len(data)
	st.more.Signal()
	return n + m
}

// writeAll writes what was taken until the stream is closed, and then what is left, in a limited time.
func (st *stream) writeAll() {
	var buf []byte
	for {
		st.mu.Lock()
		for len(st.out) == 0 && !st.closed {
			st.more.Wait()
		}
		buf, st.out = st.out, buf[:0]
		starved, closed := st.starved, st.closed
		st.starved = false
		st.mu.Unlock()
		if len(buf) == 0 && closed {
			_ = st.nc.Close()
			return
		}
		if starved {
			st.sayRoom()
		}
		if _, err := st.nc.Write(buf); err != nil {
			_ = st.nc.Close() // its reader tells the shard
			st.abandon()
			return
		}
		if cap(buf) > largeBuffer {
			buf = nil
		}
	}
}

// sayRoom tells the shard that there is room again. A connection between two shards finds out by itself: it is sent
// something when it arrives.
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

// makeShallow has little wait in the stream and its socket.
func (st *stream) makeShallow() {
	st.mu.Lock()
	st.held = shallowBytes
	st.mu.Unlock()
	setShallowConn(st.nc, shallowBytes)
}

// abandon drops what can no longer be written.
func (st *stream) abandon() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.out = nil
}

// close ends both goroutines, after what was taken is written. It is idempotent.
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
