package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/topic"
)

// TestNoticesLookUpTheirFilters has a client with many subscriptions, none of them to $me topics: a notice makes no payload and does not
// walk over them.
func TestNoticesLookUpTheirFilters(t *testing.T) {
	b, err := New(Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
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
	b, err := New(Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	s := b.shards[0]
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
