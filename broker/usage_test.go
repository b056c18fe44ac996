package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// TestSessionsPerUser has a user make sessions up to the limit, most of them of clients that are away.
func TestSessionsPerUser(t *testing.T) {
	t.Parallel()
	list, store := new(bans), newMemoryStore()
	o := broker.Options{Hooks: []any{list}, Store: store, Limits: broker.Limits{MaxSessionsPerUser: 3, MaxSessions: 5}}
	s := start(t, o)
	for i := range 3 {
		bye(s.connect(clientOf("ann", fmt.Sprint("a", i), "t", -1)))
	}
	refused := func(version byte, want byte) {
		t.Helper()
		k := clientOf("ann", "another", "t", -1)
		if k.Version = version; version != raw.V5 {
			k.Props = nil
		}
		c := s.dial(version)
		c.SendConnect(k)
		c.ExpectRefused(want)
	}
	refused(raw.V5, 0x97)
	refused(raw.V311, 3)
	if st := s.Stats(); st.Limited["user_sessions"] != 2 || st.Auth["user_sessions"] != 2 || st.Users != 1 {
		t.Errorf("limited %v, answered %v, %d users", st.Limited, st.Auth, st.Users)
	}
	s.connect(clientOf("bob", "b", "t", -1))
	if got := s.dial(raw.V5).Connect(clientOf("ann", "a0", "t", -1)); !got.SessionPresent {
		t.Error("ann does not get her session back")
	}
	again := clientOf("ann", "a0", "t", -1)
	again.Clean = true // a takeover, and a new session in place of the old
	s.connect(again)
	refused(raw.V5, 0x97)
	s.Advance(2 * time.Hour)
	s.eventually("sessions of clients that are away have ended", func(st broker.Stats) bool { return st.Sessions == 2 })
	bye(s.connect(clientOf("ann", "another", "t", -1)))
	list.set("user ann")
	s.RulesChanged()
	s.eventually("ann's sessions have ended, and nothing is kept of her", func(st broker.Stats) bool { return st.Sessions == 1 && st.Users == 1 })
}

// TestSessionsInAll has users make all the sessions that there may be, and end them.
func TestSessionsInAll(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{new(bans)}, Limits: broker.Limits{MaxSessions: 4}})
	var all []*raw.Client
	for i := range 4 {
		all = append(all, s.connect(login(fmt.Sprint("c", i), fmt.Sprint("user", i), "t")))
	}
	c := s.dial(raw.V5)
	c.SendConnect(login("c4", "user4", "t"))
	c.ExpectRefused(0x97)
	if n := s.Stats().Limited["sessions"]; n != 1 {
		t.Errorf("%d limited by sessions, want 1", n)
	}
	for _, c := range all {
		bye(c)
	}
	s.eventually("no user is left", func(st broker.Stats) bool { return st.Users == 0 && st.Sessions == 0 })
	for i := range 3 { // three quarters for one user
		s.connect(login(fmt.Sprint("c", i), "user", "t"))
	}
	c = s.dial(raw.V5)
	c.SendConnect(login("c3", "user", "t"))
	c.ExpectRefused(0x97)
	s.connect(login("c3", "other", "t"))
	s.SetLimits(broker.Limits{MaxSessions: 10})
	s.connect(login("c4", "user", "t"))
}

// TestSessionsAboveTheLimitAreRestored has a store with more sessions and subscriptions than limits allow by now.
func TestSessionsAboveTheLimitAreRestored(t *testing.T) {
	t.Parallel()
	store := newMemoryStore()
	s := start(t, broker.Options{Hooks: []any{new(bans)}, Store: store})
	for i := range 4 {
		c := s.connect(clientOf("ann", fmt.Sprint("a", i), "t", -1))
		c.Subscribe(1, "x", "y")
		c.Close()
	}
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 4 })
	before := s.Stats()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = start(t, broker.Options{Hooks: []any{new(bans)}, Store: store, Limits: broker.Limits{MaxSessions: 2, MaxSubscriptionsTotal: 2}})
	st := s.Stats()
	if st.Sessions != 4 || st.Subscriptions != 8 || st.SubscriptionBytes != before.SubscriptionBytes || st.Users != 1 {
		t.Errorf("%d sessions, %d subscriptions of %d bytes, want those of before, %d bytes", st.Sessions, st.Subscriptions,
			st.SubscriptionBytes, before.SubscriptionBytes)
	}
	c := s.dial(raw.V5)
	if got := c.Connect(clientOf("ann", "a0", "t", -1)); !got.SessionPresent {
		t.Error("a session is lost")
	}
	if got := c.Subscribe(1, "x", "z"); got[0] != 1 || got[1] != 0x97 { // the one that it has stays
		t.Errorf("SUBACK % X", got)
	}
	other := s.dial(raw.V5)
	other.SendConnect(clientOf("ann", "another", "t", -1))
	other.ExpectRefused(0x97)
}

