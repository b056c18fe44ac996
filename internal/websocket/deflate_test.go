package websocket_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/internal/websocket"
)

// inflate inflates a message and returns the number of compressed bytes consumed, too.
func inflate(f *websocket.Inflater, message []byte) (out []byte, taken int, err error) {
	f.Begin(append(bytes.Clone(message), websocket.Tail...))
	defer f.Forget()
	b := make([]byte, 1000)
	for {
		n, some, err := f.Read(b)
		out, taken = append(out, b[:n]...), taken+some
		if err != nil {
			return out, taken, err
		}
	}
}

// TestBlocks combines compressed and stored blocks into messages, as the broker does, and inflates them with one inflater.
func TestBlocks(t *testing.T) {
	var z websocket.Deflater
	var f websocket.Inflater
	text := []byte(strings.Repeat("temperature ", 100))
	blocks := z.Append(nil, text)
	if len(blocks) > len(text)/4 {
		t.Errorf("%d bytes became %d", len(text), len(blocks))
	}
	large := bytes.Repeat([]byte("0123456789"), 20_000)
	for name, k := range map[string]struct{ message, want []byte }{
		"compressed":        {blocks[:len(blocks)-websocket.EmptyBlock], text},
		"twice":             {append(bytes.Clone(blocks), blocks[:len(blocks)-websocket.EmptyBlock]...), append(bytes.Clone(text), text...)},
		"stored first":      {append(websocket.AppendStored(nil, []byte("head")), blocks[:len(blocks)-websocket.EmptyBlock]...), append([]byte("head"), text...)},
		"stored, split":     {append(websocket.SealStored(append(make([]byte, websocket.StoredHead), large...), 0), 0), large},
		"behind a last one": {append([]byte{1, 1, 0, 0xFE, 0xFF, 'a'}, blocks[:len(blocks)-websocket.EmptyBlock]...), append([]byte("a"), text...)},
	} {
		got, _, err := inflate(&f, k.message)
		if !errors.Is(err, io.EOF) || !bytes.Equal(got, k.want) {
			t.Errorf("%s: %d bytes and %v, want %d", name, len(got), err, len(k.want))
		}
	}
}

// TestInflateGivesUp inflates messages that are ill-formed, or have much input without output.
func TestInflateGivesUp(t *testing.T) {
	nothing := bytes.Repeat([]byte{0x02, 0x08, 0x20, 0x80, 0x00}, 200_000) // empty blocks
	for name, message := range map[string][]byte{"empty blocks": nothing, "a reserved block": {0x07}, "noise": []byte("\xFF\xFEabcdef")} {
		var f websocket.Inflater
		_, taken, err := inflate(&f, message)
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: inflated", name)
		}
		if taken > 128<<10 {
			t.Errorf("%s: given up after %d bytes", name, taken)
		}
	}
}
