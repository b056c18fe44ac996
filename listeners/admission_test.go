package listeners_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/guard"
	"github.com/outcry-mqtt/outcry/listeners"
)

const upgradeRequest = "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

// maskedConnect is connect in a WebSocket frame with a zero mask.
var maskedConnect = append([]byte{0x82, 0x80 | byte(len(connect)), 0, 0, 0, 0}, connect...)

// connectPath is a way to connect, step by step. A step returns false if the connection has ended.
type connectPath struct {
	name  string
	steps []func(c *net.Conn) bool
	hello []byte // CONNECT with everything before it in the same write
}

// connectPaths are the ways to connect through raw sockets; trusting is the client's TLS configuration.
func connectPaths(trusting *tls.Config) []connectPath {
	wait := func(*net.Conn) bool { return true }
	handshake := func(c *net.Conn) bool {
		over := tls.Client(*c, trusting)
		*c = over
		return over.Handshake() == nil
	}
	upgraded := func(c *net.Conn) bool {
		if _, err := io.WriteString(*c, upgradeRequest); err != nil {
			return false
		}
		return readUntil(*c, "\r\n\r\n")
	}
	return []connectPath{
		{"tcp", []func(*net.Conn) bool{wait, wait}, connect},
		{"tls", []func(*net.Conn) bool{wait, handshake, wait}, connect},
		{"ws", []func(*net.Conn) bool{wait, upgraded, wait}, maskedConnect},
		{"wss", []func(*net.Conn) bool{handshake, wait, upgraded, wait}, maskedConnect},
	}
}

// readUntil reads up to the end of an answer byte by byte, so that it reads nothing behind it.
func readUntil(c net.Conn, end string) bool {
	var text strings.Builder
	for b := make([]byte, 1); !strings.HasSuffix(text.String(), end); {
		if _, err := c.Read(b); err != nil {
			return false
		}
		text.Write(b)
	}
	return true
}

// All steps from the accept to CONNECT share one deadline.
func TestOneDeadlineUntilConnect(t *testing.T) {
	t.Parallel()
	const short = 2 * time.Second
	server, trusting := serverTLS(t)
	for _, limit := range []time.Duration{short, time.Hour} {
		b := startLimited(t, broker.Limits{ConnectTimeout: limit})
		all := map[string]listeners.Listener{
			"tcp": listenTCP(t, listeners.TCPOptions{Attacher: b, HandshakeTimeout: limit}),
			"tls": listenTCP(t, listeners.TCPOptions{Attacher: b, HandshakeTimeout: limit, TLS: server}),
			"ws":  listenWS(t, listeners.WebSocketOptions{Attacher: b, HeaderTimeout: limit}),
			"wss": listenWS(t, listeners.WebSocketOptions{Attacher: b, HeaderTimeout: limit, TLS: server}),
		}
		for _, way := range connectPaths(trusting) {
			t.Run(fmt.Sprint(way.name, " in ", limit), func(t *testing.T) {
				t.Parallel()
				in := way.connect(t, dial(t, all[way.name]), short*7/10)
				if want := limit > short; in != want {
					t.Errorf("let in %v, want %v", in, want)
				}
			})
		}
	}
}

// connect pauses after each step, and reports whether CONNACK comes in the end.
func (way *connectPath) connect(t *testing.T, c net.Conn, pause time.Duration) (in bool) {
	t.Helper()
	c.SetDeadline(time.Now().Add(waitLimit))
	for _, step := range way.steps {
		if !step(&c) {
			return false
		}
		time.Sleep(pause) // a slow peer
	}
	if _, err := c.Write(way.hello); err != nil {
		return false
	}
	var answer [1]byte
	_, err := c.Read(answer[:])
	return err == nil && (answer[0] == connack[0] || answer[0] == 0x82)
}

// wantLimited waits until a limit has refused that many connections.
func wantLimited(t *testing.T, b *broker.Broker, limit string, want uint64) {
	t.Helper()
	for end := time.Now().Add(waitLimit); b.Stats().Limited[limit] != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%v, want %s %d times", b.Stats().Limited, limit, want)
		}
	}
}

