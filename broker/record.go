package broker

import (
	"encoding/binary"
	"time"
)

// numberKey is a number as a key, so that keys are in the order of their numbers.
func numberKey(n uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return string(b[:])
}

func keyNumber(key string) (uint64, bool) {
	if len(key) < 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64([]byte(key[:8])), true
}

func appendBytes[T string | []byte](b []byte, v T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// reader takes a record apart. What is missing reads as zero, and failed says so.
type reader struct{ rest []byte }

// fail makes every later read fail.
func (r *reader) fail() { r.rest = nil }

func (r *reader) failed() bool { return r.rest == nil }

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	v := r.rest[:n]
	r.rest = r.rest[n:]
	return v
}

// duration is a time span in milliseconds; all that unlimitedTime holds is no limit.
func (r *reader) duration() time.Duration {
	ms := r.varint()
	if ms >= int64(unlimitedTime/time.Millisecond) {
		return unlimitedTime
	}
	return time.Duration(ms) * time.Millisecond
}
