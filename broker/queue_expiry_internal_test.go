package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// expiryHarness is a session beside a list of what its queue must hold.
type expiryHarness struct {
	ss   *session
	want []*message
}

// TestQueueOfMessagesThatExpire does whatever a session does with its queue, in any order: the queue holds what has not
// expired, in order, and counts it right; what is noted of deadlines does not pile up.
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
