package listeners_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/outcry-mqtt/outcry/listeners"
)

func listenWS(t *testing.T, o listeners.WebSocketOptions) *listeners.WebSocket {
	t.Helper()
	o.Address = "127.0.0.1:0"
	if o.Attacher == nil {
		o.Attacher = newTestAttacher()
	}
	l, err := listeners.ListenWebSocket(o)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l)
	return l
}

// client returns an HTTP client whose connections end with the test.
func client(t *testing.T, config *tls.Config) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: waitLimit}
}

// ask sends a GET request and returns the answer and its body.
func ask(t *testing.T, l listeners.Listener, path string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+l.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
		r.Host = header.Get("Host")
	}
	answer, err := client(t, nil).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

// open tries to open a WebSocket. For a refusal it returns the reason.
func open(t *testing.T, l listeners.Listener, path string, h http.Header, protocols ...string) (*websocket.Conn, *http.Response, string) {
	t.Helper()
	d := websocket.Dialer{Subprotocols: protocols, HandshakeTimeout: waitLimit}
	c, answer, err := d.DialContext(t.Context(), "ws://"+l.Addr().String()+path, h)
	if err == nil {
		t.Cleanup(func() { c.Close() })
		return c, answer, ""
	}
	if answer == nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(answer.Body)
	return nil, answer, string(text)
}

func TestWebSocketHandsOver(t *testing.T) {
	to := newTestAttacher()
	l := listenWS(t, listeners.WebSocketOptions{Attacher: to})
	h := http.Header{
		"Authorization":   {"Bearer abc"},
		"Cookie":          {"a=b"},
		"User-Agent":      {"a test"},
		"X-Forwarded-For": {"192.0.2.1", "192.0.2.2"},
		"X-Other":         {"of no use"},
	}
	c, _, refused := open(t, l, "/mqtt?from=test", h, "mqtt")
	if c == nil {
		t.Fatal(refused)
	}
	link := to.next(t)
	if link.Listener != "ws" || !link.Framed || link.TLS != nil || link.Remote != c.LocalAddr().String() {
		t.Errorf("link is %+v", link)
	}
	if _, ok := link.Conn.(*net.TCPConn); !ok {
		t.Errorf("the connection is a %T: the broker could not poll it", link.Conn)
	}
	delete(h, "X-Forwarded-For") // anybody can write that
	delete(h, "X-Other")
	if fmt.Sprint(link.Header) != fmt.Sprint(h) {
		t.Errorf("headers are %v, want %v", link.Header, h)
	}
	wantFrames(t, c, link.Conn)
}

// wantFrames fails unless frames pass in both directions: the broker must get the raw bytes of the wire.
func wantFrames(t *testing.T, c *websocket.Conn, server net.Conn) {
	t.Helper()
	if err := c.WriteMessage(websocket.BinaryMessage, connect); err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, 2+4+len(connect)) // header, mask, masked payload
	if _, err := io.ReadFull(server, frame); err != nil {
		t.Fatal(err)
	}
	got := frame[6:]
	for i := range got {
		got[i] ^= frame[2+i%4]
	}
	if frame[0] != 0x82 || frame[1] != 0x80|byte(len(connect)) || !bytes.Equal(got, connect) {
		t.Errorf("frame is % x, unmasked % x", frame, got)
	}
	if _, err := server.Write(append([]byte{0x82, byte(len(connack))}, connack...)); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(waitLimit))
	kind, got, err := c.ReadMessage()
	if err != nil || kind != websocket.BinaryMessage || !bytes.Equal(got, connack) {
		t.Errorf("got % x of kind %d, %v", got, kind, err)
	}
}

// The server's own time limits must not apply after the upgrade.
func TestWebSocketHasNoDeadline(t *testing.T) {
	t.Parallel()
	to := newTestAttacher()
	l := listenWS(t, listeners.WebSocketOptions{Attacher: to, HeaderTimeout: dropTime})
	c, _, refused := open(t, l, "/mqtt", nil, "mqtt")
	if c == nil {
		t.Fatal(refused)
	}
	link := to.next(t)
	time.AfterFunc(dropTime+time.Second, func() { c.WriteMessage(websocket.BinaryMessage, connect) })
	if _, err := link.Conn.Read(make([]byte, 100)); err != nil {
		t.Errorf("a quiet connection got %v", err)
	}
}

func TestWebSocketTLS(t *testing.T) {
	to := newTestAttacher()
	server, trusting := serverTLS(t)
	l := listenWS(t, listeners.WebSocketOptions{Attacher: to, TLS: server, Pages: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) },
	)})
	answer, err := client(t, trusting).Get("https://" + l.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); string(text) != "HTTP/1.1" {
		t.Errorf("the page came by %q", text)
	}
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}, TLSClientConfig: trusting}
	c, _, err := d.DialContext(t.Context(), "wss://"+l.Addr().String()+"/mqtt", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if link := to.next(t); link.Listener != "wss" || !link.Framed || link.TLS == nil || !link.TLS.HandshakeComplete {
		t.Errorf("link is %+v with TLS %+v", link, link.TLS)
	}
}

