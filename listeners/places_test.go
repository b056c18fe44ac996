package listeners_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/listeners"
)

// dialFrom connects from a given loopback address, such as 127.0.0.7.
func dialFrom(t *testing.T, l listeners.Listener, last int) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(last))}, Timeout: waitLimit}
	c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Skipf("no such loopback address here: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestHalfOpenHandshakesHoldNobodyUp fills all places from three addresses with silent peers that never time out.
// Others can still connect.
func TestHalfOpenHandshakesHoldNobodyUp(t *testing.T) {
	const most = 60
	server, trusting := serverTLS(t)
	for name, listen := range map[string]func(to *testAttacher) (listeners.Listener, func(net.Conn) error){
		"tls": func(to *testAttacher) (listeners.Listener, func(net.Conn) error) {
			return listenTCP(t, listeners.TCPOptions{Attacher: to, TLS: server, HandshakeTimeout: time.Hour, MaxHandshakes: most}),
				func(c net.Conn) error { return tls.Client(c, trusting).HandshakeContext(t.Context()) }
		},
		"ws": func(to *testAttacher) (listeners.Listener, func(net.Conn) error) {
			return listenWS(t, listeners.WebSocketOptions{Attacher: to, HeaderTimeout: time.Hour, MaxRequests: most}),
				func(c net.Conn) error { _, err := io.WriteString(c, fullUpgrade); return err }
		},
	} {
		t.Run(name, func(t *testing.T) {
			to := newTestAttacher()
			l, enter := listen(to)
			for i := range 3 * most {
				dialFrom(t, l, 10+i%3)
			}
			for range 10 {
				c := dialFrom(t, l, 2)
				if err := enter(c); err != nil {
					t.Fatal(err)
				}
				to.next(t).Conn.Close()
			}
		})
	}
}

// TestPagesTakeNoPlaceOfUpgrades fills all places for pages, and more, with idle connections that have loaded one.
func TestPagesTakeNoPlaceOfUpgrades(t *testing.T) {
	const most = 30
	to := newTestAttacher()
	l := listenWS(t, listeners.WebSocketOptions{Attacher: to, HeaderTimeout: time.Hour, MaxRequests: most, MaxPages: most, Pages: hello})
	answered := map[int]int{}
	for i := range 6 * most {
		c := dialFrom(t, l, 10+i%3)
		answer := answerTo(t, send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		answered[answer.StatusCode]++
		if answer.StatusCode == http.StatusServiceUnavailable && (!answer.Close || answer.Header.Get("Retry-After") == "") {
			t.Errorf("an answer without a place keeps the connection: %v", answer.Header)
		}
	}
	if answered[http.StatusOK] < most || answered[http.StatusServiceUnavailable] == 0 {
		t.Errorf("answers: %v", answered)
	}
	for range 5 {
		c := dialFrom(t, l, 2)
		if answer := answerTo(t, send(t, c, fullUpgrade)); answer.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("an upgrade is answered with %s", answer.Status)
		}
		to.next(t).Conn.Close()
		c = dialFrom(t, l, 2)
		if answer := answerTo(t, send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")); answer.StatusCode != http.StatusOK {
			t.Fatalf("a page for an address without any is answered with %s", answer.Status)
		}
		c.Close()
	}
	c := dialFrom(t, l, 3) // loads a page and then becomes a WebSocket
	for i, want := range []int{http.StatusOK, http.StatusOK, http.StatusSwitchingProtocols} {
		request := []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", fullUpgrade}[i]
		if answer := answerTo(t, send(t, c, request)); answer.StatusCode != want {
			t.Fatalf("request %d is answered with %s", i, answer.Status)
		}
	}
	to.next(t)
}
