package broker

import (
	"maps"
	"math/rand/v2"
	"slices"
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

// TestReceipts does to receipts what is done to a map, with identifiers as clients give them: counted up, and over the end,
// released mostly in order.
func TestReceipts(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var r unreleased
	want := map[uint16]unreleasedID{}
	id := uint16(65_000)
	for step := range 20_000 {
		switch random.IntN(5) {
		case 0, 1:
			id = following(id)
			if random.IntN(20) == 0 {
				id = uint16(1 + random.IntN(65_535))
			}
			x := unreleasedID{id: id, released: random.IntN(4) == 0}
			r.set(x)
			want[id] = x
		case 2, 3:
			if ids := slices.Collect(maps.Keys(want)); len(ids) > 0 {
				gone := slices.Min(ids)
				if random.IntN(3) == 0 {
					gone = ids[random.IntN(len(ids))]
				}
				r.remove(gone)
				delete(want, gone)
			}
		default:
			gone := uint16(random.IntN(65_536))
			r.remove(gone)
			delete(want, gone)
		}
		if random.IntN(500) == 0 { // all of them, as when a burst is over
			for id := range want {
				r.remove(id)
			}
			clear(want)
		}
		if r.len() != len(want) {
			t.Fatalf("step %d: %d identifiers, want %d", step, r.len(), len(want))
		}
		if x, known := r.get(id); known != (want[id].id != 0) || x != want[id] {
			t.Fatalf("step %d: %d is %+v (%t), want %+v", step, id, x, known, want[id])
		}
	}
	var held []uint16
	for id, x := range want {
		if !x.released {
			held = append(held, id)
		}
	}
	slices.Sort(held)
	if got := slices.Collect(r.held()); !slices.Equal(got, held) {
		t.Errorf("held are %d, want %d", got, held)
	}
}
