package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestDeadlines pushes, pops and removes entries in any order, and always has the earliest first.
func TestDeadlines(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h deadlines[int64]
	var want []int64
	for range 20_000 {
		switch n := r.IntN(10); {
		case n < 5:
			at := r.Int64N(1000)
			h.push(at, at)
			want = append(want, at)
		case len(h) == 0:
		case n < 8:
			least := slices.Min(want)
			if e := h.pop(); e.at != least || e.item != least {
				t.Fatalf("popped %v, the earliest is %d", e, least)
			}
			want = slices.Delete(want, slices.Index(want, least), slices.Index(want, least)+1)
		default:
			i := r.IntN(len(h))
			at := h[i].at
			h.remove(i)
			want = slices.Delete(want, slices.Index(want, at), slices.Index(want, at)+1)
		}
	}
	h = append(h, due[int64]{-1, -1})
	h.order()
	slices.Sort(want)
	for _, at := range append([]int64{-1}, want...) {
		if e := h.pop(); e.at != at {
			t.Fatalf("popped %v, want %d", e, at)
		}
	}
	if cap(h) > minDeadlines {
		t.Errorf("an empty heap has room for %d entries", cap(h))
	}
}

// TestStaleDeadlinesOfRetainedMessages replaces messages long before they expire: what is noted of their deadlines does
// not pile up.
func TestStaleDeadlinesOfRetainedMessages(t *testing.T) {
	const topics = 1000
	r := &retained{}
	l := &Limits{MaxRetainedMessages: unlimited, MaxRetainedBytes: unlimited}
	for i := range 100 * topics {
		m := &message{topic: fmt.Sprint("t/", i*7919%topics), payload: []byte("x"), expires: int64(1e15) + rand.Int64N(1e15)}
		if i > 50*topics && i%2 == 0 {
			m.expires = 0
		}
		m.own = m
		if !r.set(m, l, 0) {
			t.Fatal("not retained")
		}
	}
	if n := len(r.expiring); n > 2*topics {
		t.Errorf("%d deadlines of %d messages", n, topics)
	}
	for _, e := range r.expiring {
		if m, _ := r.names.Get(e.item); m == nil {
			t.Errorf("a deadline of %q, which has no message", e.item)
		}
	}
}