// TestSubscriptionsOfAUserAreBounded reaches each limit of subscriptions.
func TestSubscriptionsOfAUserAreBounded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		label  string
		limits broker.Limits
		bob    byte // what another user's SUBSCRIBE is answered then
	}{
		{"user_subscriptions", broker.Limits{MaxSubscriptionsPerUser: 3}, 0},
		{"user_subscriptions", broker.Limits{MaxSubscriptionBytesPerUser: 1000}, 0},
		{"subscriptions", broker.Limits{MaxSubscriptionsTotal: 3, MaxSubscriptionsPerUser: -1}, 0x97},
		{"subscriptions", broker.Limits{MaxSubscriptionBytesTotal: 1000, MaxSubscriptionBytesPerUser: -1}, 0x97},
		{"session_subscriptions", broker.Limits{MaxSubscriptionBytes: 1000}, 0},
	} {
		s := start(t, broker.Options{Hooks: []any{new(bans)}, Limits: tt.limits})
		ann, old := s.connect(login("a", "ann", "t")), login("a3", "ann", "t")
		for i := range 3 { // 252 bytes each
			if got := ann.Subscribe(0, fmt.Sprint(i)); got[0] != 0 {
				t.Fatalf("%+v: subscription %d: 0x%02X", tt.limits, i, got[0])
			}
		}
		if got := ann.Subscribe(0, "3"); got[0] != 0x97 {
			t.Errorf("%+v: 0x%02X, want 0x97", tt.limits, got[0])
		}
		if tt.label != "session_subscriptions" {
			old.Version = raw.V311
			if got := s.connect(old).Subscribe(0, "3"); got[0] != 0x80 {
				t.Errorf("%+v: 0x%02X in 3.1.1, want 0x80", tt.limits, got[0])
			}
		}
		if got := s.connect(login("b", "bob", "t")).Subscribe(0, "3"); got[0] != tt.bob {
			t.Errorf("%+v: another user gets 0x%02X, want 0x%02X", tt.limits, got[0], tt.bob)
		}
		if s.Stats().Limited[tt.label] == 0 {
			t.Errorf("%+v: not counted as %s: %v", tt.limits, tt.label, s.Stats().Limited)
		}
		ann.Send(raw.Unsubscribe{ID: 9, Filters: []string{"0"}}.Bytes(raw.V5))
		ann.Expect(raw.UNSUBACK)
		if got := ann.Subscribe(0, "3"); got[0] != 0 {
			t.Errorf("%+v: 0x%02X once there is room", tt.limits, got[0])
		}
	}
}

// TestSubscriptionsCountWhatTheyTake holds what subscriptions count for against the heap: they never take more. What they count
// for goes with them.
func TestSubscriptionsCountWhatTheyTake(t *testing.T) {
	long, deep := strings.Repeat("x", 4000), strings.Repeat("a/", 120)
	for name, filter := range map[string]func(i int) string{
		"short": func(i int) string { return fmt.Sprint(i) },
		"usual": func(i int) string { return fmt.Sprintf("plant/%05d/room/%03d", i%100, i) },
		"long":  func(i int) string { return fmt.Sprint(long, i) },
		"deep":  func(i int) string { return fmt.Sprint(i, "/", deep) },
		"share": func(i int) string { return fmt.Sprint("$share/g/", i, "/+/x") },
	} {
		b := runBroker(t)
		n := 2000
		if len(filter(0)) > 100 {
			n = 300
		}
		c := newMemoryClients(t, b, 1, false)
		c.connect(1)
		c.subscribe(0, 1, func(_, i int) string { return filter(i) })
		before, counted := measureMemory(t), b.Stats().SubscriptionBytes
		for i := 1; i < n; i += 10 { // so that a packet is small
			c.subscribe(i, min(i+10, n), func(_, i int) string { return filter(i) })
		}
		heap, _ := measureMemory(t).since(before, n-1)
		each := float64(b.Stats().SubscriptionBytes-counted) / float64(n-1)
		t.Logf("%s: %.0f bytes of memory, counted as %.0f", name, heap, each)
		if heap > each {
			t.Errorf("%s: %.0f bytes of memory, counted as %.0f", name, heap, each)
		}
	}
}

