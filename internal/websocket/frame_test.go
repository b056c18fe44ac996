package websocket_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/outcry-mqtt/outcry/internal/websocket"
)

// masked returns a client's frame with the first header byte and a masked payload.
func masked(first byte, payload []byte) []byte {
	key := [4]byte{0x11, 0x22, 0x83, 0xF4}
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, key[:]...)
	for i, x := range payload {
		b = append(b, x^key[i&3])
	}
	return b
}

// frame is a decoded frame.
type frame struct {
	opcode            byte
	final, compressed bool
	payload           string
}

// decode decodes a stream that arrives in pieces of the given size.
func decode(stream []byte, piece int, deflates bool) (all []frame, code uint16) {
	var d websocket.Decoder
	var payload []byte
	for rest := bytes.Clone(stream); len(rest) > 0; {
		data := rest[:min(piece, len(rest))]
		rest = rest[len(data):]
		for len(data) > 0 {
			if !d.InFrame() {
				n, code := d.Header(data, deflates)
				data = data[n:]
				if code != 0 {
					return all, code
				}
				if !d.InFrame() {
					break
				}
				payload = nil
			}
			chunk := d.Payload(data)
			data = data[len(chunk):]
			payload = append(payload, chunk...)
			if d.End() {
				all = append(all, frame{d.Opcode(), d.IsFinal(), d.IsCompressed(), string(payload)})
			}
		}
	}
	return all, 0
}

func TestFrames(t *testing.T) {
	long, longer := bytes.Repeat([]byte("0123456789"), 30), bytes.Repeat([]byte("x"), 70_000)
	stream := bytes.Join([][]byte{
		masked(0x80|websocket.Binary, []byte("a")), masked(0x80|websocket.Binary, nil), masked(websocket.Binary, long),
		masked(0x80|websocket.Ping, []byte("ping")), masked(0x80|websocket.Continuation, longer),
		masked(0x80|websocket.Compressed|websocket.Binary, []byte("z")), masked(0x80|websocket.Close, []byte{3, 0xE8}),
	}, nil)
	want := fmt.Sprint([]frame{
		{websocket.Binary, true, false, "a"}, {websocket.Binary, true, false, ""}, {websocket.Binary, false, false, string(long)},
		{websocket.Ping, true, false, "ping"}, {websocket.Continuation, true, false, string(longer)},
		{websocket.Binary, true, true, "z"}, {websocket.Close, true, false, "\x03\xE8"},
	})
	for _, piece := range []int{1, 2, 3, 7, 13, 1000, len(stream)} {
		got, code := decode(stream, piece, true)
		if code != 0 || fmt.Sprint(got) != want {
			t.Errorf("in pieces of %d bytes: code %d, %d frames, not as sent", piece, code, len(got))
		}
	}
}

func TestInvalidFrames(t *testing.T) {
	binary, begun := byte(0x80|websocket.Binary), masked(websocket.Binary, []byte("a"))
	for _, k := range []struct {
		name   string
		stream []byte
		code   uint16
	}{
		{"not masked", []byte{binary, 1, 'a'}, websocket.Protocol},
		{"text", masked(0x80|websocket.Text, []byte("a")), websocket.Unsupported},
		{"RSV2", masked(binary|0x20, nil), websocket.Protocol},
		{"RSV1 without compression", masked(binary|websocket.Compressed, nil), websocket.Protocol},
		{"an unknown opcode", masked(0x83, nil), websocket.Protocol},
		{"an unknown control opcode", masked(0x8B, nil), websocket.Protocol},
		{"a continuation of nothing", masked(0x80|websocket.Continuation, nil), websocket.Protocol},
		{"a new message within one", append(bytes.Clone(begun), masked(binary, nil)...), websocket.Protocol},
		{"a control frame in fragments", masked(websocket.Ping, nil), websocket.Protocol},
		{"a long control frame", masked(0x80|websocket.Ping, make([]byte, 126)), websocket.Protocol},
		{"a length with the first bit set", append([]byte{binary, 0xFF, 0x80}, make([]byte, 11)...), websocket.Protocol},
	} {
		if _, code := decode(k.stream, 1, false); code != k.code {
			t.Errorf("%s: close code %d, want %d", k.name, code, k.code)
		}
	}
}

func TestHeader(t *testing.T) {
	var h [websocket.HeaderBytes]byte
	for _, k := range []struct {
		n    int
		want string
	}{
		{0, "8200"}, {125, "827d"}, {126, "827e007e"}, {65535, "827effff"}, {65536, "827f0000000000010000"},
	} {
		if got := fmt.Sprintf("%x", websocket.Header(&h, websocket.Binary, k.n)); got != k.want {
			t.Errorf("header of %d bytes: %s, want %s", k.n, got, k.want)
		}
	}
}

func TestCloseAnswer(t *testing.T) {
	payload := func(code uint16, reason string) []byte {
		return append(binary.BigEndian.AppendUint16(nil, code), reason...)
	}
	for _, k := range []struct {
		payload []byte
		want    uint16
	}{
		{nil, websocket.Normal}, {[]byte{3}, websocket.Protocol}, {payload(1001, "bye"), 1001}, {payload(4999, ""), 4999},
		{payload(999, ""), websocket.Protocol}, {payload(1005, ""), websocket.Protocol}, {payload(2000, ""), websocket.Protocol},
		{payload(5000, ""), websocket.Protocol}, {payload(1000, "\xFF"), websocket.Invalid},
	} {
		if got := websocket.CloseAnswer(k.payload); got != k.want {
			t.Errorf("answer to %x: %d, want %d", k.payload, got, k.want)
		}
	}
}

// FuzzDecoder decodes any stream as a whole and in pieces.
func FuzzDecoder(f *testing.F) {
	f.Add(masked(0x80|websocket.Binary, []byte("hello")), byte(3), false)
	f.Add(append(masked(websocket.Binary, make([]byte, 200)), masked(0x80|websocket.Ping, nil)...), byte(1), true)
	f.Add([]byte{0x82, 0xFF, 0x80}, byte(2), true)
	f.Fuzz(func(t *testing.T, stream []byte, piece byte, deflates bool) {
		whole, code := decode(stream, len(stream)+1, deflates)
		parts, code2 := decode(stream, 1+int(piece), deflates)
		if code != code2 || fmt.Sprint(whole) != fmt.Sprint(parts) {
			t.Errorf("as a whole %d %v, in pieces %d %v", code, whole, code2, parts)
		}
	})
}
