package broker

import (
	"time"

	"github.com/outcry-mqtt/outcry/internal/wheel"
)

// due is an entry of deadlines: an item and its expiry on the broker's clock.
type due[T any] struct {
	at   int64
	item T
}

// deadlines is a binary heap of items by expiry, the earliest at index 0. An entry stays when its item goes early or gets another
// deadline. It is stale then, and its owner detects that by comparing the deadlines.
type deadlines[T any] []due[T]

// minDeadlines is the capacity below which a heap keeps its memory.
const minDeadlines = 64

func (h *deadlines[T]) push(at int64, item T) {
	*h = append(*h, due[T]{at, item})
	h.up(len(*h) - 1)
}

func (h *deadlines[T]) pop() due[T] {
	first := (*h)[0]
	h.remove(0)
	return first
}

// remove removes the entry at index i. It frees memory when the heap fills less than a quarter of its capacity.
func (h *deadlines[T]) remove(i int) {
	a := *h
	last := len(a) - 1
	a[i] = a[last]
	a[last] = due[T]{}
	a = a[:last]
	if cap(a) > minDeadlines && len(a) < cap(a)/4 {
		a = append(make(deadlines[T], 0, cap(a)/2), a...)
	}
	*h = a
	if i < last && !h.down(i) {
		h.up(i)
	}
}

func (h deadlines[T]) isDue(now int64) bool { return len(h) > 0 && h[0].at <= now }

// order turns entries in any order into a heap.
func (h deadlines[T]) order() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

func (h deadlines[T]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].at <= h[i].at {
			return
		}
		h[parent], h[i] = h[i], h[parent]
		i = parent
	}
}

// down moves the entry at index i towards the leaves, and reports whether it moved.
func (h deadlines[T]) down(i int) bool {
	start := i
	for {
		least := 2*i + 1
		if least >= len(h) {
			break
		}
		if right := least + 1; right < len(h) && h[right].at < h[least].at {
			least = right
		}
		if h[i].at <= h[least].at {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	return i > start
}

// expiryWork holds a shard's work on expired messages.
type expiryWork struct {
	reaping  []reaper    // owners of expired messages
	retained wheel.Timer // for the first of the shard's retained messages to expire
}

// reaper is an owner of messages that expire.
type reaper interface {
	// reap drops at most reapBatch expired messages, and reports whether there may be more.
	reap(s *shard) (more bool)
}

const (
	reapBatch = 64
	// reapTime is a shard's time in a turn for dropping expired messages, after at least one batch. A million may expire at once,
	// and must not delay other work.
	reapTime = time.Millisecond
)

// reapLater drops expired messages of r, in this turn and the next ones.
func (s *shard) reapLater(r reaper) { s.expiry.reaping = append(s.expiry.reaping, r) }

// reap drops expired messages, for reapTime at most.
func (s *shard) reap() {
	if len(s.expiry.reaping) == 0 {
		return
	}
	began := s.b.clock.now()
	for len(s.expiry.reaping) > 0 {
		if !s.expiry.reaping[0].reap(s) {
			s.expiry.reaping[0] = nil
			s.expiry.reaping = s.expiry.reaping[1:]
		}
		if s.b.clock.now()-began > int64(reapTime) {
			return
		}
	}
	s.expiry.reaping = nil
}

// armFor arms a timer for a deadline on the broker's clock, unless it is armed for an earlier one.
func (s *shard) armFor(t *wheel.Timer, at int64) {
	if due := at/int64(tick) + 1; !t.Armed() || due < t.Due() {
		s.wheel.Arm(t, due)
	}
}
