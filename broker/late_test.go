package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// lateWills connects clients with wills, whose subscribers take many steps to find, and a listener for those wills.
func lateWills(t *testing.T, o broker.Options, n, expiry, delay int) (s *server, clients []*raw.Client, listener *raw.Client) {
	s = start(t, o)
	s.connect(raw.Connect{Version: raw.V5, ID: "others", Clean: true}).Subscribe(0, combinations("deep", 13)...)
	listener = s.connect(raw.Connect{Version: raw.V5, ID: "listener", Clean: true})
	listener.Subscribe(1, "deep/#")
	for i := range n {
		k := willTo(lateTopic(i), s.idOn(i%2, fmt.Sprint("w", i)), 1, expiry)
		if delay > 0 {
			k.Will.Props = raw.Props{raw.Num(raw.WillDelay, delay)}
		}
		clients = append(clients, s.connect(k))
	}
	return s, clients, listener
}

func lateTopic(i int) string { return "deep" + strings.Repeat("/a", 12) + "/" + fmt.Sprint(i) }

// expectWills waits for a will of each of n clients, and that none comes twice.
func expectWills(t *testing.T, listener *raw.Client, n int) {
	t.Helper()
	got := map[string]bool{}
	for range n {
		p := listener.Expect(raw.PUBLISH)
		if got[p.Topic] || p.Payload != "gone" {
			t.Fatalf("got %v", p)
		}
		got[p.Topic] = true
		listener.Send(raw.Ack(raw.PUBACK, p.ID))
	}
	listener.ExpectNothing()
}

// TestWillsThatTakeLongToSearch has many clients go at once: of sessions that end, that stand, with a delay, and with a store that
// has to forget the sessions that ended.
func TestWillsThatTakeLongToSearch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		store         bool
		expiry, delay int
	}{
		{"sessions end", false, 0, 0},
		{"sessions stand", false, 3600, 0},
		{"stored sessions stand", true, 3600, 0},
		{"stored sessions end before the delay", true, 1, 5},
		{"stored sessions stand, delay", true, 3600, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const n = 20
			o, store := broker.Options{}, newMemoryStore()
			if tt.store {
				o.Store = store
			}
			s, clients, listener := lateWills(t, o, n, tt.expiry, tt.delay)
			for _, c := range clients {
				c.Close()
			}
			if tt.delay > 0 {
				s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == n })
				s.Advance(10 * time.Second)
			}
			expectWills(t, listener, n)
			want := int64(2)
			if tt.expiry > 1 {
				want += n
			}
			s.eventually("sessions that ended have gone", func(st broker.Stats) bool { return st.Sessions == want })
			if !tt.store {
				return
			}
			if err := s.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			s = start(t, o)
			if got := s.Stats().Sessions; got != want-2 {
				t.Errorf("%d sessions after a restart, want %d", got, want-2)
			}
			again := s.connect(raw.Connect{Version: raw.V5, ID: "again", Clean: true})
			again.Subscribe(1, "deep/#")
			s.Advance(time.Minute)
			again.ExpectNothing() // no will is published twice
		})
	}
}

// TestLateWillOfAClientThatReturns has clients come back at once: their wills were due and are published all the same.
func TestLateWillOfAClientThatReturns(t *testing.T) {
	t.Parallel()
	const n = 20
	s, clients, listener := lateWills(t, broker.Options{}, n, 3600, 0)
	for i, c := range clients {
		c.Close()
		back := s.dial(raw.V5)
		back.Connect(raw.Connect{Version: raw.V5, ID: s.idOn(i%2, fmt.Sprint("w", i)), Clean: i%3 == 0})
	}
	expectWills(t, listener, n)
}

// TestLateWillsAtAStop stops a broker while it searches for the subscribers of wills.
func TestLateWillsAtAStop(t *testing.T) {
	t.Parallel()
	const n = 40
	var o broker.Options
	broker.SetLastWords(&o, time.Minute)
	s, clients, listener := lateWills(t, o, n, 0, 0)
	for _, c := range clients[:n/2] {
		c.Close()
	}
	done := make(chan error)
	go func() { done <- s.Shutdown(t.Context()) }()
	got := 0
	for {
		p, err := listener.Read()
		if err != nil || p.Type != raw.PUBLISH {
			break
		}
		got++
	}
	if err := <-done; err != nil || got != n {
		t.Errorf("%v; %d wills, want %d", err, got, n)
	}
}

// TestLateWillOfADroppedSession drops sessions whose wills are due.
func TestLateWillOfADroppedSession(t *testing.T) {
	t.Parallel()
	const n = 20
	o := broker.Options{Store: newMemoryStore()}
	s, clients, _ := lateWills(t, o, n, 3600, 0)
	for i, c := range clients {
		c.Close()
		if err := s.DropSession(t.Context(), s.idOn(i%2, fmt.Sprint("w", i))); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually("sessions have gone", func(st broker.Stats) bool { return st.Sessions == 2 })
}
