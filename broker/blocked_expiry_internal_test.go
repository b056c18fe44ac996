package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// parkingHarness is a parked connection beside a list of what must wait for it.
type parkingHarness struct {
	c    *conn
	want []*message
}

// TestParkedMessagesThatExpire parks, sends and expires messages in any order: what waits is what has not expired, in order,
// and it is counted right.
func TestParkedMessagesThatExpire(t *testing.T) {
	b, err := New(Options{Shards: 1, Limits: Limits{MaxParkedMessages: 300}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	s := b.shards[0]
	h := parkingHarness{c: &conn{b: b, shard: s, state: stateOpen, output: outputState{blocked: &blockedOutput{shard: s}}}}
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
		t.Error("the timer of a connection that is not parked is armed")
	}
}

func (h *parkingHarness) expire() {
	h.want = slices.DeleteFunc(h.want, func(m *message) bool { return m.expired(h.c.shard.now) })
}

func (h *parkingHarness) park(r *rand.Rand) {
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

func (h *parkingHarness) check(t *testing.T, step int) {
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
