package conformance_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// dialWebSocket opens a WebSocket and returns a client on it.
func (s *server) dialWebSocket(t *testing.T, version byte) (*raw.Client, *raw.Frames) {
	t.Helper()
	f := raw.NewFrames(s.conn(t, s.framed))
	return raw.New(t, f, version), f
}

// openWebSocket opens a WebSocket and connects a client on it.
func openWebSocket(t *testing.T, version byte) (*raw.Client, *raw.Frames) {
	t.Helper()
	c, f := startOurs(t, broker.Options{}).dialWebSocket(t, version)
	c.Connect(clean(version, "c"))
	return c, f
}

// write writes raw frames.
func write(t *testing.T, f *raw.Frames, frames ...[]byte) {
	t.Helper()
	if _, err := f.Conn.Write(bytes.Join(frames, nil)); err != nil {
		t.Fatal(err)
	}
}

// expectClose waits for the close frame.
func expectClose(t *testing.T, f *raw.Frames, code int) {
	t.Helper()
	_ = f.SetReadDeadline(time.Now().Add(raw.Patience))
	if b, err := io.ReadAll(f); err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("%v after % X", err, b)
	}
	must(t, "close code", f.CloseCode, code)
}

func TestWebSocket(t *testing.T) {
	for _, version := range []byte{raw.V31, raw.V311, raw.V5} {
		t.Run(names[version], func(t *testing.T) {
			c, _ := openWebSocket(t, version)
			c.Subscribe(2, "a")
			for _, n := range []int{0, 100, 125, 126, 1000, 65_535, 70_000} {
				payload := strings.Repeat("x", n)
				c.Send(raw.Publish{Topic: "a", Payload: payload, QoS: 0}.Bytes(version))
				c.ExpectPublish("a", payload)
			}
			c.Disconnect()
		})
	}
}

// TestWebSocketFramesAndPackets checks that packet boundaries are independent of frames.
func TestWebSocketFramesAndPackets(t *testing.T) {
	c, f := startOurs(t, broker.Options{}).dialWebSocket(t, raw.V5)
	connect := clean(raw.V5, "c").Bytes()
	subscribe := raw.Subscribe{ID: 1, Filters: filters("a", 0)}.Bytes(raw.V5)
	message := raw.Publish{Topic: "a", Payload: "12345"}.Bytes(raw.V5)
	for _, b := range connect { // a packet in several frames
		write(t, f, raw.Frame(raw.OpBinary, true, []byte{b}))
	}
	c.Expect(raw.CONNACK)
	write(t, f, raw.Frame(raw.OpBinary, true, bytes.Join([][]byte{subscribe, message, message[:4]}, nil))) // packets in a frame
	write(t, f, raw.Frame(raw.OpBinary, false, message[4:6]), raw.Frame(raw.OpPing, true, []byte("hi")),   // in fragments
		raw.Frame(raw.OpContinuation, false, nil), raw.Frame(raw.OpContinuation, true, message[6:]))
	c.ExpectAck(raw.SUBACK, 1)
	c.ExpectPublish("a", "12345")
	c.ExpectPublish("a", "12345")
	c.ExpectNothing()
	if len(f.Pongs) != 1 || f.Pongs[0] != "hi" {
		t.Errorf("pongs: got %q, want one with the ping's payload", f.Pongs)
	}
}

// TestWebSocketBehindConnect sends frames of all kinds right behind the one with the CONNECT.
func TestWebSocketBehindConnect(t *testing.T) {
	s := startOurs(t, broker.Options{Hooks: []any{passwordAuth{"bob": "b"}}})
	connect := raw.Frame(raw.OpBinary, true, as(clean(raw.V5, "c"), "bob", "b").Bytes())
	ping := raw.Frame(raw.OpPing, true, []byte("hi"))
	for range 20 { // on both shards
		c, f := s.dialWebSocket(t, raw.V5)
		write(t, f, connect, ping, raw.Frame(raw.OpBinary, true, raw.Subscribe{ID: 1, Filters: filters("a", 0)}.Bytes(raw.V5)), ping,
			raw.Frame(raw.OpBinary, false, raw.Publish{Topic: "a"}.Bytes(raw.V5)[:3]), ping,
			raw.Frame(raw.OpContinuation, true, raw.Publish{Topic: "a"}.Bytes(raw.V5)[3:]))
		c.Expect(raw.CONNACK)
		c.ExpectAck(raw.SUBACK, 1)
		c.ExpectPublish("a", "")
		c.ExpectNothing()
		must(t, "pongs", len(f.Pongs), 3)

		_, f = s.dialWebSocket(t, raw.V5)
		write(t, f, connect, raw.Frame(raw.OpClose, true, []byte{0x03, 0xE8}))
		expectClose(t, f, 1000)
		_, f = s.dialWebSocket(t, raw.V5)
		write(t, f, connect, raw.Frame(raw.OpText, true, nil))
		expectClose(t, f, 1003)
	}
}

