package listeners_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/listeners"
)

// proxyAddresses matches all connections of tests.
var proxyAddresses = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// Headers of the PROXY protocol for the client 192.0.2.1:1234.
const (
	proxyLine  = "PROXY TCP4 192.0.2.1 192.0.2.2 1234 1883\r\n"
	proxyBlock = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x04\xd2\x07\x5b"
	proxyCheck = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00" // of the proxy itself
)

// send writes and returns c.
func send(t *testing.T, c net.Conn, text string) net.Conn {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// wantRemote fails unless the link has the client's address; "": the connection's own.
func wantRemote(t *testing.T, link broker.Conn, want string, c net.Conn) {
	t.Helper()
	got := link.Remote
	if got == "" {
		got = link.Conn.RemoteAddr().String()
	}
	if want == "" {
		want = c.LocalAddr().String()
	}
	if got != want {
		t.Errorf("the client is %s, want %s", got, want)
	}
}

// The broker takes the descriptor after the header, even if the client's first packet came with it.
func TestProxyProtocolTCP(t *testing.T) {
	for name, test := range map[string]struct{ header, want string }{
		"version 1": {proxyLine, "192.0.2.1:1234"},
		"version 2": {proxyBlock, "192.0.2.1:1234"},
		"unknown":   {"PROXY UNKNOWN\r\n", ""},
		"a check":   {proxyCheck, ""},
	} {
		t.Run(name, func(t *testing.T) {
			to := newTestAttacher()
			l := listenTCP(t, listeners.TCPOptions{Attacher: to, ProxyProtocol: proxyAddresses})
			c := send(t, dial(t, l), test.header+string(connect))
			link := to.next(t)
			wantRemote(t, link, test.want, c)
			if _, ok := link.Conn.(*net.TCPConn); !ok {
				t.Errorf("the connection is a %T: the broker could not poll it", link.Conn)
			}
			got := make([]byte, len(connect))
			if _, err := io.ReadFull(link.Conn, got); err != nil || string(got) != string(connect) {
				t.Errorf("behind the header is % x, %v", got, err)
			}
		})
	}
}

func TestProxyProtocolTLS(t *testing.T) {
	server, trusting := serverTLS(t)
	to := newTestAttacher()
	l := listenTCP(t, listeners.TCPOptions{Attacher: to, TLS: server, ProxyProtocol: proxyAddresses})
	raw := send(t, dial(t, l), proxyBlock)
	c := tls.Client(raw, trusting)
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	link := to.next(t)
	wantRemote(t, link, "192.0.2.1:1234", raw)
	wantTalk(t, c, link.Conn)
}

func TestProxyProtocolWebSocket(t *testing.T) {
	server, trusting := serverTLS(t)
	for name, config := range map[string]*tls.Config{"ws": nil, "wss": server} {
		t.Run(name, func(t *testing.T) {
			to := newTestAttacher()
			l := listenWS(t, listeners.WebSocketOptions{Attacher: to, TLS: config, ProxyProtocol: proxyAddresses})
			d := websocket.Dialer{
				Subprotocols: []string{"mqtt"}, TLSClientConfig: trusting,
				NetDial: func(string, string) (net.Conn, error) { return send(t, dial(t, l), proxyLine), nil },
			}
			c, _, err := d.DialContext(t.Context(), name+"://"+l.Addr().String()+"/mqtt", nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			link := to.next(t)
			wantRemote(t, link, "192.0.2.1:1234", nil)
			if _, ok := link.Conn.(*net.TCPConn); config == nil && !ok {
				t.Errorf("the connection is a %T: the broker could not poll it", link.Conn)
			}
			wantFrames(t, c, link.Conn)
		})
	}
}

// A proxy that names no client is not taken for the client.
func TestProxyWithoutHeaderIsRefused(t *testing.T) {
	server, _ := serverTLS(t)
	var log logs
	to := newTestAttacher()
	tcp := listeners.TCPOptions{Attacher: to, ProxyProtocol: proxyAddresses, Logger: log.logger(), HandshakeTimeout: 300 * time.Millisecond}
	overTLS := tcp
	overTLS.TLS = server
	web := listeners.WebSocketOptions{Attacher: to, Pages: hello, ProxyProtocol: proxyAddresses, Logger: log.logger(), HeaderTimeout: tcp.HandshakeTimeout}
	for name, l := range map[string]listeners.Listener{"tcp": listenTCP(t, tcp), "tls": listenTCP(t, overTLS), "ws": listenWS(t, web)} {
		for what, text := range map[string]string{
			"MQTT": string(connect), "HTTP": "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "half": proxyLine[:20], "nothing": "",
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				c := send(t, dial(t, l), text)
				if answer, _ := io.ReadAll(c); len(answer) > 0 {
					t.Errorf("it was answered: %q", answer)
				}
				wantClosed(t, c)
				to.wantNone(t)
			})
		}
	}
	if !strings.Contains(log.String(), "connection from a proxy refused") {
		t.Errorf("the log does not tell of it: %s", log.String())
	}
}

