package wheel

import (
	"math/rand/v2"
	"testing"
)

type firing struct {
	t     Timer
	w     *Wheel
	at    []int64
	after func()
}

func (f *firing) Expire(*Timer) {
	f.at = append(f.at, f.w.now)
	if f.after != nil {
		f.after()
	}
}

func newFiring(w *Wheel) *firing {
	f := &firing{w: w}
	f.t.Owner = f
	return f
}

func TestWheelFiresOnceWhenDue(t *testing.T) {
	t.Parallel()
	var w Wheel
	w.Init(1000)
	rng := rand.New(rand.NewPCG(1, 2))
	due := map[*firing]int64{}
	for range 2000 {
		f := newFiring(&w)
		due[f] = 1001 + rng.Int64N(5*slots)
		w.Arm(&f.t, due[f])
	}
	for now := int64(1000); now < 1000+6*slots; now += 1 + rng.Int64N(3) {
		w.Advance(now, never)
	}
	for f, d := range due {
		if len(f.at) != 1 || f.at[0] < d {
			t.Fatalf("due %d, fired %v", d, f.at)
		}
	}
	if next, armed := w.Next(); w.count != 0 || armed {
		t.Fatalf("%d timers left, the next at %d", w.count, next)
	}
}

func TestWheelLongSleep(t *testing.T) {
	t.Parallel()
	var w Wheel
	w.Init(0)
	near, far := newFiring(&w), newFiring(&w)
	w.Arm(&near.t, 5)
	w.Arm(&far.t, 50*slots)
	w.Advance(10*slots, never)
	if len(near.at) != 1 || len(far.at) != 0 {
		t.Fatalf("near %v, far %v", near.at, far.at)
	}
}

func TestWheelStopAndRearmFromExpirer(t *testing.T) {
	t.Parallel()
	var w Wheel
	w.Init(0)
	a, b := newFiring(&w), newFiring(&w)
	a.after = func() {
		w.Stop(&b.t) // due at the same tick
		if len(a.at) == 1 {
			w.Arm(&a.t, w.now)
		}
	}
	w.Arm(&a.t, 3)
	w.Arm(&b.t, 3)
	w.Advance(3, never)
	w.Advance(4, never)
	if len(a.at) != 2 || len(b.at) != 0 {
		t.Fatalf("a fired %v, b %v", a.at, b.at)
	}
}

func TestNextIsNeverLate(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		var w Wheel
		w.Init(rng.Int64N(10000))
		f := newFiring(&w)
		d := w.now + 1 + rng.Int64N(3*slots)
		w.Arm(&f.t, d)
		if got, armed := w.Next(); !armed || got <= w.now || got > d {
			t.Fatalf("now %d, due %d, next %d, armed %v", w.now, d, got, armed)
		}
	}
}

// never is a stop that lets every timer fire.
func never() bool { return false }

// TestWheelStops fires many timers of one tick a few at a time, while some of those that are left are stopped and armed anew.
func TestWheelStops(t *testing.T) {
	t.Parallel()
	var w Wheel
	w.Init(0)
	all := make([]*firing, 100)
	for i := range all {
		all[i] = newFiring(&w)
		w.Arm(&all[i].t, int64(1+i/50))
	}
	left := 10
	stop := func() bool { left--; return left < 0 }
	if w.Advance(5, stop) {
		t.Fatal("no timer is left after ten of a hundred")
	}
	w.Stop(&all[20].t)
	w.Arm(&all[21].t, 7)
	if !w.Advance(6, never) {
		t.Fatal("timers are left")
	}
	w.Advance(7, never)
	for i, f := range all {
		want := 1
		if i == 20 {
			want = 0
		}
		if len(f.at) != want {
			t.Errorf("timer %d fired %d times, want %d", i, len(f.at), want)
		}
	}
	if all[9].at[0] != 5 || all[10].at[0] != 6 || all[21].at[0] != 7 {
		t.Errorf("fired at %d, %d, %d", all[9].at[0], all[10].at[0], all[21].at[0])
	}
	if next, armed := w.Next(); w.count != 0 || armed {
		t.Errorf("%d timers left, the next at %d", w.count, next)
	}
}
