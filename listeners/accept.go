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

// How long an accept that failed waits until it is tried again: doubled each time, from the first to the last.
const (
	firstRetry = 5 * time.Millisecond
	lastRetry  = time.Second
)

// acceptor is a net.Listener whose Accept returns an error only when the listener was closed. With slots it also
// pauses while too many connections are at a stage before the Attacher has them; then they wait in the kernel's queue.
type acceptor struct {
	net.Listener
	errors *throttled
	slots  chan struct{} // nil: no bound; an element for each connection that has not been released

	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
	atClose   func() // called before the socket is closed
}

// newAcceptor wraps l; slots at most 0 means that the number of connections is not bounded here.
func newAcceptor(l net.Listener, slots int, log *slog.Logger) *acceptor {
	a := &acceptor{
		Listener: l,
		errors:   newThrottled(log),
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

// retried accepts until that succeeds or the listener is closed.
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

// reserve takes a slot; it waits for one until the listener is closed.
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

// release gives the slot of a connection back.
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

// pause waits, and reports false if the listener was closed meanwhile.
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

// report logs why an accept failed. A peer that went away while it waited is nobody's business.
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

// logInterval is how often a throttled logger writes at most.
const logInterval = 10 * time.Second

// throttled is a logger for what strangers can cause at will: it writes a line at most every logInterval, and with it
// how many it has held back.
type throttled struct {
	log *slog.Logger

	mu   sync.Mutex // guards what follows
	next time.Time
	held int
}

func newThrottled(log *slog.Logger) *throttled { return &throttled{log: log} }

// Log writes a line, or counts it. Lines below the logger's level are not counted.
func (t *throttled) Log(level slog.Level, message string, args ...any) {
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

func (t *throttled) allow(now time.Time) (held int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Before(t.next) {
		t.held++
		return 0, false
	}
	held, t.held, t.next = t.held, 0, now.Add(logInterval)
	return held, true
}
