package broker_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// lastWill is a kind of will, and what its client is doing when the broker stops.
type lastWill struct {
	qos           byte
	retain        bool
	delay, expiry int  // seconds
	offline       bool // its connection was lost before, and the delay goes on
}

// topic names the will, and its client.
func (w lastWill) topic() string {
	return fmt.Sprintf("will/QoS %d, retain %t, delay %d, expiry %d, offline %t", w.qos, w.retain, w.delay, w.expiry, w.offline)
}

func (w lastWill) connect() raw.Connect {
	return raw.Connect{Version: raw.V5, ID: w.topic(), Props: raw.Props{raw.Num(raw.SessionExpiry, w.expiry)}, Will: &raw.Will{
		Topic: w.topic(), Payload: "gone", QoS: w.qos, Retain: w.retain, Props: raw.Props{raw.Num(raw.WillDelay, w.delay)}}}
}

// lastWills is every kind of will that is not published yet when the broker stops.
func lastWills() (all []lastWill) {
	for _, qos := range []byte{0, 1, 2} {
		for _, retain := range []bool{false, true} {
			for _, delay := range []int{0, 60} {
				all = append(all, lastWill{qos, retain, delay, 0, false}, lastWill{qos, retain, delay, 3600, false})
			}
			all = append(all, lastWill{qos, retain, 60, 3600, true})
		}
	}
	return all
}

// topicsOf is the topics of those wills that are as they are asked for.
func topicsOf(all []lastWill, ok func(w lastWill) bool) (topics []string) {
	for _, w := range all {
		if ok(w) {
			topics = append(topics, w.topic())
		}
	}
	slices.Sort(topics)
	return topics
}

// connectAll connects a client of each will.
func (s *server) connectAll(all []lastWill) {
	s.t.Helper()
	offline := s.Stats().SessionsOffline
	for _, w := range all {
		c := s.connect(w.connect())
		if w.offline {
			c.Close()
			offline++
		}
	}
	s.eventually("those that go are offline", func(st broker.Stats) bool { return st.SessionsOffline == offline })
}

// heard is the topics of the messages that a client gets until the broker says that it stops.
func heard(t testing.TB, c *raw.Client) []string {
	t.Helper()
	topics := map[string]bool{}
	for {
		p, err := c.Read()
		switch {
		case err != nil:
			t.Fatal(err)
		case p.Type == raw.DISCONNECT && p.Code == 0x8B:
			return slices.Sorted(maps.Keys(topics))
		case p.Type != raw.PUBLISH || p.Payload != "gone" || topics[p.Topic]:
			t.Fatalf("got %v", p)
		}
		topics[p.Topic] = true
	}
}

// topicsFor is the topics of the next n messages.
func topicsFor(c *raw.Client, n int) (topics []string) {
	for _, p := range receive(c, n) {
		topics = append(topics, p.Topic)
	}
	slices.Sort(topics)
	return topics
}

// shutDown stops a broker whose client c reads to the end, and returns what that has heard.
func (s *server) shutDown(c *raw.Client) (topics []string) {
	s.t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(s.t.Context()) }()
	topics = heard(s.t, c)
	c.Close()
	if err := <-done; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		s.t.Error(err)
	}
	return topics
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%q\nwant\n%q", what, got, want)
	}
}

// TestWillsAtAnOrderlyStop has wills of every kind when the broker stops. Those of sessions that end with the broker are
// published on the way down, the others at the next start (MQTT 5 3.1.2.5).
func TestWillsAtAnOrderlyStop(t *testing.T) {
	t.Parallel()
	d := newStopped(t)
	s := start(t, d.options())
	kept := s.connect(v5Durable("kept"))
	kept.Subscribe(2, "will/#")
	kept.Disconnect()
	all := lastWills()
	s.connectAll(all)
	live := s.connect(raw.Connect{Version: raw.V5, ID: "live", Clean: true})
	live.Subscribe(2, "will/#")
	got := s.shutDown(live)
	mortal := func(w lastWill) bool { return w.expiry == 0 }
	same(t, "a client hears at the stop", got, topicsOf(all, mortal))

	d.gone.Store(int64(600 * time.Second)) // longer than any delay
	s = start(t, d.options())
	retained := topicsOf(all, func(w lastWill) bool { return w.retain && (mortal(w) || w.offline) })
	s.eventually("all that are due are published", func(st broker.Stats) bool {
		return int(st.Retained) == len(retained) && st.Dropped["offline"] == 2 // QoS 0 of those that were offline
	})
	want := topicsOf(all, func(w lastWill) bool { return (w.qos > 0 || w.retain) && (mortal(w) || w.offline) })
	kept = s.connect(v5Durable("kept"))
	same(t, "a stored session gets", topicsFor(kept, len(want)), want)
	kept.ExpectNothing()

	returning := lastWill{1, true, 0, 3600, false}
	s.connect(returning.connect()).Disconnect() // in time
	s.Advance(11 * time.Second)
	rest := func(w lastWill) bool { return !mortal(w) && !w.offline && w != returning }
	want = topicsOf(all, rest)
	same(t, "it gets after ten seconds", topicsFor(kept, len(want)), want)
	kept.ExpectNothing()
	s.eventually("all are retained", func(st broker.Stats) bool {
		return int(st.Retained) == len(topicsOf(all, func(w lastWill) bool { return w.retain && w != returning }))
	})
}

