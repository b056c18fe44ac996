package broker

import (
	"fmt"
	"testing"
)

// TestMissedRemovalsTakeTurns has a client miss removals while nothing is retained: without time left in the turn they wait for the next.
func TestMissedRemovalsTakeTurns(t *testing.T) {
	b, err := New(Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	s := b.shards[0]
	ss := s.newSession("c", "")
	ss.conn = &conn{b: b, shard: s, state: stateOpen, session: ss, output: outputState{blocked: &blockedOutput{shard: s}}}
	defer func() { ss.conn = nil }()
	const n = 100
	for i := range n {
		ss.miss(&delivery{m: &message{topic: fmt.Sprint("t/", i), retain: true}})
	}
	ss.conn.output.blocked = nil
	s.replayer.spent = int64(findTime)
	s.proceed(ss)
	if !ss.misses() || len(ss.losses.missed.topics) != n || !s.pressed() {
		t.Fatal("removals were sent without time for them")
	}
	for ss.misses() && s.pressed() {
		s.resumeReplays()
	}
	if ss.misses() || ss.replay != nil || s.pressed() {
		t.Error("removals wait with time for them")
	}
}
