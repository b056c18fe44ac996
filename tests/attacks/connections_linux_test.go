package attacks_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

var connectionAttacks = []attack{
	{name: "connects and closes", run: func(a *attacker) {
		a.isRunning()
		a.each(8, func(i int) {
			for n := 0; a.isRunning(); n++ {
				a.client("mal", fmt.Sprint("c", i, "-", n), 0).close()
			}
		})
	}},
	{name: "WebSockets opened and closed", run: func(a *attacker) {
		a.isRunning()
		a.each(8, func(i int) {
			for a.isRunning() {
				if conn := a.open("ws"); conn != nil {
					n, _ := conn.Write([]byte{0x10})
					a.sent.Add(int64(n))
					conn.Close()
				}
			}
		})
	}},
	{name: "refused CONNECTs with 63 KB of identifier", run: func(a *attacker) {
		a.isRunning()
		a.each(8, func(i int) {
			for a.isRunning() {
				k := a.s.connectAs("mal", strings.Repeat("A", 62_000), 0)
				bad := *k.Password + "x"
				k.Password = &bad
				a.connect(k, "tcp", false).close()
			}
		})
	}},
	{name: "tokens of another issuer", sets: []string{"auth.jwt.cache=10000"}, run: func(a *attacker) {
		forged := "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJ4Iiwic3ViIjoiYSJ9.AAAA"
		a.isRunning()
		a.each(8, func(i int) {
			for a.isRunning() {
				k := a.s.connectAs("mal", strings.Repeat("B", 62_000), 0)
				k.Password = &forged
				a.connect(k, "tcp", false).close()
			}
		})
	}},
	{name: "CONNECT with 64 KB of user properties", run: func(a *attacker) {
		props := make(raw.Props, 9000)
		for i := range props {
			props[i] = raw.User("", "")
		}
		a.isRunning()
		a.each(8, func(i int) {
			for a.isRunning() {
				k := a.s.connectAs("mal", fmt.Sprint("c", i), 0)
				k.Props = props
				a.connect(k, "tcp", false).close()
			}
		})
	}},
	{name: "clients that take an identifier from each other", run: func(a *attacker) {
		a.isRunning()
		a.each(16, func(i int) {
			for a.isRunning() {
				a.client("mal", "same", 3600)
			}
		})
	}},
	{name: "pages, over connections that stay", run: func(a *attacker) {
		get := "GET /favicon.ico HTTP/1.1\r\nHost: x\r\n\r\n"
		all := a.openMany("ws", 2100)
		for a.isRunning() {
			for _, fd := range all {
				a.exchangeBytes(fd, get)
			}
			time.Sleep(100 * time.Millisecond)
		}
		a.hangUp(all)
	}},
	{name: "half an upgrade, from three addresses", run: func(a *attacker) {
		all := a.openMany("ws", 2900)
		for _, fd := range all {
			a.exchangeBytes(fd, upgrade[:60])
		}
		for a.isRunning() {
			time.Sleep(10 * time.Millisecond)
		}
		a.hangUp(all)
	}},
	{name: "half a TLS handshake, from three addresses", tls: true, run: func(a *attacker) {
		all := a.openMany("tls", 2900)
		for _, fd := range all {
			a.exchangeBytes(fd, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
		}
		for a.isRunning() {
			time.Sleep(10 * time.Millisecond)
		}
		a.hangUp(all)
	}},
	{name: "half a CONNECT, from three addresses", run: func(a *attacker) {
		all := a.openMany("tcp", 2900)
		for a.isRunning() {
			for _, fd := range all {
				a.exchangeBytes(fd, longConnectPacket[:1])
			}
			time.Sleep(50 * time.Millisecond)
		}
		a.hangUp(all)
	}},
	{name: "pages as fast as they come", run: func(a *attacker) {
		get := strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n", 20)
		a.isRunning()
		a.each(8, func(i int) {
			for a.isRunning() {
				conn, err := net.Dial("tcp", a.s.Address("ws"))
				if err != nil {
					return
				}
				a.own(conn)
				go func() { _, _ = io.Copy(io.Discard, conn) }()
				for a.isRunning() {
					n, err := conn.Write([]byte(get))
					a.sent.Add(int64(n))
					if err != nil {
						break
					}
				}
				conn.Close()
			}
		})
	}},
}

// openMany opens n connections as bare descriptors.
func (a *attacker) openMany(listener string, n int) (all []int) {
	target := socketAddress(a.t, a.s.Address(listener))
	for range n {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
		if err != nil {
			a.t.Fatal(err)
		}
		all = append(all, fd)
		_ = syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
		if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte(a.source().To4())}); err != nil {
			a.t.Fatal(err)
		}
		if err := syscall.Connect(fd, target); err != nil && err != syscall.EINPROGRESS {
			a.t.Fatal(err)
		}
	}
	return all
}

// exchangeBytes writes to one of many connections, and reads the pending answer.
func (a *attacker) exchangeBytes(fd int, text string) {
	var buf [4096]byte
	_, _ = syscall.Read(fd, buf[:])
	if n, err := syscall.Write(fd, []byte(text)); err == nil {
		a.sent.Add(int64(n))
	}
}

func (a *attacker) hangUp(all []int) {
	for _, fd := range all {
		_ = syscall.Close(fd)
	}
}
