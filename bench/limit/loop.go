package main

import (
	"log"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/outcry-mqtt/outcry/internal/poller"
)

const readBytes = 64 << 10 // read of one connection at a time, as in the broker

// loop is a thread with a share of the connections.
type loop struct {
	// Static after construction.
	poller *poller.Poller
	topics *topics

	// Owned by the loop.
	conns map[int]*conn // by descriptor
	buf   []byte

	mu     sync.Mutex
	posted []func() // guarded by mu
}

// conn is a connection. Its input is decoded up to its first PUBLISH, and then forwarded unread.
type conn struct {
	fd   int
	in   []byte // an incomplete packet
	hear *audience
	to   []*audience
}

// audience holds the subscribers of a topic on one loop, which owns them.
type audience struct {
	loop *loop
	fds  []int
}

// topics holds all subscriptions.
type topics struct {
	mu        sync.Mutex
	audiences map[string][]*audience // guarded by mu
}

// audiencesOf returns the audiences of a topic.
func (t *topics) audiencesOf(name string) []*audience {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.audiences[name])
}

// audienceOn returns the audience of a topic on one loop, and creates a missing one.
func (t *topics) audienceOn(name string, l *loop) *audience {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.audiences[name] {
		if a.loop == l {
			return a
		}
	}
	a := &audience{loop: l}
	t.audiences[name] = append(t.audiences[name], a)
	return a
}

func newLoop(t *topics) (*loop, error) {
	p, err := poller.New()
	return &loop{poller: p, topics: t, conns: map[int]*conn{}, buf: make([]byte, readBytes)}, err
}

// post makes the loop call f. It is safe for concurrent use.
func (l *loop) post(f func()) {
	l.mu.Lock()
	l.posted = append(l.posted, f)
	l.mu.Unlock()
	l.poller.Wake()
}

func (l *loop) run() {
	runtime.LockOSThread()
	for {
		l.poller.Prepare()
		l.mu.Lock()
		posted := l.posted
		l.posted = nil
		l.mu.Unlock()
		for _, f := range posted {
			f()
		}
		timeout := never
		if len(posted) > 0 {
			timeout = 0
		}
		events, err := l.poller.Wait(timeout, true)
		if err != nil {
			log.Fatal(err)
		}
		for _, e := range events {
			if c := l.conns[int(e.Token)]; c != nil {
				l.read(c)
			}
		}
	}
}

// never is the timeout of a wait without a limit.
const never = time.Duration(-1)

func (l *loop) add(fd int) {
	if err := l.poller.Add(fd, uint64(fd), poller.Read); err != nil {
		log.Fatal(err)
	}
	l.conns[fd] = &conn{fd: fd}
}

// read reads once, and forwards the bytes of a publisher.
func (l *loop) read(c *conn) {
	n, again := readFD(c.fd, l.buf)
	switch {
	case again:
	case n <= 0:
		l.drop(c)
	case c.to != nil:
		l.forward(c, l.buf[:n])
	default:
		c.in = append(c.in, l.buf[:n]...)
		l.packets(c)
	}
}

// forward writes bytes to all subscribers: at once on this loop, by post on others.
func (l *loop) forward(c *conn, b []byte) {
	for _, a := range c.to {
		if a.loop == l {
			a.write(b)
			continue
		}
		own := slices.Clone(b)
		a.loop.post(func() { a.write(own) })
	}
}

func (a *audience) write(b []byte) {
	for _, fd := range a.fds {
		writeFD(fd, b)
	}
}

func (l *loop) drop(c *conn) {
	if c.hear != nil {
		c.hear.fds = slices.DeleteFunc(c.hear.fds, func(fd int) bool { return fd == c.fd })
	}
	delete(l.conns, c.fd)
	closeFD(c.fd)
}
