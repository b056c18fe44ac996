package broker

import (
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestWindow holds the window against a map and a list, over identifiers that wrap around, with messages among them
// that are not acknowledged for long or at all.
func TestWindow(t *testing.T) {
	t.Parallel()
	for _, stuck := range []int{0, 1, 3, 100} {
		t.Run(strconv.Itoa(stuck), func(t *testing.T) { testWindow(t, stuck) })
	}
}

func testWindow(t *testing.T, stuck int) {
	rng := rand.New(rand.NewPCG(5, 6))
	var w inflight
	open := map[uint16]bool{}
	var order []uint16
	for range 300000 {
		if rng.IntN(2) == 0 && len(order) < 500 && !w.full() {
			id := w.next()
			if id == 0 || open[id] {
				t.Fatalf("identifier %d is 0 or in use", id)
			}
			w.push(&outgoing{id: id, state: awaitAck, sent: true})
			open[id] = true
			order = append(order, id)
			continue
		}
		if len(order) <= stuck {
			continue
		}
		i := min(stuck+rng.IntN(20), len(order)-1) // the first few stay
		if rng.IntN(100000) == 0 {
			i = 0
		}
		id := order[i]
		order = append(order[:i], order[i+1:]...)
		o := w.find(id)
		if o == nil || o.id != id {
			t.Fatalf("identifier %d is not found", id)
		}
		w.settle(o)
		delete(open, id)
		if w.find(id) != nil {
			t.Fatalf("identifier %d is found after it was settled", id)
		}
		if w.live != len(order) || w.n > 4*longWindow {
			t.Fatalf("%d live in %d places, want %d", w.live, w.n, len(order))
		}
	}
	w.disconnect()
	for _, want := range order {
		o := w.again()
		if o == nil || o.id != want {
			t.Fatalf("resent %v, want %d", o, want)
		}
		w.resent()
	}
	if w.again() != nil {
		t.Fatal("something is resent twice")
	}
}
