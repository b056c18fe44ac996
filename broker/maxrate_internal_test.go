package broker

import (
	"fmt"
	"testing"
	"time"
)

// TestPacedMessagesTakeTurns has more messages due at the same moment than a turn has time for.
func TestPacedMessagesTakeTurns(t *testing.T) {
	b, err := New(Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	s := b.shards[0]
	ss := s.newSession("c", "")
	sub := &subscription{session: ss}
	s.subscribe(sub, subscriptionKey{filter: "t/+"}, int64(time.Second))
	ss.subs.add(sub)
	const n = 3
	for i := range 2 * n {
		topic := fmt.Sprint("t/", i%n)
		s.publish(&message{topic: topic}, s.topics.of(topic), nil)
	}
	sent := func() int { return int(s.stats.dropped[dropOffline]) } // what is sent is dropped, as the client is offline
	s.sendPaced(0)
	if sent() != n || s.pressed() {
		t.Fatalf("%d messages were sent before they were due, want the first of each topic", sent())
	}
	s.now += int64(2 * time.Second)
	for i := range n {
		if !s.pressed() {
			t.Fatal("the shard does not know of messages that are due")
		}
		s.sendPaced(0)
		if got := sent() - n; got != i+1 {
			t.Fatalf("%d messages were sent, want %d", got, i+1)
		}
	}
	if s.pressed() {
		t.Error("the shard has work with all messages sent")
	}
}
