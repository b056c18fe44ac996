package broker

import (
	"math/rand/v2"
	"testing"
)

type firing struct {
	t     timer
	w     *wheel
	at    []int64
	after func()
}

func (f *firing) expire(*timer) {
	f.at = append(f.at, f.w.now)
	if f.after != nil {
		f.after()
	}
}

func newFiring(w *wheel) *firing {
	f := &firing{w: w}
	f.t.owner = f
	return f
}

func TestWheelFiresOnceWhenDue(t *testing.T) {
	t.Parallel()
	var w wheel
	w.init(1000)
	rng := rand.New(rand.NewPCG(1, 2))
	due := map[*firing]int64{}
	for range 2000 {
		f := newFiring(&w)
		due[f] = 1001 + rng.Int64N(5*wheelSlots)
		w.arm(&f.t, due[f])
	}
	for now := int64(1000); now < 1000+6*wheelSlots; now += 1 + rng.Int64N(3) {
		w.advance(now)
	}
	for f, d := range due {
		if len(f.at) != 1 || f.at[0] < d {
			t.Fatalf("due %d, fired %v", d, f.at)
		}
	}
	if w.count != 0 || w.wait() != -1 {
		t.Fatalf("%d timers left, wait %d", w.count, w.wait())
	}
}

func TestWheelLongSleep(t *testing.T) {
	t.Parallel()
	var w wheel
	w.init(0)
	near, far := newFiring(&w), newFiring(&w)
	w.arm(&near.t, 5)
	w.arm(&far.t, 50*wheelSlots)
	w.advance(10 * wheelSlots)
	if len(near.at) != 1 || len(far.at) != 0 {
		t.Fatalf("near %v, far %v", near.at, far.at)
	}
}

func TestWheelStopAndRearmFromExpirer(t *testing.T) {
	t.Parallel()
	var w wheel
	w.init(0)
	a, b := newFiring(&w), newFiring(&w)
	a.after = func() {
		w.stop(&b.t) // due at the same tick
		if len(a.at) == 1 {
			w.arm(&a.t, w.now)
		}
	}
	w.arm(&a.t, 3)
	w.arm(&b.t, 3)
	w.advance(3)
	w.advance(4)
	if len(a.at) != 2 || len(b.at) != 0 {
		t.Fatalf("a fired %v, b %v", a.at, b.at)
	}
}

func TestWheelWaitIsNeverLate(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		var w wheel
		w.init(rng.Int64N(10000))
		f := newFiring(&w)
		d := w.now + 1 + rng.Int64N(3*wheelSlots)
		w.arm(&f.t, d)
		if got := w.wait(); got < 1 || w.now+got > d {
			t.Fatalf("now %d, due %d, wait %d", w.now, d, got)
		}
	}
}