// A connection over a limit of its address is closed at once: before TLS, and before anything is read. Earlier
// connections are not affected.
func TestLimitsOfAnAddressHoldAtAccept(t *testing.T) {
	t.Parallel()
	server, trusting := serverTLS(t)
	for limit, options := range map[string]guard.Options{
		"address_connections":  {MaxPerAddress: 1},
		"address_half_open":    {MaxHalfOpen: 1},
		"address_connect_rate": {ConnectsPerSecond: .001, ConnectBurst: 1},
	} {
		for _, way := range connectPaths(trusting) {
			t.Run(limit+" over "+way.name, func(t *testing.T) {
				t.Parallel()
				b := startLimited(t, broker.Limits{ConnectTimeout: time.Hour, Guard: options})
				l := map[string]func() listeners.Listener{
					"tcp": func() listeners.Listener { return listenTCP(t, listeners.TCPOptions{Attacher: b}) },
					"tls": func() listeners.Listener {
						return listenTCP(t, listeners.TCPOptions{Attacher: b, TLS: server, HandshakeTimeout: time.Hour})
					},
					"ws": func() listeners.Listener {
						return listenWS(t, listeners.WebSocketOptions{Attacher: b, HeaderTimeout: time.Hour})
					},
					"wss": func() listeners.Listener {
						return listenWS(t, listeners.WebSocketOptions{Attacher: b, TLS: server, HeaderTimeout: time.Hour})
					},
				}[way.name]()
				first := dial(t, l)
				wantClosed(t, dial(t, l))
				wantLimited(t, b, limit, 1)
				if !way.connect(t, first, 0) {
					t.Error("the first is not let in")
				}
			})
		}
	}
}

// Behind a proxy the client's address counts, as soon as the proxy has sent it, before TLS.
func TestLimitsOfAnAddressBehindAProxy(t *testing.T) {
	t.Parallel()
	server, _ := serverTLS(t)
	b := startLimited(t, broker.Limits{ConnectTimeout: time.Hour, Guard: guard.Options{MaxPerAddress: 1}})
	for i, l := range []listeners.Listener{
		listenTCP(t, listeners.TCPOptions{Attacher: b, TLS: server, ProxyProtocol: proxyAddresses, HandshakeTimeout: time.Hour}),
		listenWS(t, listeners.WebSocketOptions{Attacher: b, TLS: server, ProxyProtocol: proxyAddresses, HeaderTimeout: time.Hour}),
	} {
		client := func(last int) net.Conn {
			return send(t, dial(t, l), fmt.Sprintf("PROXY TCP4 192.0.2.%d 192.0.2.2 1234 1883\r\n", last))
		}
		one, two := client(10+i), client(10+i)
		ended := make(chan net.Conn, 2)
		for _, c := range []net.Conn{one, two} {
			go func() {
				c.Read(make([]byte, 1))
				ended <- c
			}()
		}
		wantLimited(t, b, "address_connections", uint64(i+1))
		gone := <-ended // one of them; the other when it is closed here
		other := client(20 + i)
		other.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := other.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("another client is refused: %v", err)
		}
		if one.Close(); gone == one {
			two.Close()
		}
		<-ended
	}
}

// Behind a proxy that names the client in the request, nobody is refused for the proxy's own address.
func TestForwardingProxiesAreNotCounted(t *testing.T) {
	t.Parallel()
	b := startLimited(t, broker.Limits{Guard: guard.Options{MaxPerAddress: 1}})
	l := listenWS(t, listeners.WebSocketOptions{Attacher: b, Forwarded: proxyAddresses})
	for i, want := range []bool{true, true, false} {
		c := dial(t, l)
		c.SetDeadline(time.Now().Add(waitLimit))
		client := fmt.Sprintf("X-Forwarded-For: 192.0.2.%d\r\n\r\n", 1+i%2)
		send(t, c, strings.TrimSuffix(upgradeRequest, "\r\n")+client)
		if !readUntil(c, "\r\n\r\n") {
			t.Fatal("no upgrade")
		}
		if _, err := c.Write(maskedConnect); err != nil && want {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); (err == nil) != want {
			t.Errorf("client %d: %v, want it let in %v", i, err, want)
		}
	}
	wantLimited(t, b, "address_connections", 1)
}

// Connections that load pages may exceed the time for the header.
func TestPagesMayTakeLonger(t *testing.T) {
	t.Parallel()
	const short = 500 * time.Millisecond
	slow := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		time.Sleep(2 * short) // the time for the header is over
		io.WriteString(rw, "there")
	})
	l := listenWS(t, listeners.WebSocketOptions{Attacher: newTestAttacher(), Pages: slow, HeaderTimeout: short})
	c := dial(t, l)
	c.SetDeadline(time.Now().Add(waitLimit))
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if !readUntil(c, "there") {
		t.Error("the page was cut off")
	}
}