// A PROXY header from an untrusted address is treated as malformed MQTT, TLS or HTTP.
func TestProxyHeaderOfAStranger(t *testing.T) {
	elsewhere := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	server, _ := serverTLS(t)
	b := startBroker(t)
	for name, l := range map[string]listeners.Listener{
		"tcp": listenTCP(t, listeners.TCPOptions{Attacher: b, ProxyProtocol: elsewhere}),
		"tls": listenTCP(t, listeners.TCPOptions{Attacher: b, TLS: server, ProxyProtocol: elsewhere}),
		"ws":  listenWS(t, listeners.WebSocketOptions{Attacher: b, ProxyProtocol: elsewhere}),
	} {
		for version, header := range map[string]string{"1": proxyLine, "2": proxyBlock} {
			t.Run(name+" "+version, func(t *testing.T) {
				c := send(t, dial(t, l), header)
				answer, _ := io.ReadAll(c)
				if len(answer) > 0 && answer[0] == connack[0] || strings.HasPrefix(string(answer), "HTTP/1.1 2") {
					t.Errorf("it was taken: %q", answer)
				}
			})
		}
	}
	tcp := listenTCP(t, listeners.TCPOptions{Attacher: b, ProxyProtocol: elsewhere})
	wantConnack(t, send(t, dial(t, tcp), string(connect)))
}

func wantConnack(t *testing.T, c net.Conn) {
	t.Helper()
	got := make([]byte, len(connack))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != string(connack) {
		t.Fatalf("got % x, %v; want % x", got, err, connack)
	}
}

// A client's address in HTTP is trusted if a trusted proxy sends it.
func TestForwardedFor(t *testing.T) {
	elsewhere := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	const said, clients = "203.0.113.7, 198.51.100.1", "198.51.100.1:0"
	for name, test := range map[string]struct {
		options listeners.WebSocketOptions
		header  http.Header
		want    string
	}{
		"ours":            {listeners.WebSocketOptions{Forwarded: proxyAddresses}, http.Header{"X-Forwarded-For": {said}}, clients},
		"a stranger":      {listeners.WebSocketOptions{Forwarded: elsewhere}, http.Header{"X-Forwarded-For": {said}}, ""},
		"nobody":          {listeners.WebSocketOptions{}, http.Header{"X-Forwarded-For": {said}}, ""},
		"another header":  {listeners.WebSocketOptions{Forwarded: proxyAddresses}, http.Header{"Forwarded": {"for=" + said}}, ""},
		"the RFC's":       {listeners.WebSocketOptions{Forwarded: proxyAddresses, ForwardedHeader: "Forwarded"}, http.Header{"Forwarded": {"for=198.51.100.1"}}, clients},
		"not the RFC's":   {listeners.WebSocketOptions{Forwarded: proxyAddresses, ForwardedHeader: "Forwarded"}, http.Header{"X-Forwarded-For": {said}}, ""},
		"nothing is said": {listeners.WebSocketOptions{Forwarded: proxyAddresses}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			to := newTestAttacher()
			test.options.Attacher = to
			c, _, refused := open(t, listenWS(t, test.options), "/mqtt", test.header, "mqtt")
			if c == nil {
				t.Fatal(refused)
			}
			wantRemote(t, to.next(t), test.want, c.NetConn())
		})
	}
}
