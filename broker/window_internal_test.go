package broker

import (
	"math/rand/v2"
	"testing"
)

// TestWindow holds the window against a map and a list, over identifiers that wrap around.
func TestWindow(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	var w window
	open := map[uint16]bool{}
	var order []uint16
	for range 300000 {
		if rng.IntN(2) == 0 && len(order) < 500 && !w.full() {
			id := w.next()
			if id == 0 || open[id] {
				t.Fatalf("identifier %d is 0 or in use", id)
			}
			w.push(outgoing{id: id, state: awaitAck, sent: true})
			open[id] = true
			order = append(order, id)
			continue
		}
		if len(order) == 0 {
			continue
		}
		i := min(rng.IntN(20), len(order)-1)
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
		if w.live != len(order) {
			t.Fatalf("%d live, want %d", w.live, len(order))
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
