package bench

import "encoding/binary"

// headerSize is the size of the header at a payload's start: 48 bits for the due time, in nanoseconds since the run
// began, 16 bits for the run, 32 bits for the stream, 32 for the number; little endian.
const headerSize = 16

const (
	stampBits = 48
	stampMask = 1<<stampBits - 1
)

// header is the header of a message.
type header struct {
	stamp  int64 // due time; ns since the run began
	run    uint16
	stream uint32
	number uint32 // from 0, without gaps within the stream
}

func (h header) put(b []byte) {
	binary.LittleEndian.PutUint64(b, uint64(h.stamp)&stampMask|uint64(h.run)<<stampBits)
	binary.LittleEndian.PutUint32(b[8:], h.stream)
	binary.LittleEndian.PutUint32(b[12:], h.number)
}

// readHeader decodes the output of put; false if the payload is too short.
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

// fill fills the payload behind the header, so that changed bytes are detected.
func fill(b []byte) {
	const pattern = "0123456789abcdef"
	for i := range b {
		b[i] = pattern[i%len(pattern)]
	}
}

// verdict is the classification of a message's number.
type verdict uint8

const (
	inOrder   verdict = iota // the next, or the next after some that are missing so far
	late                     // was missing, and comes after later ones: out of order
	duplicate                // has come before
)

// memory is the number of latest messages that a tracker remembers: an older one is taken for a duplicate.
const memory = 32

// tracker follows one stream at one subscriber.
type tracker struct {
	next uint32 // the next expected number
	seen uint32 // bit i: next-1-i has come
}

// take records a received number.
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

// set holds the numbers of a stream received by any member of a group.
type set []uint64

// add adds a number and reports whether it is new.
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
