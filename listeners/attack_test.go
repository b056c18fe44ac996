package listeners_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/listeners"
)

// Input of strangers before CONNECT. The listeners' limits are the defaults, except for a short timeout, so that a
// test sees its end; a slow machine may take ten times as long.
const handshakeTimeout = 5 * time.Second

// partialHandshakes holds incomplete handshakes, which keep a server waiting.
var partialHandshakes = map[string]string{
	"tcp": "\x10",
	"tls": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", // a ClientHello of 508 bytes
	"ws":  "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nX-Long: ",
	"wss": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}

// target is a listener of a broker, with the dial function of its clients.
type target struct {
	listeners.Listener
	connect func(t *testing.T) net.Conn
}

// targets returns all transports of one broker. Each allows that many concurrent handshakes.
func targets(t *testing.T, handshakes int) map[string]target {
	t.Helper()
	b := startLimited(t, broker.Limits{ConnectTimeout: handshakeTimeout})
	server, trusting := serverTLS(t)
	stream := listeners.TCPOptions{Attacher: b, HandshakeTimeout: handshakeTimeout, MaxHandshakes: handshakes}
	web := listeners.WebSocketOptions{Attacher: b, HeaderTimeout: handshakeTimeout, MaxRequests: handshakes}
	tcp, ws := listenTCP(t, stream), listenWS(t, web)
	stream.TLS, web.TLS = server, server
	overTLS, wss := listenTCP(t, stream), listenWS(t, web)
	return map[string]target{
		"tcp": {tcp, func(t *testing.T) net.Conn { return dial(t, tcp) }},
		"tls": {overTLS, func(t *testing.T) net.Conn { return tls.Client(dial(t, overTLS), trusting) }},
		"ws":  {ws, func(t *testing.T) net.Conn { return dialWS(t, "ws://"+ws.Addr().String()+"/mqtt", nil) }},
		"wss": {wss, func(t *testing.T) net.Conn { return dialWS(t, "wss://"+wss.Addr().String()+"/mqtt", trusting) }},
	}
}

// wantService fails unless clients can connect.
func (to target) wantService(t *testing.T) {
	t.Helper()
	for range 10 {
		c := to.connect(t)
		if _, err := c.Write(connect); err != nil {
			t.Fatal(err)
		}
		wantConnack(t, c)
		c.Close()
	}
}

// memory returns the memory of the process, including the test's ends of the connections.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// wantMemory fails if the process uses over bytes more memory than before.
func wantMemory(t *testing.T, before, bytes uint64) {
	t.Helper()
	if after := memory(); after > before+bytes {
		t.Errorf("%d bytes more are held, want %d at most", after-before, bytes)
	}
}

// openMany opens n connections that send only text.
func openMany(t *testing.T, n int, to target, text string) []net.Conn {
	t.Helper()
	all := make([]net.Conn, n)
	for i := range all {
		all[i] = send(t, dial(t, to), text)
	}
	return all
}

// wantAllClosed fails unless the peer closes every connection.
func wantAllClosed(t *testing.T, all []net.Conn) {
	t.Helper()
	var wait sync.WaitGroup
	for _, c := range all {
		c.SetReadDeadline(time.Now().Add(10 * handshakeTimeout))
		wait.Go(func() { wantClosed(t, c) })
	}
	wait.Wait()
}

// Thousands of silent or half-open connections use little memory, for a short time, and block nobody.
func TestAttackHalfOpen(t *testing.T) {
	const strangers, perStranger = 2000, 48 << 10
	for name, text := range partialHandshakes {
		t.Run(name, func(t *testing.T) {
			to := targets(t, 2*strangers)[name]
			before := memory()
			all := append(openMany(t, strangers/2, to, ""), openMany(t, strangers/2, to, text)...)
			to.wantService(t)
			wantMemory(t, before, strangers*perStranger)
			wantAllClosed(t, all)
			to.wantService(t)
		})
	}
}

