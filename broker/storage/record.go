package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// Forever is a time span without an end. As a stamp it never comes.
const Forever = time.Duration(math.MaxInt64)

// Why a record is refused.
var (
	errVersion  = errors.New("another version")
	errShort    = errors.New("the record is truncated")
	errNumber   = errors.New("a number is too large")
	errQoS      = errors.New("a QoS is 3")
	errKey      = errors.New("its key is not a number")
	errPacketID = errors.New("a packet identifier is 0")
)

// NumberKey is a number as a key, so that keys are in the order of their numbers.
func NumberKey(n uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return string(b[:])
}

// KeyNumber is the number that a key of NumberKey is; false: the key is none.
func KeyNumber(key string) (n uint64, ok bool) {
	if len(key) != keyBytes {
		return 0, false
	}
	return binary.BigEndian.Uint64([]byte(key)), true
}

// keyBytes is how many bytes a number takes in a key.
const keyBytes = 8

func appendBytes[T string | []byte](b []byte, v T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// appendDuration is read by reader.duration.
func appendDuration(b []byte, d time.Duration) []byte {
	if d == Forever {
		return binary.AppendVarint(b, int64(Forever))
	}
	return binary.AppendVarint(b, d.Milliseconds())
}

// reader takes a record apart. It remembers the first read that fails; that one and all later ones return zero.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

// result is the error of a record of a kind; nil: all was read.
func (r *reader) result(kind string) error {
	switch {
	case r.err == nil:
		return nil
	case r.err == errVersion:
		return fmt.Errorf("unknown version of a %s; run the version of Outcry that wrote it, or restore a backup", kind)
	}
	return fmt.Errorf("malformed %s: %w; restore a backup", kind, r.err)
}

// numberKey reads a key that is a number.
func (r *reader) numberKey(key string) uint64 {
	number, ok := KeyNumber(key)
	if !ok {
		r.fail(errKey)
	}
	return number
}

// version reads the first byte.
func (r *reader) version(known byte) {
	if r.err == nil && len(r.rest) > 0 && r.rest[0] == known {
		r.rest = r.rest[1:]
		return
	}
	r.fail(errVersion)
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail(errShort)
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// bytes are in the record: they are not copied.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail(errShort)
		return nil
	}
	v := r.rest[:n:n]
	r.rest = r.rest[n:]
	return v
}

// upTo is a number of at most most.
func (r *reader) upTo(most uint64) uint64 {
	v := r.uvarint()
	if v > most {
		r.fail(errNumber)
		return 0
	}
	return v
}

// count is a number of items that take so many bytes each, or more. No more are allocated than the record can have.
func (r *reader) count(bytes int) int {
	n := r.uvarint()
	if n > uint64(len(r.rest)/bytes) {
		r.fail(errShort)
		return 0
	}
	return int(n)
}

func (r *reader) packetID() uint16 {
	id := uint16(r.upTo(math.MaxUint16))
	if id == 0 {
		r.fail(errPacketID)
	}
	return id
}

// qosBits are the bits of flags that are a QoS.
const qosBits = 3

func (r *reader) qos(flags byte) byte {
	if flags &= qosBits; flags == 3 {
		r.fail(errQoS)
		return 0
	}
	return flags
}

// duration is a time span in milliseconds, not below 0.
func (r *reader) duration() time.Duration {
	ms := max(r.varint(), 0)
	if ms >= int64(Forever/time.Millisecond) {
		return Forever
	}
	return time.Duration(ms) * time.Millisecond
}

// expiry is the stamp at which a message expires. It is never 0, which stands for a message that does not.
func (r *reader) expiry() int64 { return max(r.varint(), 1) }
