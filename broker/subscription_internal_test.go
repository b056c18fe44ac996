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
