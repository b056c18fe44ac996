package broker

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
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

// TestStaleDeadlinesOfRetainedMessages replaces messages long before they expire. The number of stale deadlines stays bounded.
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

// blockedHarness is a connection with blocked output beside a list of what must wait for it.
type blockedHarness struct {
	c    *conn
	want []*message
}

// TestParkedMessagesThatExpire queues, sends and expires messages of blocked output in any order. The unexpired messages wait in
// their order, and are counted right.
func TestParkedMessagesThatExpire(t *testing.T) {
	b, err := New(Options{Shards: 1, Limits: Limits{MaxParkedMessages: 300}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	s := b.shards[0]
	h := blockedHarness{c: &conn{b: b, shard: s, state: stateOpen, output: outputState{blocked: &blockedOutput{shard: s}}}}
	h.c.session = s.newSession("c", "")
	for i := range 20 {
		s.topics.of(fmt.Sprint("ticker/", i)).policy = Conflate
	}
	r := rand.New(rand.NewPCG(5, 6))
	for step := range 50_000 {
		switch n := r.IntN(100); {
		case n < 60:
			h.park(r)
		case n < 75 && len(h.want) > 0:
			h.c.output.blocked.pop()
			h.want = h.want[1:]
		case n < 99:
			s.now += r.Int64N(20)
			for h.c.reap(s) {
			}
			h.expire()
		case n == 99 && step%10 == 0:
			h.c.blockedSent()
			h.c.output.blocked, h.want = &blockedOutput{shard: s}, nil
		}
		h.check(t, step)
	}
	h.c.blockedSent()
	if s.wheel.Len() != 0 {
		t.Error("the timer of a connection without blocked output is armed")
	}
}

func (h *blockedHarness) expire() {
	h.want = slices.DeleteFunc(h.want, func(m *message) bool { return m.expired(h.c.shard.now) })
}

func (h *blockedHarness) park(r *rand.Rand) {
	m := &message{topic: fmt.Sprint("event/", r.IntN(50))}
	m.own = m
	if r.IntN(2) == 0 {
		m.topic = fmt.Sprint("ticker/", r.IntN(20))
	}
	if r.IntN(4) > 0 {
		m.expires = h.c.shard.now + 1 + r.Int64N(3000)
	}
	h.c.queueBlocked(&delivery{m: m})
	if i := slices.IndexFunc(h.want, func(w *message) bool { return w.topic == m.topic }); i >= 0 && m.topic[0] == 't' {
		h.want[i] = m
		return
	}
	if len(h.want) == h.c.shard.b.limits.MaxParkedMessages {
		h.want = h.want[1:]
	}
	h.want = append(h.want, m)
}

func (h *blockedHarness) check(t *testing.T, step int) {
	t.Helper()
	p, bytes := h.c.output.blocked, 0
	var got []*message
	for _, d := range p.items[min(p.head, len(p.items)):] {
		if d.m != nil {
			got = append(got, d.m)
			bytes += d.m.size()
		}
	}
	if !slices.Equal(got, h.want) || p.count != len(got) || p.bytes != bytes {
		t.Fatalf("step %d: %d messages wait, counted are %d and %d bytes; want %d", step, len(got), p.count, p.bytes, len(h.want))
	}
	if e := p.expiring; e != nil && (len(e.heap) > e.most || len(p.items) > 2*h.c.shard.b.limits.MaxParkedMessages+200) {
		t.Fatalf("step %d: %d deadlines and %d places for %d messages", step, len(e.heap), len(p.items), p.count)
	}
}

// expiryHarness is a session beside a list of what its queue must hold.
type expiryHarness struct {
	ss   *session
	want []*message
}

// TestQueueOfMessagesThatExpire does all operations of a session on its queue, in any order. The queue holds the unexpired
// messages in their order and counts them right. The number of stale deadlines stays bounded.
func TestQueueOfMessagesThatExpire(t *testing.T) {
	b, err := New(Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	s := b.shards[0]
	h := expiryHarness{ss: s.newSession("c", "")}
	r := rand.New(rand.NewPCG(3, 4))
	for step := range 50_000 {
		switch n := r.IntN(100); {
		case n < 50:
			h.push(r)
		case n < 70:
			h.pop()
		case n < 80:
			h.popLast()
		case n < 99:
			s.now += r.Int64N(30)
			h.expire()
		default:
			h.filter(r.IntN(2))
		}
		h.check(t, step)
	}
	for len(h.want) > 0 {
		h.pop()
	}
	h.ss.trim()
	if h.ss.queue.expiring != nil || h.ss.queue.items != nil || s.wheel.Len() != 0 {
		t.Error("an empty queue keeps something")
	}
}

func (h *expiryHarness) push(r *rand.Rand) {
	m := &message{topic: fmt.Sprint(r.IntN(1000))}
	m.own = m
	if r.IntN(4) > 0 {
		m.expires = h.ss.shard.now + r.Int64N(3000)
	}
	h.ss.queue.push(h.ss, delivery{m: m})
	h.want = append(h.want, m)
}

func (h *expiryHarness) pop() {
	if len(h.want) == 0 {
		return
	}
	h.ss.queue.pop(h.ss)
	h.want = h.want[1:]
}

func (h *expiryHarness) popLast() {
	if n := len(h.want); n > 0 {
		h.ss.queue.popLast(h.ss)
		h.want = h.want[:n-1]
	}
}

func (h *expiryHarness) expire() {
	for h.ss.reap(h.ss.shard) {
	}
	h.want = slices.DeleteFunc(h.want, func(m *message) bool { return m.expired(h.ss.shard.now) })
}

func (h *expiryHarness) filter(keep int) {
	ok := func(m *message) bool { return len(m.topic)%2 == keep }
	h.ss.queue.filter(h.ss, func(d *delivery) bool { return ok(d.m) }, func(*delivery) {})
	h.want = slices.DeleteFunc(h.want, func(m *message) bool { return !ok(m) })
}

func (h *expiryHarness) check(t *testing.T, step int) {
	t.Helper()
	q, bytes := &h.ss.queue, 0
	var got []*message
	for _, d := range q.items[q.head:] {
		if d.m != nil {
			got = append(got, d.m)
			bytes += d.m.size()
		}
	}
	h.ss.shard.enterWaiting()
	if !slices.Equal(got, h.want) || q.len() != len(h.want) || q.bytes != bytes || int(h.ss.shard.b.account.messages.Load()) != len(got) {
		t.Fatalf("step %d: the queue has %d messages, counts %d and %d bytes; want %d", step, len(got), q.len(), q.bytes, len(h.want))
	}
	if e := q.expiring; e != nil && (len(e.heap) > e.most || e.holes > minExpiries+q.len()) {
		t.Fatalf("step %d: %d deadlines and %d holes for %d messages", step, len(e.heap), e.holes, q.len())
	}
	if e := q.expiring; e != nil && len(e.heap) > 0 && !e.timer.Armed() && !e.heap.isDue(h.ss.shard.now) {
		t.Fatalf("step %d: nothing waits for the next deadline", step)
	}
}

// aMillion is how many messages expire in the benchmarks.
const aMillion = 1_000_000

// heapInUse is what is in use after a collection.
func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkExpiryRetained retains a million messages, and drops them when they expire: what a message takes with and
// without an expiry, what it takes to drop one, and the longest time for which one batch holds up who retains.
func BenchmarkExpiryRetained(b *testing.B) {
	topics := make([]string, aMillion)
	for i := range topics {
		topics[i] = fmt.Sprint("device/", i, "/state")
	}
	for _, expires := range []bool{false, true} {
		b.Run(fmt.Sprint("expires ", expires), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				br, err := New(Options{Shards: 1})
				if err != nil {
					b.Fatal(err)
				}
				r, s := &br.retained, br.shards[0]
				before := heapInUse()
				began := time.Now()
				for i, name := range topics {
					m := message{topic: name, payload: []byte("payload"), qos: 1, retain: true}
					if expires {
						m.expires = int64(time.Hour) + int64(i*7919%aMillion)
					}
					if !r.set(m.ownCopy(), &br.limits, s.now) {
						b.Fatal("not retained")
					}
				}
				b.ReportMetric(float64(time.Since(began).Nanoseconds())/aMillion, "ns/retained")
				b.ReportMetric(float64(heapInUse()-before)/aMillion, "B/message")
				b.StartTimer()
				longest := time.Duration(0)
				s.now = int64(2 * time.Hour)
				for more := true; more; {
					batch := time.Now()
					more = r.reap(s)
					longest = max(longest, time.Since(batch))
				}
				b.StopTimer()
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/aMillion/float64(max(b.N, 1)), "ns/expired")
				b.ReportMetric(float64(longest.Microseconds()), "µs/longest")
				if left := r.count.Load(); left != 0 == expires {
					b.Errorf("%d left", left)
				}
				_ = br.Shutdown(b.Context())
				b.StartTimer()
			}
		})
	}
}