// A byte now and then does not extend the deadline.
func TestAttackDrip(t *testing.T) {
	const strangers = 200
	all := targets(t, 2*strangers)
	for _, name := range []string{"tls", "ws", "wss"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conns := openMany(t, strangers, all[name], partialHandshakes[name])
			stop, dripped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(dripped)
				drip(conns, stop)
			}()
			all[name].wantService(t)
			wantAllClosed(t, conns)
			close(stop)
			<-dripped
		})
	}
}

// drip writes a byte to each connection, again and again.
func drip(conns []net.Conn, stop <-chan struct{}) {
	again := time.NewTicker(handshakeTimeout / 20)
	defer again.Stop()
	for {
		for _, c := range conns {
			c.Write([]byte{'x'}) // it may be closed already
		}
		select {
		case <-again.C:
		case <-stop:
			return
		}
	}
}

// When all slots are taken, further connections wait and are not refused.
func TestAttackAllPlacesTaken(t *testing.T) {
	const places = 8
	all := targets(t, places)
	for _, name := range []string{"tls", "ws", "wss"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conns := openMany(t, places, all[name], partialHandshakes[name])
			all[name].wantService(t)
			wantAllClosed(t, conns)
		})
	}
}

// Oversized and endless input is cut off before it is buffered.
func TestAttackBombs(t *testing.T) {
	const get = "GET /mqtt HTTP/1.1\r\nHost: x\r\n"
	all := targets(t, 100)
	proxied := listenTCP(t, listeners.TCPOptions{Attacher: newTestAttacher(), ProxyProtocol: proxyAddresses, HandshakeTimeout: handshakeTimeout})
	all["proxy"] = target{Listener: proxied}
	before := memory()
	for _, test := range []struct{ name, to, begin, again string }{
		{"a line of a header", "ws", get + "X: ", strings.Repeat("x", 4096)},
		{"many headers", "ws", get, strings.Repeat("X: y\r\n", 512)},
		{"a request line", "ws", "GET /", strings.Repeat("x", 4096)},
		{"a line that goes on", "ws", get + "X: y", strings.Repeat("\r\n ", 1024)},
		{"plain text for TLS", "tls", "", strings.Repeat("x", 4096)},
		{"a ClientHello of 16 MB", "tls", "\x16\x03\x01\x40\x00\x01\xff\xff\xff", strings.Repeat("x", 4096)},
		{"a ClientHello in pieces", "tls", "\x16\x03\x01\x00\x04\x01\xff\xff\xff", "\x16\x03\x01\x10\x00" + strings.Repeat("x", 4096)},
		{"the same for HTTPS", "wss", "\x16\x03\x01\x00\x04\x01\xff\xff\xff", "\x16\x03\x01\x10\x00" + strings.Repeat("x", 4096)},
		{"a line of the PROXY protocol", "proxy", "PROXY TCP4 ", strings.Repeat("1", 4096)},
		{"a block of the PROXY protocol", "proxy", proxyBlock[:14] + "\xff\xff", strings.Repeat("x", 4096)},
		{"a packet of 256 MB", "tcp", "\x10\xff\xff\xff\x7f", strings.Repeat("x", 4096)},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 5 {
				c := send(t, dial(t, all[test.to]), test.begin)
				wantCutOff(t, c, test.again, 32<<20)
			}
		})
	}
	wantMemory(t, before, 32<<20)
	for _, name := range []string{"tcp", "tls", "ws", "wss"} {
		all[name].wantService(t)
	}
}

// wantCutOff fails unless the peer closes the connection before most bytes were sent, most of which may be in the
// kernel's buffers.
func wantCutOff(t *testing.T, c net.Conn, text string, most int) {
	t.Helper()
	c.SetDeadline(time.Now().Add(10 * handshakeTimeout))
	for sent := 0; sent < most; sent += len(text) {
		if _, err := io.WriteString(c, text); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("it neither reads nor closes")
			}
			return
		}
	}
	t.Errorf("it took %d bytes", most)
}
