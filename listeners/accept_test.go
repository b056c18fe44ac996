package listeners_test

import (
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcry-mqtt/outcry/listeners"
)

// flaky is a net.Listener whose Accept returns the given errors, then one connection, then blocks until Close.
type flaky struct {
	mu     sync.Mutex // guards the fields below
	errs   []error
	conn   net.Conn
	called []time.Time

	once   sync.Once
	closed chan struct{}
}

func (f *flaky) Accept() (net.Conn, error) {
	if c, err := f.next(); err != nil || c != nil {
		return c, err
	}
	<-f.closed
	return nil, net.ErrClosed
}

func (f *flaky) next() (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.called = append(f.called, time.Now())
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, err
	}
	c := f.conn
	f.conn = nil
	return c, nil
}

func (f *flaky) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

func (f *flaky) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1883} }

// sysErr returns package net's form of an error of accept(2).
func sysErr(n syscall.Errno) error {
	return &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", n)}
}

func repeat(err error, n int) []error {
	var errs []error
	for range n {
		errs = append(errs, err)
	}
	return errs
}

func TestAcceptErrorsDoNotEndIt(t *testing.T) {
	for name, test := range map[string]struct {
		errs    []error
		wantLog string
	}{
		"no more files":         {repeat(sysErr(syscall.EMFILE), 12), "raise the limit of open files"},
		"no more in the system": {repeat(sysErr(syscall.ENFILE), 12), "raise the limit of open files"},
		"peer gone":             {repeat(sysErr(syscall.ECONNABORTED), 3), "level=DEBUG"},
		"never heard of":        {repeat(errors.New("odd"), 3), "error=odd"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer client.Close()
				defer server.Close()
				fake := &flaky{errs: test.errs, conn: server, closed: make(chan struct{})}
				var log logs
				to := newTestAttacher()
				l, err := listeners.ListenTCP(listeners.TCPOptions{Listener: fake, Attacher: to, Logger: log.logger()})
				if err != nil {
					t.Fatal(err)
				}
				served := make(chan error)
				go func() { served <- l.Serve() }()
				if link := <-to.links; link.Conn != server {
					t.Error("another connection was attached")
				}
				l.Close()
				if err := <-served; !errors.Is(err, listeners.ErrServerClosed) {
					t.Errorf("Serve returned %v", err)
				}
				wantWaits(t, fake.called[:len(test.errs)+1])
				if !strings.Contains(log.String(), test.wantLog) {
					t.Errorf("the log does not say %q: %s", test.wantLog, log.String())
				}
			})
		})
	}
}

// wantWaits checks that the calls are 5 ms apart, then twice as much each time, up to a second.
func wantWaits(t *testing.T, calls []time.Time) {
	t.Helper()
	want := 5 * time.Millisecond
	for i := range len(calls) - 1 {
		if got := calls[i+1].Sub(calls[i]); got != want {
			t.Errorf("wait %d was %v, want %v", i, got, want)
		}
		want = min(2*want, time.Second)
	}
}

func TestAcceptErrorsAreNotLoggedAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logs
		fake := &flaky{errs: repeat(sysErr(syscall.EMFILE), 20), closed: make(chan struct{})}
		l, err := listeners.ListenTCP(listeners.TCPOptions{Listener: fake, Attacher: newTestAttacher(), Logger: log.logger()})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error)
		go func() { served <- l.Serve() }()
		time.Sleep(15 * time.Second) // of the bubble's clock
		l.Close()
		<-served
		// One at once and one after ten seconds: 5+10+…+640 ms and then each second.
		if n := strings.Count(log.String(), "accept failed"); n != 2 {
			t.Errorf("%d lines, want 2: %s", n, log.String())
		}
		if !strings.Contains(log.String(), "held_back=") {
			t.Errorf("the log does not say how much it held back: %s", log.String())
		}
	})
}

func TestCloseWhileAcceptWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &flaky{errs: repeat(sysErr(syscall.EMFILE), 1000), closed: make(chan struct{})}
		l, err := listeners.ListenTCP(listeners.TCPOptions{Listener: fake, Attacher: newTestAttacher()})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error)
		go func() { served <- l.Serve() }()
		time.Sleep(10*time.Second + 500*time.Millisecond) // of the bubble's clock: within a wait of a second
		begin := time.Now()
		l.Close()
		<-served
		if took := time.Since(begin); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}