func TestWebSocketSubprotocols(t *testing.T) {
	for name, test := range map[string]struct {
		offered   []string
		allowNone bool
		want      string // the chosen one; empty: none
		refused   string
	}{
		"mqtt":         {offered: []string{"mqtt"}, want: "mqtt"},
		"3.1":          {offered: []string{"mqttv3.1"}, want: "mqttv3.1"},
		"both":         {offered: []string{"mqttv3.1", "mqtt"}, want: "mqtt"},
		"among others": {offered: []string{"wamp", "mqtt"}, want: "mqtt"},
		"others": {
			offered: []string{"wamp", "soap"},
			refused: "none of the offered subprotocols (wamp, soap) is supported; offer \"mqtt\" in Sec-WebSocket-Protocol",
		},
		"others, none allowed": {offered: []string{"wamp"}, allowNone: true, refused: "none of the offered subprotocols (wamp)"},
		"none":                 {refused: "none of the offered subprotocols () is supported; offer \"mqtt\""},
		"none, allowed":        {allowNone: true},
		"other case":           {offered: []string{"MQTT"}, refused: "none of the offered subprotocols"}, // case-sensitive by RFC 6455 1.9
	} {
		t.Run(name, func(t *testing.T) {
			to := newTestAttacher()
			l := listenWS(t, listeners.WebSocketOptions{Attacher: to, AllowNoSubprotocol: test.allowNone})
			c, answer, text := open(t, l, "/mqtt", nil, test.offered...)
			if test.refused != "" {
				if answer.StatusCode != http.StatusBadRequest || !strings.Contains(text, test.refused) {
					t.Errorf("answer is %d %s", answer.StatusCode, text)
				}
				to.wantNone(t)
				return
			}
			if c == nil || c.Subprotocol() != test.want {
				t.Fatalf("answer is %d %s, want subprotocol %q", answer.StatusCode, text, test.want)
			}
			to.next(t)
		})
	}
}

func TestWebSocketSubprotocolsInTwoHeaders(t *testing.T) {
	to := newTestAttacher()
	l := listenWS(t, listeners.WebSocketOptions{Attacher: to})
	c := dial(t, l)
	fmt.Fprintf(c, "GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n"+
		"Sec-WebSocket-Protocol: wamp\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || answer.StatusCode != 101 || answer.Header.Get("Sec-WebSocket-Protocol") != "mqtt" {
		t.Errorf("answer is %v, %v", answer, err)
	}
	to.next(t)
}

func TestWebSocketPaths(t *testing.T) {
	for path, want := range map[string]int{
		"/mqtt": 101, "/ws/v2": 101, "/mqtt/": 404, "/": 404, "/MQTT": 404, "//mqtt": 404,
	} {
		t.Run(path, func(t *testing.T) {
			l := listenWS(t, listeners.WebSocketOptions{Paths: []string{"/mqtt", "/ws/v2"}})
			if _, answer, _ := open(t, l, path, nil, "mqtt"); answer.StatusCode != want {
				t.Errorf("status is %d, want %d", answer.StatusCode, want)
			}
		})
	}
}

func TestWebSocketBadOptions(t *testing.T) {
	for name, test := range map[string]struct {
		options listeners.WebSocketOptions
		want    string
	}{
		"path": {
			listeners.WebSocketOptions{Paths: []string{"/mqtt", "ws"}},
			`listeners.ws.paths[1]: "ws" is not a path; write one such as /mqtt`,
		},
		"origin without scheme": {
			listeners.WebSocketOptions{Origins: []string{"self", "example.com"}},
			`listeners.ws.origins[1]: "example.com" is not an origin: it has no scheme or no host; ` +
				`write an origin such as https://app.example.com, self or *`,
		},
		"origin with a path": {
			listeners.WebSocketOptions{Origins: []string{"https://example.com/"}},
			`listeners.ws.origins[0]: "https://example.com/" has more than scheme, host and port; write`,
		},
		"origin with half a label": {
			listeners.WebSocketOptions{Origins: []string{"https://app*.example.com"}},
			`has a * that is not the whole first label`,
		},
		"origin with half a port": {
			listeners.WebSocketOptions{Origins: []string{"https://example.com:"}}, `has a colon without a port; write`,
		},
		"origin with an escape": {
			listeners.WebSocketOptions{Origins: []string{"https://[::1%25.b.com]"}}, `has a %, which is not allowed in an origin; write`,
		},
		"origin that is not an address": {
			listeners.WebSocketOptions{Origins: []string{"https://exa mple"}}, `is not an origin; write`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.options.Address, test.options.Attacher = "127.0.0.1:0", newTestAttacher()
			_, err := listeners.ListenWebSocket(test.options)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v\nwant     %s", err, test.want)
			}
		})
	}
}

// TestPingOption checks the ping interval that the broker gets with a connection.
func TestPingOption(t *testing.T) {
	for option, want := range map[time.Duration]time.Duration{0: 25 * time.Second, time.Minute: time.Minute, -1: 0} {
		to := newTestAttacher()
		c, _, refused := open(t, listenWS(t, listeners.WebSocketOptions{Attacher: to, Ping: option}), "/mqtt", nil, "mqtt")
		if c == nil {
			t.Fatal(refused)
		}
		if got := to.next(t).Ping; got != want {
			t.Errorf("with %v, clients are pinged after %v, want %v", option, got, want)
		}
	}
}