// TestLevelsOfFiltersCount has a session subscribe to filters with wildcards in a hundred levels: the tree of filters has nodes for each.
func TestLevelsOfFiltersCount(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{MaxSubscriptionBytes: 20_000}})
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	for i := range 10 {
		want := byte(0)
		if i >= 2 { // two have 2 * (250 + 2*200 + 80*92) bytes
			want = 0x97
		}
		if got := c.Subscribe(0, fmt.Sprint(i, strings.Repeat("/+", 99))); got[0] != want {
			t.Errorf("filter %d of 100 levels: 0x%02X, want 0x%02X", i, got[0], want)
		}
	}
	if got := c.Subscribe(0, "a/+/b/+/c/+/d/#"); got[0] != 0 {
		t.Errorf("a filter of few levels: 0x%02X", got[0])
	}
}

// TestMaxRatesOfReplacedSubscriptionsCount gives subscriptions a maximum rate. With it they count for more: the limits refuse it, and
// the subscriptions stay as they were.
func TestMaxRatesOfReplacedSubscriptionsCount(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{MaxSubscriptions: 3, MaxSubscriptionsPerUser: 3, MaxSubscriptionBytes: 2000}})
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	c.Subscribe(1, "a", "b", "c")                                                    // 252 bytes each
	if got := subscribeAt(c, "1", 1, "a", "b", "c"); string(got) != "\x00\x97\x97" { // 1000 bytes more
		t.Errorf("% X, want 00 97 97", got)
	}
	if st := s.Stats(); st.SubscriptionBytes != 3*252+1000 || st.Limited["session_subscriptions"] != 2 {
		t.Errorf("%d bytes; limited %v", st.SubscriptionBytes, st.Limited)
	}
	if err := s.Publish(broker.Message{Topic: "b", Payload: []byte("x"), QoS: 1}); err != nil {
		t.Fatal(err)
	}
	if got := c.ExpectPublish("b", "x"); got.QoS != 1 {
		t.Errorf("QoS %d, want 1", got.QoS)
	}
}

// TestLongWillsCount has clients of one user come with long wills until these take the memory of the user's share. A client comes
// back with its will all the same, and short wills do not count. In the end nothing is left of them in the account.
func TestLongWillsCount(t *testing.T) {
	t.Parallel()
	const size = 60_000
	store := newMemoryStore()
	o := broker.Options{Store: store, Limits: broker.Limits{Memory: 64 << 20}}
	s := start(t, o)
	will := func(i, size int) raw.Connect {
		return raw.Connect{Version: raw.V5, ID: fmt.Sprint(i), Props: raw.Props{raw.Num(raw.SessionExpiry, 1000)},
			Will: &raw.Will{Topic: "w", Payload: strings.Repeat("x", size), QoS: 1, Props: raw.Props{raw.Num(raw.WillDelay, 900)}}}
	}
	n := 0
	for ; ; n++ {
		c := s.dial(raw.V5)
		c.SendConnect(will(n, size))
		if c.Expect(raw.CONNACK).Code == 0x97 {
			break
		}
		c.Close()
		if n > 400 {
			t.Fatal("no limit")
		}
	}
	if most := 12 << 20 / (size - 1024); n > most+1 || n < most-10 {
		t.Errorf("%d long wills, want about %d", n, most)
	}
	if st := s.Stats(); st.Limited["user_subscriptions"] != 1 || st.Auth["wills"] != 1 {
		t.Errorf("limited %v, answered %v", st.Limited, st.Auth)
	}
	s.connect(will(n, 900)).Close()
	s.connect(will(0, size)).Close()
	s.eventually("all is stored", func(st broker.Stats) bool { return s.AllStored() && st.SessionsOffline == int64(n+1) })
	bytes := s.Stats().SubscriptionBytes
	s, _ = s.crash(store)
	if got := s.Stats().SubscriptionBytes; got != bytes {
		t.Errorf("%d bytes count after a restart, want %d", got, bytes)
	}
	s.Advance(1100 * time.Second)
	s.eventually("all have ended", func(st broker.Stats) bool { return st.Sessions == 0 && st.SubscriptionBytes == 0 })
}