// BenchmarkExpiryQueued has a million messages wait in a hundred sessions, and drops them when they expire.
func BenchmarkExpiryQueued(b *testing.B) {
	const sessions = 100
	for _, expires := range []bool{false, true} {
		b.Run(fmt.Sprint("expires ", expires), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				br, err := New(Options{Shards: 1})
				if err != nil {
					b.Fatal(err)
				}
				s := br.shards[0]
				all := make([]*session, sessions)
				for i := range all {
					all[i] = s.newSession(fmt.Sprint(i), "")
				}
				before := heapInUse()
				began := time.Now()
				for i := range aMillion {
					m := message{topic: "topic", payload: []byte("payload"), qos: 1}
					if expires {
						m.expires = int64(time.Hour) + int64(i*7919%aMillion)
					}
					ss := all[i%sessions]
					ss.queue.push(ss, delivery{m: m.ownCopy(), qos: 1})
				}
				b.ReportMetric(float64(time.Since(began).Nanoseconds())/aMillion, "ns/queued")
				b.ReportMetric(float64(heapInUse()-before)/aMillion, "B/message")
				b.StartTimer()
				s.now = int64(2 * time.Hour)
				for _, ss := range all {
					for ss.reap(s) {
					}
				}
				b.StopTimer()
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/aMillion/float64(max(b.N, 1)), "ns/expired")
				s.enterWaiting()
				if left := br.account.messages.Load(); left != 0 == expires {
					b.Errorf("%d left", left)
				}
				_ = br.Shutdown(b.Context())
				b.StartTimer()
			}
		})
	}
}
