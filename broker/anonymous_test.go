package broker_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// nobody admits clients without credentials, with an empty user name.
type nobody struct{}

func (nobody) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	if c.Password != nil {
		return nil, broker.ErrNotConcerned
	}
	return &broker.Identity{Method: "anonymous"}, nil
}

// Authentication is turned on where clients were anonymous before, with sessions that are still there.
func TestUsersTakeOverWhatWasAnonymous(t *testing.T) {
	t.Parallel()
	for _, clean := range []bool{true, false} {
		t.Run(map[bool]string{true: "clean start", false: "resuming"}[clean], func(t *testing.T) {
			t.Parallel()
			store, log := newMemoryStore(), &journal{}
			s := start(t, broker.Options{Store: store})
			c := s.connect(v5Durable("device"))
			c.Subscribe(1, "old")
			c.Close()
			s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })

			s = start(t, broker.Options{Store: store.copied(), Hooks: []any{keeper{}}, Logger: slog.New(slog.NewTextHandler(log, nil))})
			of := func(user string) raw.Connect {
				k := login("device", user, "open")
				k.Clean, k.Props = clean, raw.Props{raw.Num(raw.SessionExpiry, 1000)}
				return k
			}
			refused := s.dial(raw.V5)
			refused.SendConnect(of("ann"))
			if got := refused.Expect(raw.CONNACK); got.Code != 0x85 {
				t.Fatalf("%v, want 0x85", got)
			}
			logged(t, log, "client refused", "client=device", "user=ann", "auth.anonymous_sessions")

			s.SetTakeOverAnonymous(true)
			ann := s.dial(raw.V5)
			if got := ann.Connect(of("ann")); got.SessionPresent {
				t.Error("ann got the session of another")
			}
			logged(t, log, "session of an anonymous client ended", "client=device", "user=ann")
			if st := s.Stats(); st.Sessions != 1 || st.SessionsOffline != 0 || st.Subscriptions != 0 {
				t.Errorf("%d sessions, %d offline, %d subscriptions", st.Sessions, st.SessionsOffline, st.Subscriptions)
			}
			ann.Subscribe(1, "new")
			ann.Close()
			s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
			thief := s.dial(raw.V5)
			thief.SendConnect(of("bob"))
			if got := thief.Expect(raw.CONNACK); got.Code != 0x85 {
				t.Errorf("bob: %v, want 0x85", got)
			}
			k := of("ann")
			k.Clean = false
			if got := s.dial(raw.V5).Connect(k); !got.SessionPresent {
				t.Error("the session is not ann's from then on")
			}
		})
	}
}

// A client that is there is told that another has its identifier, and one without a name takes nothing over.
func TestUserTakesOverALiveAnonymousClient(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{keeper{}, nobody{}}, TakeOverAnonymous: true})
	stranger := s.connect(raw.Connect{Version: raw.V5, ID: "device", Clean: true})
	ann := s.connect(login("device", "ann", "open"))
	if got := stranger.Expect(raw.DISCONNECT); got.Code != 0x8E {
		t.Errorf("%v, want 0x8E", got)
	}
	back := s.dial(raw.V5)
	back.SendConnect(raw.Connect{Version: raw.V5, ID: "device", Clean: true})
	if got := back.Expect(raw.CONNACK); got.Code != 0x85 {
		t.Errorf("%v, want 0x85", got)
	}
	ann.ExpectNothing()
}
