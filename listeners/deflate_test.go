package listeners_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/listeners"
)

const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// Compression is agreed on only if it is enabled, and offered in a form that the answer accepts.
func TestCompressionOffers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		offers []string
		agreed bool
	}{
		{"nothing", nil, false},
		{"something else", []string{"x-webkit-deflate-frame"}, false},
		{"Firefox, Safari", []string{"permessage-deflate"}, true},
		{"Chromium", []string{"permessage-deflate; client_max_window_bits"}, true},
		{"gorilla", []string{agreed}, true},
		{"a window for the client", []string{"permessage-deflate; client_max_window_bits=10"}, true},
		{"in quotes", []string{`permessage-deflate; client_max_window_bits="15"`}, true},
		{"a window for the server", []string{"permessage-deflate; server_max_window_bits=10"}, false},
		{"that, then without", []string{"permessage-deflate; server_max_window_bits=10, permessage-deflate"}, true},
		{"that, then without, in two headers", []string{"permessage-deflate; server_max_window_bits=10", "permessage-deflate"}, true},
		{"behind something else", []string{"foo; a=b, permessage-deflate; client_max_window_bits"}, true},
		{"an unknown parameter", []string{"permessage-deflate; level=9"}, false},
		{"a parameter twice", []string{"permessage-deflate; client_max_window_bits; client_max_window_bits=9"}, false},
		{"a value that is too large", []string{"permessage-deflate; client_max_window_bits=16"}, false},
		{"a value that is too small", []string{"permessage-deflate; client_max_window_bits=7"}, false},
		{"a leading zero", []string{"permessage-deflate; client_max_window_bits=08"}, false},
		{"a value where there is none", []string{"permessage-deflate; client_no_context_takeover=1"}, false},
	} {
		for _, on := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, compression %v", tt.name, on), func(t *testing.T) {
				to := newTestAttacher()
				l := listenWS(t, listeners.WebSocketOptions{Attacher: to, Compression: on})
				answer := upgrade(t, l, tt.offers)
				want := tt.agreed && on
				link := to.next(t)
				defer link.Conn.Close()
				if got := answer.Header.Get("Sec-Websocket-Extensions"); (got == agreed) != want || !want && got != "" {
					t.Errorf("answered %q", got)
				}
				if link.Deflate != want {
					t.Errorf("Deflate is %v, want %v", link.Deflate, want)
				}
			})
		}
	}
}

// upgrade requests an upgrade with extensions, in a header each, and returns the answer. gorilla's client would write
// its own.
func upgrade(t *testing.T, l listeners.Listener, offers []string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+l.Addr().String()+"/mqtt", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Protocol": {"mqtt"},
		"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Extensions": offers,
	}
	answer, err := client(t, nil).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(answer.Status)
	}
	return answer
}

// publish returns a PUBLISH of MQTT 3.1.1 with QoS 0.
func publish(topic string, payload []byte) []byte {
	b := binary.AppendUvarint([]byte{0x30}, uint64(2+len(topic)+len(payload)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(topic)))
	return append(append(b, topic...), payload...)
}

// Messages pass between gorilla's client with compression and clients without it, in both directions, with and
// without TLS.
func TestCompressionWithGorilla(t *testing.T) {
	server, trusting := serverTLS(t)
	for name, config := range map[string]*tls.Config{"ws": nil, "wss": trusting} {
		t.Run(name, func(t *testing.T) {
			o := listeners.WebSocketOptions{Attacher: startBroker(t), Compression: true}
			if config != nil {
				o.TLS = server
			}
			url := name + "://" + listenWS(t, o).Addr().String() + "/mqtt"
			packs, plain := dialCompressing(t, url, config, true), dialCompressing(t, url, config, false)
			for i, ws := range []*websocket.Conn{packs, plain} {
				hello := bytes.Clone(connect)
				hello[len(hello)-1] += byte(i) // another client identifier
				say(t, ws, hello, []byte{0x82, 6, 0, 1, 0, 1, 'a', 0})
				want(t, ws, string(connack), "\x90\x03\x00\x01\x00")
			}
			r := rand.New(rand.NewPCG(1, 2))
			for i := range 200 {
				payload := make([]byte, r.IntN(1<<r.IntN(17)+1))
				for i := range payload {
					payload[i] = byte(r.IntN(1 + r.IntN(256)))
				}
				p := publish("a", payload)
				from := []*websocket.Conn{packs, plain}[i%2]
				if i%10 == 0 {
					half := len(p) / 2
					say(t, from, p[:half], p[half:])
				} else {
					say(t, from, p)
				}
				want(t, packs, string(p))
				want(t, plain, string(p))
			}
		})
	}
}

func dialCompressing(t *testing.T, url string, config *tls.Config, on bool) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}, TLSClientConfig: config, HandshakeTimeout: waitLimit, EnableCompression: on}
	ws, answer, err := d.DialContext(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	if got := answer.Header.Get("Sec-Websocket-Extensions"); (got == agreed) != on {
		t.Fatalf("answered %q", got)
	}
	return ws
}

func say(t *testing.T, ws *websocket.Conn, messages ...[]byte) {
	t.Helper()
	for _, m := range messages {
		if err := ws.WriteMessage(websocket.BinaryMessage, m); err != nil {
			t.Fatal(err)
		}
	}
}

// want reads messages until all packets have come.
func want(t *testing.T, ws *websocket.Conn, packets ...string) {
	t.Helper()
	all := strings.Join(packets, "")
	got := ""
	ws.SetReadDeadline(time.Now().Add(waitLimit))
	for len(got) < len(all) {
		_, message, err := ws.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		got += string(message)
	}
	if got != all {
		t.Fatalf("got %d bytes that are not the %d wanted", len(got), len(all))
	}
}

// A decompression bomb is refused with its close code, and is never expanded.
func TestCompressionBomb(t *testing.T) {
	b := startLimited(t, broker.Limits{MaxPacketBytes: 1 << 20})
	l := listenWS(t, listeners.WebSocketOptions{Attacher: b, Compression: true})
	ws := dialCompressing(t, "ws://"+l.Addr().String()+"/mqtt", nil, true)
	say(t, ws, connect)
	want(t, ws, string(connack))
	pings := []byte(strings.Repeat("\xC0\x00", 1<<20))
	say(t, ws, pings)
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			if !websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
				t.Errorf("ended with %v", err)
			}
			return
		}
	}
}
