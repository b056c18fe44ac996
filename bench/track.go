package bench

import "encoding/binary"

// headerSize is the part of a payload that tells what it is: 48 bits for when the message was due, in nanoseconds since
// the run began, 16 bits that differ from run to run, 32 bits for the stream, 32 for its number; little endian.
const headerSize = 16

const (
	stampBits = 48
	stampMask = 1<<stampBits - 1
)

// header is what a message says of itself.
type header struct {
	stamp  int64 // ns since the run began
	run    uint16
	stream uint32
	number uint32 // from 0, without gaps within the stream
}

func (h header) put(b []byte) {
	binary.LittleEndian.PutUint64(b, uint64(h.stamp)&stampMask|uint64(h.run)<<stampBits)
	binary.LittleEndian.PutUint32(b[8:], h.stream)
	binary.LittleEndian.PutUint32(b[12:], h.number)
}

// readHeader reads what put wrote; false if the payload is too short.
func readHeader(b []byte) (header, bool) {
	if len(b) < headerSize {
		return header{}, false
	}
	word := binary.LittleEndian.Uint64(b)
	return header{
		stamp: int64(word & stampMask), run: uint16(word >> stampBits),
		stream: binary.LittleEndian.Uint32(b[8:]), number: binary.LittleEndian.Uint32(b[12:]),
	}, true
}

// fill fills what follows the header, so that a byte that changed on its way is seen.
func fill(b []byte) {
	const pattern = "0123456789abcdef"
	for i := range b {
		b[i] = pattern[i%len(pattern)]
	}
}

// verdict is what is to be said of a message's number.
type verdict uint8

const (
	inOrder   verdict = iota // the next, or the next after some that are missing so far
	late                     // one that was missing, after some that follow it: out of order
	duplicate                // one that was here already
)

// memory is how far back a tracker knows what came: a message that is later than this is taken for a duplicate.
const memory = 32

// tracker follows one stream at one subscriber.
type tracker struct {
	next uint32 // the number that has to come
	seen uint32 // bit i: next-1-i has come
}

// take takes note of a number that came.
func (t *tracker) take(number uint32) verdict {
	if number == t.next {
		t.next++
		t.seen = t.seen<<1 | 1
		return inOrder
	}
	if ahead := number - t.next; ahead < 1<<31 {
		t.seen = t.seen<<(ahead+1) | 1 // 0 if all of it is shifted out
		t.next = number + 1
		return inOrder
	}
	back := t.next - 1 - number
	if back >= memory || t.seen>>back&1 != 0 {
		return duplicate
	}
	t.seen |= 1 << back
	return late
}

// set is which numbers of a stream have come to anyone of a group.
type set []uint64

// add adds a number and tells whether it is new.
func (s *set) add(number uint32) bool {
	i := int(number / 64)
	for i >= len(*s) {
		*s = append(*s, 0)
	}
	bit := uint64(1) << (number % 64)
	fresh := (*s)[i]&bit == 0
	(*s)[i] |= bit
	return fresh
}
