package broker_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// emptyBlocks is four DEFLATE blocks with fixed codes and nothing in them.
var emptyBlocks = []byte{0x02, 0x08, 0x20, 0x80, 0x00}

// fragments is a compressed message in frames of n bytes, with a ping between them.
func fragments(payload []byte, n int) []byte {
	var all []byte
	op := raw.OpBinary | raw.RSV1
	for len(payload) > n {
		all = append(all, raw.Frame(op, false, payload[:n])...)
		all = append(all, raw.Frame(raw.OpPing, true, nil)...)
		payload, op = payload[n:], raw.OpContinuation
	}
	return append(all, raw.Frame(op, true, payload)...)
}

// TestInflate sends compressed messages in all the ways there are.
func TestInflate(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, wrap := range []string{"socket", "stream"} {
		t.Run(wrap, func(t *testing.T) {
			s := start(t, broker.Options{Limits: patient})
			way := whole
			if wrap == "stream" {
				way = hidden
			}
			z, frames := s.deflated(raw.V5, way)
			z.Connect(raw.Connect{Version: raw.V5, ID: "z", Clean: true})
			z.Subscribe(0, "a")
			write := func(b ...[]byte) {
				t.Helper()
				if _, err := frames.Conn.Write(bytes.Join(b, nil)); err != nil {
					t.Fatal(err)
				}
			}
			for _, payload := range []string{"", "x", quote(r, 3000), noise(r, 3000), strings.Repeat("z", 1_000_000), noise(r, 1_000_000)} {
				packet := raw.Publish{Topic: "a", Payload: payload}.Bytes(raw.V5)
				write(raw.Compressed(raw.Deflate(packet)))
				z.ExpectPublish("a", payload)
				write(fragments(raw.Deflate(packet), max(1, len(packet)/50)))
				z.ExpectPublish("a", payload)
				write(raw.Frame(raw.OpBinary, true, packet)) // each message may be compressed or not
				z.ExpectPublish("a", payload)
				half := len(packet) / 2
				write(raw.Compressed(raw.Deflate(packet[:half])), raw.Frame(raw.OpBinary, true, packet[half:]))
				z.ExpectPublish("a", payload)
			}
			small := raw.Publish{Topic: "a", Payload: "s"}.Bytes(raw.V5)
			write(raw.Compressed(raw.Deflate(bytes.Repeat(small, 50_000)))) // more than a turn takes
			for range 50_000 {
				z.ExpectPublish("a", "s")
			}
			write(raw.Compressed(nil), raw.Compressed([]byte{0}), raw.Compressed(append(bytes.Repeat(emptyBlocks, 1000), 0))) // nothing
			final := []byte{1, byte(len(small)), 0, ^byte(len(small)), 0xFF}
			write(raw.Compressed(append(append(final, small...), 0))) // a final block (RFC 7692 7.2.3.4)
			z.ExpectPublish("a", "s")
			write(raw.Compressed(append(append(final, small...), append(append(final, small...), 0)...)))
			z.ExpectPublish("a", "s")
			z.ExpectPublish("a", "s")
			z.ExpectNothing()
		})
	}
}

// TestInflateBehindConnect sends compressed messages right behind the CONNECT, on either shard.
func TestInflateBehindConnect(t *testing.T) {
	s := start(t, broker.Options{})
	connect := raw.Compressed(raw.Deflate(raw.Connect{Version: raw.V5, Clean: true}.Bytes()))
	subscribe := raw.Compressed(raw.Deflate(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "a"}}}.Bytes(raw.V5)))
	payload := strings.Repeat("x", 200_000)
	publish := raw.Compressed(raw.Deflate(raw.Publish{Topic: "a", Payload: payload}.Bytes(raw.V5)))
	for i := range 20 {
		wrap := whole
		if i%2 == 1 {
			wrap = hidden
		}
		z, frames := s.deflated(raw.V5, wrap)
		if _, err := frames.Conn.Write(bytes.Join([][]byte{connect, subscribe, publish, publish}, nil)); err != nil {
			t.Fatal(err)
		}
		z.Expect(raw.CONNACK)
		z.ExpectAck(raw.SUBACK, 1)
		z.ExpectPublish("a", payload)
		z.ExpectPublish("a", payload)
	}
}

