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

// rawConn is a connection of an attacker as a bare descriptor, so that a test can have ten thousand.
type rawConn struct {
	fd    int
	drip  string // bytes to send, one at a time
	heard bool   // an answer has come
}

// rawConns are the attacker's open connections.
type rawConns struct {
	t       *testing.T
	open    []rawConn
	answers map[string]int // first answers by their beginning: 4 bytes, or for HTTP the status
	buf     [4096]byte
}

func newRawConns(t *testing.T) *rawConns {
	a := &rawConns{t: t, answers: map[string]int{}}
	t.Cleanup(a.leave)
	return a
}

// leave closes all connections.
func (a *rawConns) leave() {
	for _, s := range a.open {
		_ = syscall.Close(s.fd)
	}
	a.open = nil
}

// connect opens n connections that each send text at once, and drip slowly. It ignores a connection that is refused
// at once.
func (a *rawConns) connect(n int, address, text, drip string) {
	a.t.Helper()
	target := socketAddress(a.t, address)
	for range n {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			a.t.Fatal(err)
		}
		a.open = append(a.open, rawConn{fd: fd, drip: drip})
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

// sendDrip sends the next byte of drip on each connection.
func (a *rawConns) sendDrip() {
	for i := range a.open {
		if s := &a.open[i]; s.drip != "" {
			_, _ = syscall.Write(s.fd, []byte(s.drip[:1]))
			s.drip = s.drip[1:]
		}
	}
}

// write writes text to each connection.
func (a *rawConns) write(text []byte) {
	for _, s := range a.open {
		_, _ = syscall.Write(s.fd, text)
	}
}

// flood writes text to each connection repeatedly, until its socket is full or 256 KiB are sent.
func (a *rawConns) flood(text []byte) {
	for _, s := range a.open {
		for sent := 0; sent < 256<<10; {
			n, err := syscall.Write(s.fd, text)
			if sent += n; err != nil || n < len(text) {
				break
			}
		}
	}
}

// readAll reads the answers, and removes closed connections.
func (a *rawConns) readAll() {
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

// wantAnswers waits until n connections have got this answer.
func (a *rawConns) wantAnswers(n int, answer string) {
	a.t.Helper()
	eventually(a.t, fmt.Sprintf("%d answers that begin with %q", n, answer), func() bool {
		a.readAll()
		return a.answers[answer] == n
	})
}

// wantAllClosed waits until the peer has closed every connection. Meanwhile each sends a byte a second.
func (a *rawConns) wantAllClosed() {
	a.t.Helper()
	began, said := time.Now(), time.Now()
	eventually(a.t, "every connection is closed", func() bool {
		if time.Since(said) > time.Second {
			a.sendDrip()
			said = time.Now()
		}
		a.readAll()
		return len(a.open) == 0
	})
	a.t.Logf("all were closed %v later", time.Since(began).Round(100*time.Millisecond))
}
