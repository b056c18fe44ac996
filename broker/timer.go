package broker

import (
	"math/bits"
	"time"
)

// A tick is the resolution of timers. Timers fire at the first tick after they are due, never before.
const tick = 100 * time.Millisecond

const (
	wheelSlots = 512
	wheelMask  = wheelSlots - 1
)

// timer is one deadline. It lies inside what it belongs to, so arming it allocates nothing.
type timer struct {
	next, prev *timer
	due        int64 // in ticks
	owner      expirer
}

// expirer is told when its timer fires. The timer is then no longer armed.
type expirer interface{ expire(t *timer) }

func (t *timer) armed() bool { return t.next != nil }

// wheel keeps timers by the tick they are due at, modulo its slots. It belongs to one shard.
type wheel struct {
	slots [wheelSlots]timer // heads of circular lists
	busy  [wheelSlots / 64]uint64
	now   int64 // the last tick that fired
	count int
}

func (w *wheel) init(now int64) {
	w.now = now
	for i := range w.slots {
		w.slots[i].next, w.slots[i].prev = &w.slots[i], &w.slots[i]
	}
}

// arm sets t to fire at the tick due, or at the next one if that has passed.
func (w *wheel) arm(t *timer, due int64) {
	if t.armed() {
		w.stop(t)
	}
	t.due = max(due, w.now+1)
	i := t.due & wheelMask
	head := &w.slots[i]
	t.prev, t.next = head.prev, head
	head.prev.next, head.prev = t, t
	w.busy[i/64] |= 1 << (i % 64)
	w.count++
}

// stop disarms t; it is idempotent.
func (w *wheel) stop(t *timer) {
	if !t.armed() {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev = nil, nil
	w.count--
	i := t.due & wheelMask
	if head := &w.slots[i]; head.next == head {
		w.busy[i/64] &^= 1 << (i % 64)
	}
}

// advance fires every timer that is due at or before the tick now.
func (w *wheel) advance(now int64) {
	if w.count == 0 {
		w.now = max(w.now, now)
		return
	}
	for range min(now-w.now, wheelSlots) {
		w.now++
		w.fire(w.now&wheelMask, now)
	}
	w.now = max(w.now, now)
}

// fire moves what is due aside before telling anyone, so that an expirer may arm and stop what it likes.
func (w *wheel) fire(slot, now int64) {
	if w.busy[slot/64]&(1<<(slot%64)) == 0 {
		return
	}
	var due timer
	due.next, due.prev = &due, &due
	head := &w.slots[slot]
	for t := head.next; t != head; {
		next := t.next
		if t.due <= now {
			t.prev.next, t.next.prev = t.next, t.prev
			t.prev, t.next = due.prev, &due
			due.prev.next, due.prev = t, t
		}
		t = next
	}
	for due.next != &due {
		t := due.next
		w.stop(t)
		t.owner.expire(t)
	}
	if head.next == head {
		w.busy[slot/64] &^= 1 << (slot % 64)
	}
}

// wait is how many ticks after now the next slot with a timer comes, or -1 without timers. The timer may be due in a
// later round; then the wake-up is in vain, once in wheelSlots ticks.
func (w *wheel) wait() int64 {
	if w.count == 0 {
		return -1
	}
	for d := int64(1); d <= wheelSlots; {
		i := (w.now + d) & wheelMask
		if word := w.busy[i/64] >> (i % 64); word != 0 {
			return d + int64(bits.TrailingZeros64(word))
		}
		d += 64 - i%64
	}
	return wheelSlots
}