// TestInflateAtTheRatePaidFor has a client that may send so many bytes in a second pay for what it sends, not for what that was
// compressed to.
func TestInflateAtTheRatePaidFor(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{ByteRate: 1000, ByteBurst: 5000}})
	hear := s.connect(raw.Connect{Version: raw.V5, ID: "hear", Clean: true})
	hear.Subscribe(0, "a")
	z, frames := s.deflated(raw.V5, whole)
	z.Connect(raw.Connect{Version: raw.V5, ID: "z", Clean: true})
	large := strings.Repeat("x", 100_000)
	packet := raw.Publish{Topic: "a", Payload: large}.Bytes(raw.V5)
	for range 10 {
		if _, err := frames.Conn.Write(raw.Compressed(raw.Deflate(bytes.Repeat(packet, 3)))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 30 {
		hear.ExpectPublish("a", large)
		if n := s.Stats().MessagesReceived[0]; n != uint64(i+1) {
			t.Fatalf("%d messages were taken, %d are paid for", n, i+1)
		}
		s.Advance(200 * time.Second)
	}
}

// TestInflateRefuses sends what may not be sent.
func TestInflateRefuses(t *testing.T) {
	ping := raw.Deflate(raw.Plain(raw.PINGREQ))
	reserved := func(frame []byte, bits byte) []byte { frame[0] |= bits; return frame }
	first := raw.Frame(raw.OpBinary|raw.RSV1, false, ping)
	big := raw.Deflate(raw.Publish{Topic: "a", Payload: strings.Repeat("x", 2_000_000)}.Bytes(raw.V5))
	nothing := append(bytes.Repeat(emptyBlocks, 200_000), 0)
	for _, k := range []struct {
		name   string
		frames []byte
		code   int
	}{
		{"RSV2", reserved(raw.Frame(raw.OpBinary, true, ping), 0x20), 1002},
		{"RSV1 and RSV3", reserved(raw.Compressed(ping), 0x10), 1002},
		{"a compressed ping", reserved(raw.Frame(raw.OpPing, true, ping), raw.RSV1), 1002},
		{"a compressed pong", reserved(raw.Frame(raw.OpPong, true, ping), raw.RSV1), 1002},
		{"a compressed close frame", reserved(raw.Frame(raw.OpClose, true, nil), raw.RSV1), 1002},
		{"RSV1 on a continuation", append(first, reserved(raw.Frame(raw.OpContinuation, true, ping), raw.RSV1)...), 1002},
		{"compressed text", reserved(raw.Frame(raw.OpText, true, ping), raw.RSV1), 1003},
		{"not compressed", raw.Compressed([]byte{7, 1, 2, 3}), 1007},
		{"cut off", raw.Compressed(ping[:len(ping)-1]), 1007},
		{"a distance too far back", raw.Compressed([]byte{2, 2, 0, 0}), 1007},
		{"blocks of nothing", raw.Compressed(nothing), 1007},
		{"more than a packet may have", raw.Compressed(raw.Deflate(make([]byte, 3_000_000))), 1002}, // no packet begins so
		{"packets that are too many", raw.Compressed(raw.Deflate(bytes.Repeat(raw.Plain(raw.PINGREQ), 1_100_000))), 1009},
		{"a frame that is too large", raw.Compressed(make([]byte, 3_000_000))[:14], 1009},
		{"fragments that are too large", bytes.Join([][]byte{raw.Frame(raw.OpBinary|raw.RSV1, false, make([]byte, 2_000_000)),
			raw.Frame(raw.OpContinuation, false, make([]byte, 200_000))}, nil), 1009},
		{"large packets in one message", raw.Compressed(slices.Concat(big, []byte{0, 0, 0xFF, 0xFF}, big)), 1009},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, broker.Options{})
			z, frames := s.deflated(raw.V5, whole)
			z.Connect(raw.Connect{Version: raw.V5, ID: "z", Clean: true})
			ends(t, frames, k.frames, k.code)
		})
	}
	t.Run("not agreed", func(t *testing.T) {
		s := start(t, broker.Options{})
		ends(t, raw.NewFrames(s.conn(s.framed)), raw.Compressed(ping), 1002)
	})
}

