package broker

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// TestRanking adds to and takes from queues in any order, and holds the longest class against all of them.
func TestRanking(t *testing.T) {
	b, err := New(Options{Shards: 1, Limits: Limits{MaxQueuedBytesTotal: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	s := b.shards[0]
	r := rand.New(rand.NewPCG(5, 6))
	var all []*session
	for range 20 {
		ss := s.newSession(string(rune('a'+len(all))), "")
		if len(all)%3 == 0 {
			ss.conn = &conn{shard: s}
		}
		all = append(all, ss)
	}
	for step := range 20_000 {
		ss := all[r.IntN(len(all))]
		switch n := r.IntN(10); {
		case n < 6:
			m := &message{topic: "t", payload: make([]byte, r.IntN(2000))}
			ss.queue.push(ss, delivery{m: m})
		case ss.queue.len() == 0:
		case n < 8:
			ss.queue.pop(ss)
		case n < 9:
			ss.queue.popLast(ss)
		default:
			for ss.queue.len() > 0 {
				ss.queue.pop(ss)
			}
		}
		want := int32(0)
		for _, each := range all {
			want = max(want, each.rank())
		}
		if got := s.waits.ranking.longest(); got != want || got != s.waits.ranking.top.Load() {
			t.Fatalf("step %d: the longest is of class %d, want %d", step, got, want)
		}
		if want > 0 && s.waits.ranking.first().rank() != want {
			t.Fatalf("step %d: the first is of class %d, want %d", step, s.waits.ranking.first().rank(), want)
		}
	}
	for _, ss := range all {
		for ss.queue.len() > 0 {
			ss.queue.popLast(ss)
		}
		if ss.place != 0 {
			t.Error("an empty queue has a place")
		}
	}
	s.enterWaiting()
	if n := b.account.bytes.Load(); n != 0 || s.waits.ranking.longest() != 0 {
		t.Errorf("%d bytes are left, class %d", n, s.waits.ranking.longest())
	}
}

// TestReadersRankLower compares a queue of a client that reads with those of clients that are absent and that are silent.
func TestReadersRankLower(t *testing.T) {
	b, err := New(Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	s := b.shards[0]
	ss := s.newSession("a", "")
	for range 1000 {
		ss.queue.push(ss, delivery{m: &message{topic: "t", payload: make([]byte, 1000)}})
	}
	absent := ss.rank()
	ss.conn = &conn{shard: s}
	ss.took()
	if reading := ss.rank(); reading != absent-4*readerShift {
		t.Errorf("class %d when it reads, %d when it is absent", reading, absent)
	}
	s.now += int64(time.Minute)
	if silent := ss.rank(); silent != absent {
		t.Errorf("class %d when it is silent, %d when it is absent", silent, absent)
	}
}

// TestForgone adds places in any order, and holds the ranges against a set.
func TestForgone(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		var f forgone
		set, sent := map[uint64]bool{}, uint64(0)
		for range 60 {
			seq := sent + 1 + r.Uint64N(40)
			if !set[seq] {
				set[seq] = true
				f.add(seq)
			}
			if r.IntN(20) == 0 {
				sent += r.Uint64N(20)
				f.prune(sent)
			}
		}
		var read storage.Flow
		if err := read.Parse(storage.NumberKey(1), (&storage.Flow{Forgone: f}).Append(nil)); err != nil {
			t.Fatal(err)
		}
		again := forgone(read.Forgone)
		for seq := sent + 1; seq < sent+50; seq++ {
			if f.has(seq) != set[seq] || again.has(seq) != set[seq] {
				t.Fatalf("%v, read again %v: has %d %v, want %v", f, again, seq, f.has(seq), set[seq])
			}
		}
		if !slices.IsSortedFunc(f, func(a, b storage.Places) int { return int(int64(a.To) + 1 - int64(b.From)) }) {
			t.Fatalf("%v is not in order", f)
		}
	}
}
