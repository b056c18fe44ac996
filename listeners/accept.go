package listeners

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Pauses after a failed accept: from firstRetry, doubled each time, to lastRetry.
const (
	firstRetry = 5 * time.Millisecond
	lastRetry  = time.Second
)

// acceptor is a net.Listener whose Accept fails only when the listener is closed. With slots it also pauses while too
// many connections are in a stage before the Attacher; further ones wait in the kernel's queue.
type acceptor struct {
	net.Listener
	errors *rateLimitedLog
	slots  chan struct{} // one element for each unreleased connection; nil: no bound

	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
	atClose   func() // called before the socket is closed
}

// newAcceptor wraps l. It does not bound the connections if slots is at most 0.
func newAcceptor(l net.Listener, slots int, log *slog.Logger) *acceptor {
	a := &acceptor{
		Listener: l,
		errors:   newRateLimitedLog(log),
		closing:  make(chan struct{}),
		atClose:  func() {},
	}
	if slots > 0 {
		a.slots = make(chan struct{}, slots)
	}
	return a
}

// Accept returns the next connection, or ErrServerClosed. With slots, release must be called once for each.
func (a *acceptor) Accept() (net.Conn, error) {
	if !a.reserve() {
		return nil, ErrServerClosed
	}
	return retried(a, a.Listener.Accept)
}

// retried calls accept until it succeeds or the listener is closed.
func retried[T any](a *acceptor, accept func() (T, error)) (got T, err error) {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		if got, err = accept(); err == nil {
			return got, nil
		}
		if a.closed() || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
			return got, ErrServerClosed
		}
		a.report(err)
		if !a.pause(wait) {
			return got, ErrServerClosed
		}
	}
}

// Close stops Accept. It is idempotent.
func (a *acceptor) Close() error {
	a.closeOnce.Do(func() {
		close(a.closing)
		a.atClose()
		if err := a.Listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			a.closeErr = err
		}
	})
	return a.closeErr
}

// reserve takes a slot. It waits for one, and returns false when the listener is closed.
func (a *acceptor) reserve() bool {
	if a.slots == nil {
		return !a.closed()
	}
	select {
	case a.slots <- struct{}{}:
		return true
	case <-a.closing:
		return false
	}
}

// release frees a connection's slot.
func (a *acceptor) release() {
	if a.slots != nil {
		<-a.slots
	}
}

func (a *acceptor) closed() bool {
	select {
	case <-a.closing:
		return true
	default:
		return false
	}
}

// pause waits for d. It reports false if the listener was closed meanwhile.
func (a *acceptor) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-a.closing:
		return false
	}
}

// report logs an accept's error, unless the peer has just gone away.
func (a *acceptor) report(err error) {
	switch {
	case errors.Is(err, syscall.ECONNABORTED):
		a.errors.Log(slog.LevelDebug, "accept failed, trying again", "error", err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		a.errors.Log(slog.LevelError, "accept failed, trying again", "error", err,
			"hint", "raise the limit of open files (ulimit -n, LimitNOFILE)")
	default:
		a.errors.Log(slog.LevelError, "accept failed, trying again", "error", err)
	}
}

// logInterval is the shortest interval between lines of a throttled logger.
const logInterval = 10 * time.Second

// rateLimitedLog is a logger for events that strangers can cause: it writes at most one line every logInterval, with the
// number of suppressed lines.
type rateLimitedLog struct {
	log *slog.Logger

	mu   sync.Mutex // guards the fields below
	next time.Time
	held int
}

func newRateLimitedLog(log *slog.Logger) *rateLimitedLog { return &rateLimitedLog{log: log} }

// Log writes or counts a line. It ignores lines below the logger's level.
func (t *rateLimitedLog) Log(level slog.Level, message string, args ...any) {
	if !t.log.Enabled(context.Background(), level) {
		return
	}
	held, ok := t.allow(time.Now())
	if !ok {
		return
	}
	if held > 0 {
		args = append(args, "held_back", held)
	}
	t.log.Log(context.Background(), level, message, args...)
}

func (t *rateLimitedLog) allow(now time.Time) (held int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Before(t.next) {
		t.held++
		return 0, false
	}
	held, t.held, t.next = t.held, 0, now.Add(logInterval)
	return held, true
}
