package clients_test

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/gorilla/websocket"
)

// dialWS opens a WebSocket to the broker.
func dialWS(t *testing.T, s *server) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}}
	ws, resp, err := d.DialContext(t.Context(), s.ws(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("Sec-Websocket-Protocol") != "mqtt" {
		t.Errorf("subprotocol %q", resp.Header.Get("Sec-Websocket-Protocol"))
	}
	t.Cleanup(func() { ws.Close() })
	return ws
}

// readCloseError reads until the peer closes the WebSocket.
func readCloseError(t *testing.T, ws *websocket.Conn) *websocket.CloseError {
	t.Helper()
	_ = ws.SetReadDeadline(time.Now().Add(waitLimit))
	for {
		_, _, err := ws.ReadMessage()
		if err == nil {
			continue
		}
		closed, ok := err.(*websocket.CloseError)
		if !ok {
			t.Fatalf("the connection ended without a close frame: %v", err)
		}
		return closed
	}
}

// connectBytes encodes a CONNECT of MQTT 5.
func connectBytes(id string) []byte {
	b := []byte("\x00\x04MQTT\x05\x02\x00\x1e\x00")
	b = binary.BigEndian.AppendUint16(b, uint16(len(id)))
	b = append(b, id...)
	return append([]byte{0x10, byte(len(b))}, b...)
}

func TestTextFrame(t *testing.T) {
	s := openBroker(t)
	ws := dialWS(t, s)
	if err := ws.WriteMessage(websocket.TextMessage, connectBytes("texter")); err != nil {
		t.Fatal(err)
	}
	c := readCloseError(t, ws)
	if c.Code != websocket.CloseUnsupportedData || !strings.Contains(c.Text, "binary") {
		t.Errorf("close code %d, %q; want 1003 and a word about binary frames [MQTT-6.0.0-1]", c.Code, c.Text)
	}
}

func TestMalformedPacket(t *testing.T) {
	tests := []struct {
		name, bytes string
		code        byte
	}{
		{"SUBSCRIBE without properties", "\x82\x02\x00\x01", packets.DisconnectMalformedPacket},
		{"SUBSCRIBE without filters", "\x82\x03\x00\x01\x00", packets.DisconnectProtocolError},
		{"SUBSCRIBE that ends in its filter", "\x82\x06\x00\x01\x00\x00\x09a", packets.DisconnectMalformedPacket},
		{"reserved flags", "\x80\x00", packets.DisconnectMalformedPacket},
		{"QoS 3", "\x36\x06\x00\x01a\x00\x01\x00", packets.DisconnectMalformedPacket},
		{"second CONNECT", string(connectBytes("again")), packets.DisconnectProtocolError},
		{"type 0", "\x00\x00", packets.DisconnectMalformedPacket},
	}
	s := openBroker(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.tcp())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(waitLimit))
			if _, err := conn.Write(connectBytes(clientID(t))); err != nil {
				t.Fatal(err)
			}
			if p, err := packets.ReadPacket(conn); err != nil || p.Type != packets.CONNACK {
				t.Fatalf("%v, %v, want a CONNACK", p, err)
			}
			if _, err := conn.Write([]byte(tt.bytes)); err != nil {
				t.Fatal(err)
			}
			p, err := packets.ReadPacket(conn)
			if err != nil || p.Type != packets.DISCONNECT {
				t.Fatalf("%v, %v, want a DISCONNECT", p, err)
			}
			d := p.Content.(*packets.Disconnect)
			if d.ReasonCode != tt.code || d.Properties.ReasonString == "" {
				t.Errorf("reason code 0x%02X, %q; want 0x%02X and a reason", d.ReasonCode, d.Properties.ReasonString, tt.code)
			}
			if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("%v, want that the connection is closed", err)
			}
		})
	}
	c := connect5(t, s.url(), nil) // the broker still works
	c.subscribe(1, "alive")
	c.publish(&paho.Publish{Topic: "alive", QoS: 1, Payload: []byte("yes")})
	c.receive()
}

func TestBusyPort(t *testing.T) {
	s := openBroker(t)
	tests := []struct{ flag, key string }{{"tcp", "listeners.tcp.address"}, {"ws", "listeners.ws.address"}, {"http", "http.address"}}
	for _, tt := range tests {
		t.Run(tt.flag, func(t *testing.T) {
			args := []string{"serve", "--open", "--data", t.TempDir()}
			for _, l := range []string{"tcp", "ws", "http"} {
				address := "127.0.0.1:0"
				if l == tt.flag {
					address = s.addrs[l]
				}
				args = append(args, "--"+l, address)
			}
			run(t, outcry, args...).mustReport(t, 1, "listen "+s.addrs[tt.flag], "address in use", tt.key)
		})
	}
	t.Run("data", func(t *testing.T) {
		args := []string{"serve", "--open", "--data", s.data, "--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--http", "127.0.0.1:0"}
		run(t, outcry, args...).mustReport(t, 1, s.data, "in use by another process")
	})
}

func TestBrokenConfig(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	text := "listeners:\n  tcp:\n    adress: 127.0.0.1:0\nlog:\n  level: loud\nlimits:\n  max_packet: many\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"serve", "--config", config, "--data", t.TempDir()}, {"check", config}} {
		t.Run(args[0], func(t *testing.T) {
			r := run(t, outcry, args...)
			r.mustReport(t, 1)
			for _, want := range []string{
				`config\.yaml:3:5: listeners\.tcp\.adress: unknown key.*address`,
				`config\.yaml:5:10: log\.level: .*loud.*debug`,
				`config\.yaml:7:15: limits\.max_packet: `,
			} {
				if !regexp.MustCompile(want).MatchString(r.errors + r.out) {
					t.Errorf("the errors have nothing like %s:\n%s%s", want, r.out, r.errors)
				}
			}
		})
	}
}
