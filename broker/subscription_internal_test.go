package broker

import (
	"fmt"
	"testing"
)

// TestWorkOfAMessage compares the work of a message to many short subscriber lists with the number of its subscriptions, as they begin
// and end, on the shard of the subscribers and on another.
func TestWorkOfAMessage(t *testing.T) {
	b, err := New(Options{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	s := b.shards[0]
	filters := []string{"a/a/a", "+/a/a", "a/+/a", "a/a/+", "+/+/a", "a/+/+", "+/a/+", "+/+/+", "a/#", "+/#"}
	check := func(sessions int) {
		t.Helper()
		n := int64(sessions * len(filters))
		for _, each := range b.shards {
			r := each.topics.of("a/a/a")
			r.interest(each)
			if r.work < n/3 || r.work > 2*n {
				t.Errorf("%d subscriptions count as %d units on shard %d", n, r.work, each.index)
			}
		}
	}
	const most = 70
	var all []*session
	for i := range most {
		ss := s.newSession(fmt.Sprint(i), "")
		for _, f := range filters {
			sub := &subscription{session: ss}
			s.subscribe(sub, subscriptionKey{filter: f}, 0)
			ss.subs.add(sub)
		}
		all = append(all, ss)
		check(i + 1)
	}
	for i, ss := range all {
		ss.subs.each(s.unsubscribe)
		ss.subs = subscriptions{}
		check(most - i - 1)
	}
}

// TestGroupsOfAStep publishes a message to many groups without online members: a step drops it for groupsAtOnce of them.
func TestGroupsOfAStep(t *testing.T) {
	b, err := New(Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	s := b.shards[0]
	const n = 3*groupsAtOnce + 1
	ss := s.newSession("c", "")
	for i := range n {
		k := subscriptionKey{fmt.Sprint(i), "t"}
		sub := &subscription{session: ss}
		s.subscribe(sub, k, 0)
		ss.subs.add(sub)
	}
	for range 2 {
		s.publish(&message{topic: "t"}, s.topics.of("t"), nil)
	}
	reached := func() int { return int(s.stats.dropped[dropNoMember]) }
	if got := reached(); got != 0 {
		t.Fatalf("two messages reached %d groups at once, want none", got)
	}
	s.b.router.version.Add(1) // the route is searched again
	s.topics.of("t").interest(s)
	for s.pressed() {
		before := reached()
		s.resumeDispatches(0)
		if got := reached() - before; got > groupsAtOnce || got == 0 {
			t.Fatalf("a step reached %d groups, at most %d", got, groupsAtOnce)
		}
	}
	if got := reached(); got != 2*n {
		t.Errorf("two messages reached %d groups, want %d", got, 2*n)
	}
}
