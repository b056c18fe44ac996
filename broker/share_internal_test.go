package broker

import (
	"fmt"
	"testing"
)

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