// TestBombBeforeConnect has a stranger send little that would become much: it gets the 64 KiB that anyone gets, however
// the bytes are packed.
func TestBombBeforeConnect(t *testing.T) {
	connect := raw.Connect{Version: raw.V5, ID: "z", Clean: true}.Bytes()
	large := append([]byte{0x10, 0xFF, 0xFF, 0x7F}, make([]byte, 2<<20)...) // a CONNECT that says it has 2 MiB
	for _, k := range []struct {
		name    string
		message []byte
		code    int
	}{
		{"a megabyte of zeros", make([]byte, 1<<20), 1002},
		{"a CONNECT that is too large", large, 1002},
		{"a CONNECT and a megabyte behind it", append(connect, bytes.Repeat(raw.Plain(raw.PINGREQ), 1<<19)...), 1009},
	} {
		t.Run(k.name, func(t *testing.T) {
			s := start(t, broker.Options{})
			f := raw.NewFrames(s.conn(s.listen(deflatedLink, whole)))
			f.Deflate = true
			ends(t, f, raw.Compressed(raw.Deflate(k.message)), k.code)
		})
	}
}

// ends writes frames and waits for the close frame.
func ends(t *testing.T, f *raw.Frames, frames []byte, code int) {
	t.Helper()
	go func() { _, _ = f.Conn.Write(frames) }()
	_ = f.SetReadDeadline(time.Now().Add(raw.Patience))
	_, _ = io.Copy(io.Discard, struct{ io.Reader }{f})
	if f.CloseCode != code {
		t.Errorf("close code %d, want %d", f.CloseCode, code)
	}
}

// FuzzInflate sends whatever is compressed, in fragments of any size, before CONNECT or behind it. Nothing may make the broker
// panic or keep another client waiting, and the connection comes to its end.
func FuzzInflate(f *testing.F) {
	addCorpus(f)
	for _, seed := range seeds() {
		f.Add(true, byte(0), raw.Deflate(seed))
		f.Add(false, byte(3), raw.Deflate(seed))
	}
	f.Add(true, byte(200), raw.Deflate(make([]byte, 1<<20)))
	f.Add(true, byte(0), append(bytes.Repeat(emptyBlocks, 100), 0))
	f.Add(true, byte(0), append(bytes.Repeat([]byte{1, 2, 0, 0xFD, 0xFF, 0xC0, 0}, 10), 0)) // final blocks
	b := runBroker(f)
	other := raw.New(f, attach(f, b, false), raw.V5)
	other.Connect(raw.Connect{Version: raw.V5, ID: "other", Clean: true})
	f.Fuzz(func(t *testing.T, connected bool, cut byte, data []byte) {
		conn := attachLink(t, b, deflatedLink)
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(raw.Patience))
		if connected {
			_, _ = conn.Write(raw.Compressed(raw.Deflate(raw.Connect{Version: raw.V5, ID: "fuzz", Clean: true}.Bytes())))
		}
		_, _ = conn.Write(fragments(data, 1+int(cut)))
		_, _ = conn.Write(fragments(data, 1+len(data)))
		_ = conn.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, conn); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatal("the connection is not closed")
			}
		}
		if err := other.TrySend(raw.Plain(raw.PINGREQ)); err != nil {
			t.Fatal(err)
		}
		if p, err := other.Read(); err != nil || p.Type != raw.PINGRESP {
			t.Fatalf("the other client gets %v, %v", p, err)
		}
	})
}
