package broker

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

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
