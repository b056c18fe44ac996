package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// oneShard returns a broker with one shard, which does not run.
func oneShard(t *testing.T) *Broker {
	t.Helper()
	b, err := New(Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Shutdown(context.Background()) })
	return b
}

// TestCostlyMessagesComeLast has a connection publish to many subscribers: its message waits for the events of other connections.
func TestCostlyMessagesComeLast(t *testing.T) {
	b := oneShard(t)
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

// TestNoticesLookUpTheirFilters has a client with many subscriptions, none of them to $me topics: a notice makes no payload and does not
// walk over them.
func TestNoticesLookUpTheirFilters(t *testing.T) {
	b := oneShard(t)
	s := b.shards[0]
	ss := s.newSession("c", "")
	for i := range 10_000 {
		ss.subs.add(&subscription{session: ss, list: &subscriberList{filter: fmt.Sprint("a/", i)}})
	}
	c := &conn{b: b, shard: s, state: stateOpen, session: ss}
	c.identity.client, ss.conn = &Client{Identity: &Identity{}}, c
	defer func() { ss.conn = nil }()
	began := time.Now()
	if n := testing.AllocsPerRun(2000, func() { c.tellToken("refused", "busy") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if took := time.Since(began); took > 50*time.Millisecond {
		t.Errorf("2000 notices took %v", took)
	}
}

// TestOwnFilters compares the looked-up filters with all private ones that match.
func TestOwnFilters(t *testing.T) {
	levels := []string{"$me", "token", "dropped", "+", "#", ""}
	var matching []string
	for _, a := range levels {
		for _, b := range append(levels, "-") {
			for _, c := range append(levels, "-") {
				f, _, _ := strings.Cut("$me/"+a+"/"+b+"/"+c, "/-")
				if topic.CheckFilter(f) == nil && topic.Match(f, tokenTopic) {
					matching = append(matching, f)
				}
			}
		}
	}
	slices.Sort(matching)
	looked := ownFilters(tokenTopic)
	slices.Sort(looked[:])
	if matching = slices.Compact(matching); !slices.Equal(matching, looked[:]) {
		t.Errorf("looked up %q, want %q", looked, matching)
	}
}

// TestNoticesTakeTurns lists more clients for a notice than a turn has time for.
func TestNoticesTakeTurns(t *testing.T) {
	s := oneShard(t).shards[0]
	for i := range 3 {
		s.newSession(fmt.Sprint(i), "").lost(dropTooLarge)
	}
	s.Expire(&s.notices.timer)
	for left := 3; left > 0; left-- {
		if len(s.notices.due) != left || !s.pressed() {
			t.Fatalf("%d clients are to be told, want %d", len(s.notices.due), left)
		}
		s.resumeNotices(0)
	}
	if s.pressed() {
		t.Error("the shard has work without a client to tell")
	}
}

// TestMissedRemovalsTakeTurns has a client miss removals while nothing is retained: without time left in the turn they wait for the next.
func TestMissedRemovalsTakeTurns(t *testing.T) {
	b := oneShard(t)
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

// TestPacedMessagesTakeTurns has more messages due at the same moment than a turn has time for.
func TestPacedMessagesTakeTurns(t *testing.T) {
	s := oneShard(t).shards[0]
	ss := s.newSession("c", "")
	sub := &subscription{session: ss}
	s.subscribe(sub, subscriptionKey{filter: "t/+"}, int64(time.Second))
	ss.subs.add(sub)
	const n = 3
	for i := range 2 * n {
		topic := fmt.Sprint("t/", i%n)
		s.publish(&message{topic: topic}, s.topics.of(topic), nil)
	}
	sent := func() int { return int(s.stats.dropped[dropOffline]) } // the client is offline, so sent messages are dropped
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
