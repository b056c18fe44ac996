package wire_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

var versions = map[byte]string{wire.V31: "3.1", wire.V311: "3.1.1", wire.V5: "5.0"}

// cat concatenates the parts of a packet: a number or character as a byte, a string with its length, bytes unchanged.
func cat(parts ...any) []byte {
	b := []byte{}
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case rune:
			b = append(b, byte(p))
		case byte:
			b = append(b, p)
		case string:
			b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		default:
			panic("no part of a packet")
		}
	}
	return b
}

// props returns properties of less than 128 bytes with their length prefix.
func props(parts ...any) []byte {
	b := cat(parts...)
	return cat(len(b), b)
}

// withProps returns head, followed by properties if the version has them.
func withProps(version byte, head, properties []byte) []byte {
	if version == wire.V5 {
		return slices.Concat(head, properties)
	}
	return slices.Clone(head)
}

// mustCode fails the test unless err is a *wire.Error with a code, or nil if the code is 0.
func mustCode(t *testing.T, err error, code byte) {
	t.Helper()
	if code == 0 {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	var e *wire.Error
	if !errors.As(err, &e) {
		t.Errorf("got error %v, want one with code 0x%02X", err, code)
		return
	}
	if e.Code != code || e.Reason == "" {
		t.Errorf("got %v, want code 0x%02X and a reason", err, code)
	}
}

// mustRefuseTruncated fails the test if a decoder accepts a truncated packet, except at the lengths in ends.
func mustRefuseTruncated(t *testing.T, body []byte, decode func(body []byte) error, ends ...int) {
	t.Helper()
	for n := range body {
		part := slices.Clone(body[:n:n]) // a read beyond the end panics
		err := decode(part)
		if slices.Contains(ends, n) {
			mustCode(t, err, 0)
		} else if err == nil {
			t.Errorf("the first %d of % X were taken", n, body)
		}
	}
	mustCode(t, decode(slices.Clone(body)), 0)
}
