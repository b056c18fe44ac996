// Package wheel is a timing wheel: deadlines in ticks, armed and stopped in constant time without allocation.
package wheel

import "math/bits"

const (
	slots = 512
	mask  = slots - 1
)

// Timer is one deadline. It is a field of its owner, so arming it allocates nothing. It must not be copied while it is armed.
type Timer struct {
	next, prev *Timer
	due        int64   // in ticks
	Owner      Expirer // set before the timer is armed
}

// Expirer handles the firing of its timer. The timer is then no longer armed.
type Expirer interface{ Expire(t *Timer) }

// Armed reports whether the timer is set to fire.
func (t *Timer) Armed() bool { return t.next != nil }

// Due returns the tick at which the timer fires, or last was to fire.
func (t *Timer) Due() int64 { return t.due }

// Wheel stores timers by the tick they are due at, modulo its slots. It belongs to one goroutine. The zero value must be initialised.
type Wheel struct {
	slots [slots]Timer // heads of circular lists
	busy  [slots / 64]uint64
	late  Timer // head of a circular list: timers that are due and have not fired yet
	now   int64 // the last tick whose timers are in late, or have fired
	count int
}

// Init makes an empty wheel whose last tick is now.
func (w *Wheel) Init(now int64) {
	w.now = now
	w.late.next, w.late.prev = &w.late, &w.late
	for i := range w.slots {
		w.slots[i].next, w.slots[i].prev = &w.slots[i], &w.slots[i]
	}
}

// Len returns the number of armed timers.
func (w *Wheel) Len() int { return w.count }

// Arm sets t to fire at the tick due, or at the next one if that has passed.
func (w *Wheel) Arm(t *Timer, due int64) {
	if t.Armed() {
		w.Stop(t)
	}
	t.due = max(due, w.now+1)
	i := t.due & mask
	head := &w.slots[i]
	t.prev, t.next = head.prev, head
	head.prev.next, head.prev = t, t
	w.busy[i/64] |= 1 << (i % 64)
	w.count++
}

// Stop disarms t; it is idempotent.
func (w *Wheel) Stop(t *Timer) {
	if !t.Armed() {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev = nil, nil
	w.count--
	i := t.due & mask
	if head := &w.slots[i]; head.next == head {
		w.busy[i/64] &^= 1 << (i % 64)
	}
}

// Advance fires the timers due at or before the tick now, ordered by tick, until stop returns true for lack of time. Other
// timers fire first at the next call. It returns false if some are left.
func (w *Wheel) Advance(now int64, stop func() bool) (done bool) {
	if w.count > 0 {
		for range min(now-w.now, slots) {
			w.now++
			w.collect(w.now&mask, now)
		}
	}
	w.now = max(w.now, now)
	for w.late.next != &w.late {
		if stop() {
			return false
		}
		t := w.late.next
		w.Stop(t)
		t.Owner.Expire(t)
	}
	return true
}

// collect moves due timers of a slot aside before any of them fires, so that an expirer may arm and stop timers.
func (w *Wheel) collect(slot, now int64) {
	if w.busy[slot/64]&(1<<(slot%64)) == 0 {
		return
	}
	head, late := &w.slots[slot], &w.late
	for t := head.next; t != head; {
		next := t.next
		if t.due <= now {
			t.prev.next, t.next.prev = t.next, t.prev
			t.prev, t.next = late.prev, late
			late.prev.next, late.prev = t, t
		}
		t = next
	}
	if head.next == head {
		w.busy[slot/64] &^= 1 << (slot % 64)
	}
}

// Next returns the tick of the next slot with a timer, and false without timers. The timer may be due in a later round; then the owner
// of the wheel wakes up for nothing, once in 512 ticks.
func (w *Wheel) Next() (tick int64, armed bool) {
	if w.count == 0 {
		return 0, false
	}
	for d := int64(1); d <= slots; {
		i := (w.now + d) & mask
		if word := w.busy[i/64] >> (i % 64); word != 0 {
			return w.now + d + int64(bits.TrailingZeros64(word)), true
		}
		d += 64 - i%64
	}
	return w.now + slots, true
}
