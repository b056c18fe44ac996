package attacks_test

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"
)

// stranger is a connection of an attacker: a descriptor and nothing else, so that a test can have ten thousand.
type stranger struct {
	fd    int
	drip  string // what it still says, a byte at a time
	heard bool   // it was answered
}

// strangers are the connections of an attacker that were not closed yet.
type strangers struct {
	t       *testing.T
	open    []stranger
	answers map[string]int // how each first answer began: 4 bytes, or of HTTP the status
	buf     [4096]byte
}

func newStrangers(t *testing.T) *strangers {
	a := &strangers{t: t, answers: map[string]int{}}
	t.Cleanup(a.leave)
	return a
}

// leave closes all connections.
func (a *strangers) leave() {
	for _, s := range a.open {
		_ = syscall.Close(s.fd)
	}
	a.open = nil
}

// connect opens n connections that each say text, and what drips later. A connection that is refused at once counts for nothing.
func (a *strangers) connect(n int, address, text, drip string) {
	a.t.Helper()
	target := socketAddress(a.t, address)
	for range n {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			a.t.Fatal(err)
		}
		a.open = append(a.open, stranger{fd: fd, drip: drip})
		if err := syscall.Connect(fd, target); err != nil {
			a.t.Fatal("connect: ", err)
		}
		if err := syscall.SetNonblock(fd, true); err != nil {
			a.t.Fatal(err)
		}
		_, _ = syscall.Write(fd, []byte(text)) // the peer may have closed
	}
}

func socketAddress(t *testing.T, address string) *syscall.SockaddrInet4 {
	t.Helper()
	to, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}
}

// say writes a byte to each connection that still has something to say.
func (a *strangers) say() {
	for i := range a.open {
		if s := &a.open[i]; s.drip != "" {
			_, _ = syscall.Write(s.fd, []byte(s.drip[:1]))
			s.drip = s.drip[1:]
		}
	}
}

// write writes text to each connection.
func (a *strangers) write(text []byte) {
	for _, s := range a.open {
		_, _ = syscall.Write(s.fd, text)
	}
}

// flood writes text to each connection again and again, as long as its socket takes it, and 256 KiB at most.
func (a *strangers) flood(text []byte) {
	for _, s := range a.open {
		for sent := 0; sent < 256<<10; {
			n, err := syscall.Write(s.fd, text)
			if sent += n; err != nil || n < len(text) {
				break
			}
		}
	}
}

// look reads what came, and forgets the connections that the peer has closed.
func (a *strangers) look() {
	for i := 0; i < len(a.open); {
		s := &a.open[i]
		n, err := syscall.Read(s.fd, a.buf[:])
		if n <= 0 && err != syscall.EAGAIN && err != syscall.EINTR {
			_ = syscall.Close(s.fd)
			a.open = slices.Delete(a.open, i, i+1)
			continue
		}
		if n > 0 && !s.heard {
			s.heard = true
			a.answers[beginning(a.buf[:n])]++
		}
		i++
	}
}

func beginning(answer []byte) string {
	if _, status, ok := bytes.Cut(answer, []byte("HTTP/1.1 ")); ok {
		return string(status[:min(3, len(status))])
	}
	return string(answer[:min(4, len(answer))])
}

// wantAnswers waits until so many have been answered so.
func (a *strangers) wantAnswers(n int, answer string) {
	a.t.Helper()
	eventually(a.t, fmt.Sprintf("%d answers that begin with %q", n, answer), func() bool {
		a.look()
		return a.answers[answer] == n
	})
}

// wantAllClosed waits until the peer has closed every connection. Meanwhile they say a byte a second.
func (a *strangers) wantAllClosed() {
	a.t.Helper()
	began, said := time.Now(), time.Now()
	eventually(a.t, "every connection is closed", func() bool {
		if time.Since(said) > time.Second {
			a.say()
			said = time.Now()
		}
		a.look()
		return len(a.open) == 0
	})
	a.t.Logf("all were closed %v later", time.Since(began).Round(100*time.Millisecond))
}