// TestWillsAtAStopWithoutAStore publishes all of them on the way down: no session outlives the process.
func TestWillsAtAStopWithoutAStore(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	all := lastWills()
	s.connectAll(all)
	live := s.connect(raw.Connect{Version: raw.V5, ID: "live", Clean: true})
	live.Subscribe(2, "will/#")
	same(t, "a client hears", s.shutDown(live), topicsOf(all, func(lastWill) bool { return true }))
}

// TestWillsAtAStopWithoutPatience closes all connections without a word: what is stored and retained has the wills all the
// same.
func TestWillsAtAStopWithoutPatience(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(s *server){
		"Shutdown has no time": func(s *server) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_ = s.Shutdown(ctx)
		},
		"the context of Run ends": func(s *server) { s.cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newStopped(t)
			s := start(t, d.options())
			kept := s.connect(v5Durable("kept"))
			kept.Subscribe(2, "will/#")
			kept.Disconnect()
			all := slices.DeleteFunc(lastWills(), func(w lastWill) bool { return w.expiry > 0 })
			s.connectAll(all)
			stop(s)
			if err := <-s.ended; err != nil {
				t.Error(err)
			}
			s.ended <- nil
			s = start(t, d.options())
			want := topicsOf(all, func(w lastWill) bool { return w.qos > 0 || w.retain })
			same(t, "a stored session gets", topicsFor(s.connect(v5Durable("kept")), len(want)), want)
			if n := len(topicsOf(all, func(w lastWill) bool { return w.retain })); int(s.Stats().Retained) != n {
				t.Errorf("%d are retained, want %d", s.Stats().Retained, n)
			}
		})
	}
}

// TestDisconnectBeforeTheStop has clients that say DISCONNECT just before the broker stops, read or not.
func TestDisconnectBeforeTheStop(t *testing.T) {
	t.Parallel()
	d := newStopped(t)
	s := start(t, d.options())
	var all []*raw.Client
	for i := range 20 {
		w := lastWill{qos: 1, retain: true, expiry: 3600 * (i % 2), delay: i}
		all = append(all, s.connect(w.connect()))
	}
	for _, c := range all {
		c.Send(raw.Plain(raw.DISCONNECT))
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	s = start(t, d.options())
	s.Advance(time.Minute)
	if n := s.Stats().Retained; n != 0 {
		t.Errorf("%d wills were published", n)
	}
}

// TestStopWithAStoreThatFails ends all the same.
func TestStopWithAStoreThatFails(t *testing.T) {
	t.Parallel()
	for name, break_ := range map[string]func(*memoryStore){
		"fails": func(store *memoryStore) { store.setFail(errDiskFull) },
		"stalls": func(store *memoryStore) {
			store.hold(storage.SpaceSessions, storage.SpaceMessages, storage.SpaceFlows, storage.SpaceRetained)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newMemoryStore()
			s := start(t, broker.Options{Store: store, Shards: 4})
			kept := s.connect(v5Durable("kept"))
			kept.Subscribe(2, "will/#")
			kept.Disconnect()
			s.connectAll(lastWills())
			break_(store)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_ = s.Shutdown(ctx)
			select {
			case err := <-s.ended:
				s.ended <- err
			case <-time.After(raw.Patience):
				t.Error("it does not end")
			}
			store.release()
		})
	}
}

// TestWillsAtAStopWithinATime has more wills than can be heard of in time. What is retained and stored has all of them.
func TestWillsAtAStopWithinATime(t *testing.T) {
	t.Parallel()
	d := newStopped(t)
	o := d.options()
	broker.SetLastWords(&o, time.Nanosecond)
	s := start(t, o)
	kept := s.connect(v5Durable("kept"))
	kept.Subscribe(1, "will/#")
	kept.Disconnect()
	for i := range 50 {
		w := lastWill{qos: 1, retain: true, delay: i}
		s.connect(w.connect())
	}
	live := s.connect(raw.Connect{Version: raw.V5, ID: "live", Clean: true})
	live.Subscribe(1, "will/#")
	if got := s.shutDown(live); len(got) != 0 {
		t.Errorf("a client hears of %d", len(got))
	}
	s = start(t, d.options())
	if n := len(receive(s.connect(v5Durable("kept")), 50)); n != 50 || s.Stats().Retained != 50 {
		t.Errorf("%d are stored, %d retained", n, s.Stats().Retained)
	}
}
