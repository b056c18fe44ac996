package broker

import (
	"testing"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

// TestCostlyMessagesComeLast has a connection publish to many subscribers: its message waits for the events of other connections.
func TestCostlyMessagesComeLast(t *testing.T) {
	b, err := New(Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	s := b.shards[0]
	ss := s.newSession("c", "")
	c := &conn{b: b, shard: s, state: stateOpen, session: ss, version: wire.V5}
	publish := func() error { return c.onPublish(0, []byte{0, 1, 't', 0, 'x'}) }
	sent := func() uint64 { return s.stats.dropped[dropOffline] }
	for range 2 * sliceWork {
		s.subscribe(&subscription{session: ss}, subscriptionKey{filter: "t"}, 0)
	}
	s.turns.budget.share(2)
	if err := publish(); err != errYield || sent() != 0 {
		t.Fatalf("a costly message beside another event: %v, sent to %d", err, sent())
	}
	s.turns.resuming = true
	if err := publish(); err != nil || sent() != 2*uint64(sliceWork) {
		t.Errorf("a costly message of a connection that has yielded: %v, sent to %d", err, sent())
	}
	s.turns.resuming = false
	s.turns.budget.share(1)
	if err := publish(); err != nil || sent() != 4*uint64(sliceWork) {
		t.Errorf("a costly message without another event: %v, sent to %d", err, sent())
	}
}
