package storage

import (
	"encoding/binary"
	"math"
	"testing"
	"time"
)

// TestNumbersOfRecords reads numbers that do not fit what they are.
func TestNumbersOfRecords(t *testing.T) {
	large := binary.AppendUvarint(nil, math.MaxUint64)
	r := reader{rest: append(large, 1)}
	if n := r.upTo(math.MaxUint16); n != 0 || r.err != errNumber {
		t.Errorf("a packet identifier is %d, %v", n, r.err)
	}
	r = reader{rest: append(binary.AppendUvarint(nil, math.MaxUint16), 1)}
	if n := r.upTo(math.MaxUint16); n != math.MaxUint16 || r.err != nil {
		t.Errorf("the largest packet identifier is %d, %v", n, r.err)
	}
	for ms, want := range map[int64]time.Duration{
		math.MinInt64: 0, -1: 0, 1: time.Millisecond, math.MaxInt64 / int64(time.Millisecond): Forever, math.MaxInt64: Forever,
	} {
		r := reader{rest: binary.AppendVarint(nil, ms)}
		if got := r.duration(); got != want {
			t.Errorf("%d ms are %v, want %v", ms, got, want)
		}
	}
	var s Subscription
	value := binary.AppendUvarint([]byte{subscriptionVersion, 0}, 7)
	if err := s.Parse(NumberKey(1)+"a", binary.AppendUvarint(value, math.MaxUint64)); err != nil || s.Every != math.MaxInt64 {
		t.Errorf("an interval is %v, %v, want %v", s.Every, err, time.Duration(math.MaxInt64))
	}
	var m Message
	if err := m.Parse(NumberKey(1), []byte{messageVersion, messageHasExpiry, 0, 0, 0, 0}); err != nil || m.Expires != 1 {
		t.Errorf("what expired at 0 expires at %d, %v, want 1", m.Expires, err)
	}
}

// A read after one that failed returns nothing, and the first failure is the one that is told.
func TestFailedReader(t *testing.T) {
	r := reader{rest: []byte{3, 1, 2, 3, 4}}
	if got := string(r.bytes()); got != "\x01\x02\x03" {
		t.Errorf("read %q", got)
	}
	r.fail(errQoS)
	if r.byte() != 0 || r.uvarint() != 0 || r.varint() != 0 || len(r.bytes()) != 0 || r.count(1) != 0 || r.packetID() != 0 {
		t.Error("a reader that failed reads on")
	}
	if r.err != errQoS {
		t.Errorf("it says %v", r.err)
	}
}
