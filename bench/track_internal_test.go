package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTracker(t *testing.T) {
	for _, tt := range []struct {
		name            string
		numbers         []uint32
		late, duplicate int
	}{
		{"in order", []uint32{0, 1, 2, 3}, 0, 0},
		{"begins later", []uint32{5, 6}, 0, 0},
		{"gap", []uint32{0, 1, 5, 6}, 0, 0},
		{"swapped", []uint32{0, 2, 1, 3}, 1, 0},
		{"twice", []uint32{0, 1, 1, 2}, 0, 1},
		{"late, and again", []uint32{0, 3, 1, 1, 2}, 2, 1},
		{"first is late", []uint32{1, 0}, 1, 0},
		{"gap of the memory", []uint32{0, 32, 1}, 1, 0},
		{"beyond the memory", []uint32{0, 33, 1}, 0, 1},
		{"long gap, late", []uint32{0, 1000, 999, 1000}, 1, 1},
		{"everything again", []uint32{0, 1, 2, 0, 1, 2}, 0, 3},
		{"around the end", []uint32{math.MaxUint32 - 1, math.MaxUint32, 0, 1}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := map[verdict]int{}
			tr := tracker{next: tt.numbers[0]}
			if tt.numbers[0] <= 5 {
				tr.next = 0
			}
			for _, n := range tt.numbers {
				got[tr.take(n)]++
			}
			if got[late] != tt.late || got[duplicate] != tt.duplicate {
				t.Errorf("%d late, %d duplicates; want %d, %d", got[late], got[duplicate], tt.late, tt.duplicate)
			}
		})
	}
}

func TestHeader(t *testing.T) {
	want := header{stamp: 1<<47 + 5, run: 65535, stream: 1 << 31, number: 7}
	b := make([]byte, headerSize)
	want.put(b)
	if got, ok := readHeader(b); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	if _, ok := readHeader(b[:headerSize-1]); ok {
		t.Error("read from too few bytes")
	}
}

func TestSet(t *testing.T) {
	var s set
	for _, tt := range []struct {
		number uint32
		fresh  bool
	}{{0, true}, {63, true}, {64, true}, {0, false}, {1000, true}, {64, false}, {65, true}} {
		if got := s.add(tt.number); got != tt.fresh {
			t.Errorf("%d is new: %v", tt.number, got)
		}
	}
}

// Quantiles are within 1 % of the exact ones.
func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() int64{
		"small":    func() int64 { return random.Int64N(100) },
		"even":     func() int64 { return random.Int64N(1_000_000_000) },
		"long":     func() int64 { return int64(math.Exp(random.Float64() * 40)) },
		"constant": func() int64 { return 123_456_789 },
	} {
		t.Run(name, func(t *testing.T) {
			h, half := &histogram{}, &histogram{}
			var all []int64
			for i := range 10_000 {
				v := draw()
				all = append(all, v)
				if i%2 == 0 {
					h.record(v)
				} else {
					half.record(v)
				}
			}
			h.add(half)
			slices.Sort(all)
			for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
				want := float64(all[max(int(math.Ceil(q*float64(len(all))))-1, 0)])
				if got := float64(h.quantile(q)); math.Abs(got-want) > want/100 {
					t.Errorf("quantile %v is %v, want %v", q, got, want)
				}
			}
			if h.count != 10_000 || h.max != uint64(all[len(all)-1]) || h.min != uint64(all[0]) {
				t.Errorf("count %d, %d to %d", h.count, h.min, h.max)
			}
		})
	}
}

func TestEveryValueHasABucket(t *testing.T) {
	for shift := range 64 {
		for _, v := range []uint64{1 << shift, 1<<shift - 1, 1<<shift + 1} {
			b := bucketOf(v)
			if b < 0 || b >= buckets || math.Abs(float64(middle(b))-float64(v)) > float64(v)/100 {
				t.Errorf("%d is in bucket %d, of %d", v, b, middle(b))
			}
		}
	}
}

func TestNothingIsAllocatedPerMessage(t *testing.T) {
	w, c, stretch := receiving(t, 1000, 64)
	var failed error
	allocations := testing.AllocsPerRun(20, func() {
		if err := w.take(c, stretch); err != nil {
			failed = err
		}
	})
	if failed != nil || allocations > 0 {
		t.Errorf("%v allocations for a thousand messages, %v", allocations, failed)
	}
}