// TestWebSocketInvalidFrames sends frames that MQTT over WebSocket does not allow.
func TestWebSocketInvalidFrames(t *testing.T) {
	ping := raw.Plain(raw.PINGREQ)
	unmasked := append([]byte{0x80 | raw.OpBinary, byte(len(ping))}, ping...)
	reserved := raw.Frame(raw.OpBinary, true, ping)
	reserved[0] |= 0x40
	for _, k := range []struct {
		name   string
		frames []byte
		code   int
	}{
		{"text", raw.Frame(raw.OpText, true, ping), 1003},
		{"text in fragments", raw.Frame(raw.OpText, false, ping), 1003},
		{"not masked", unmasked, 1002},
		{"reserved bits", reserved, 1002},
		{"reserved opcode", raw.Frame(0x3, true, ping), 1002},
		{"reserved opcode of control", raw.Frame(0xB, true, nil), 1002},
		{"continuation of nothing", raw.Frame(raw.OpContinuation, true, ping), 1002},
		{"two beginnings", bytes.Join([][]byte{raw.Frame(raw.OpBinary, false, nil), raw.Frame(raw.OpBinary, true, ping)}, nil), 1002},
		{"a ping in fragments", raw.Frame(raw.OpPing, false, nil), 1002},
		{"a ping that is too long", raw.Frame(raw.OpPing, true, make([]byte, 126)), 1002},
		{"a close frame of one byte", raw.Frame(raw.OpClose, true, []byte{3}), 1002},
		{"a close frame with a reserved code", raw.Frame(raw.OpClose, true, []byte{0x03, 0xED}), 1002},
		{"a close frame with an ill-formed reason", raw.Frame(raw.OpClose, true, []byte{0x03, 0xE8, 0xFF}), 1007},
		{"malformed MQTT", raw.Frame(raw.OpBinary, true, []byte{0xC1, 0}), 1002},
	} {
		t.Run(k.name, func(t *testing.T) {
			_, f := openWebSocket(t, raw.V5)
			write(t, f, k.frames)
			expectClose(t, f, k.code)
		})
	}
}

// TestWebSocketClose closes from each side.
func TestWebSocketClose(t *testing.T) {
	t.Run("by the client", func(t *testing.T) {
		_, f := openWebSocket(t, raw.V5)
		write(t, f, raw.Frame(raw.OpClose, true, []byte{0x03, 0xE8}))
		expectClose(t, f, 1000)
	})
	t.Run("by DISCONNECT", func(t *testing.T) {
		c, f := openWebSocket(t, raw.V5)
		c.Disconnect()
		must(t, "close code", f.CloseCode, 1000)
	})
	t.Run("by a protocol error", func(t *testing.T) {
		c, f := openWebSocket(t, raw.V5)
		c.SendConnect(clean(raw.V5, "c"))
		c.ExpectEnd(0x82)
		must(t, "close code", f.CloseCode, 1002)
	})
}

// TestWebSocketWill publishes the will when a client closes its WebSocket without a DISCONNECT.
func TestWebSocketWill(t *testing.T) {
	s := startOurs(t, broker.Options{})
	watch := s.watchWills(t, raw.V5)
	c, f := s.dialWebSocket(t, raw.V5)
	c.Connect(withWill(clean(raw.V5, "c"), "gone"))
	write(t, f, raw.Frame(raw.OpClose, true, []byte{0x03, 0xE9}))
	watch.ExpectPublish("will", "gone")
}
