package broker_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/guard"
)

// limited allows everything, up to a QoS, and retains nothing below "plain".
type limited struct{ maxQoS atomic.Uint32 }

func limitedTo(qos uint32) *limited {
	l := new(limited)
	l.maxQoS.Store(qos)
	return l
}

func (l *limited) Authorize(*broker.Client, broker.Action, string) bool { return true }

func (l *limited) Grant(_ *broker.Client, _ broker.Action, topic string) broker.Grant {
	return broker.Grant{Allowed: true, MaxQoS: byte(l.maxQoS.Load()), Retain: !strings.HasPrefix(topic, "plain")}
}

func TestGrantLimitsPublishing(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{limitedTo(1)}})
	for _, version := range []byte{raw.V5, raw.V311} {
		c := s.connect(raw.Connect{Version: version, ID: "c", Clean: true})
		refused := s.Stats().Dropped["not_authorized"]
		for _, m := range []struct {
			raw.Publish
			code byte // in MQTT 5
		}{
			{raw.Publish{Topic: "t", QoS: 1}, 0x10},
			{raw.Publish{Topic: "t", QoS: 2}, 0x87},
			{raw.Publish{Topic: "plain/t", QoS: 1}, 0x10},
			{raw.Publish{Topic: "plain/t", QoS: 1, Retain: true}, 0x87},
			{raw.Publish{Topic: "t", QoS: 1}, 0x10}, // what was said of one message is not remembered for another
		} {
			want := m.code
			if version != raw.V5 {
				want = 0 // it cannot be told
			}
			if got := c.Publish(m.Publish); got != want {
				t.Errorf("version %d, %q QoS %d, retain %v: 0x%02X, want 0x%02X", version, m.Topic, m.QoS, m.Retain, got, want)
			}
		}
		if got := s.Stats().Dropped["not_authorized"] - refused; got != 2 {
			t.Errorf("version %d: %d messages were refused, want 2", version, got)
		}
		bye(c)
	}
	if n := s.Stats().Retained; n != 0 {
		t.Errorf("%d messages are retained", n)
	}
}

func TestGrantLimitsWills(t *testing.T) {
	t.Parallel()
	l := limitedTo(1)
	s := start(t, broker.Options{Hooks: []any{l}})
	watch := s.connect(raw.Connect{Version: raw.V5, ID: "watch", Clean: true})
	watch.Subscribe(1, "#")
	k := raw.Connect{Version: raw.V5, ID: "c", Clean: true, Will: &raw.Will{Topic: "t", Payload: "gone", QoS: 2}}
	p := s.dial(raw.V5)
	p.SendConnect(k)
	p.ExpectRefused(0x87)
	k.Will = &raw.Will{Topic: "plain/t", Retain: true}
	p = s.dial(raw.V5)
	p.SendConnect(k)
	p.ExpectRefused(0x87)

	k.Will = &raw.Will{Topic: "t", Payload: "gone", QoS: 1}
	c := s.connect(k)
	l.maxQoS.Store(0)
	s.RulesChanged()
	c.Close()
	s.eventually("the client is gone", func(st broker.Stats) bool { return st.Sessions == 1 })
	watch.ExpectNothing()
}

func TestGrantLowersSubscriptions(t *testing.T) {
	t.Parallel()
	l := limitedTo(1)
	s := start(t, broker.Options{Hooks: []any{l}})
	c := s.connect(raw.Connect{Version: raw.V311, ID: "c", Clean: true})
	if got := c.Subscribe(2, "a", "b"); !slices.Equal(got, []byte{1, 1}) {
		t.Errorf("SUBACK % X, want QoS 1 twice", got)
	}
	hears := func(want byte) {
		t.Helper()
		if err := s.Publish(broker.Message{Topic: "a", Payload: []byte("x"), QoS: 2}); err != nil {
			t.Fatal(err)
		}
		got := c.ExpectPublish("a", "x")
		if got.QoS != want {
			t.Errorf("a message came with QoS %d, want %d", got.QoS, want)
		}
		if got.QoS == 1 {
			c.Send(raw.Ack(raw.PUBACK, got.ID))
		}
	}
	hears(1)
	l.maxQoS.Store(0)
	s.RulesChanged()
	hears(0)
}

// All authorizers must agree, with their limits or without.
func TestGrantsOfSeveralAuthorizers(t *testing.T) {
	t.Parallel()
	some := new(list)
	some.set("publish t", "subscribe t")
	s := start(t, broker.Options{Hooks: []any{limitedTo(2), some, limitedTo(1)}})
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	if got := c.Subscribe(2, "t", "other"); !slices.Equal(got, []byte{1, 0x87}) {
		t.Errorf("SUBACK % X", got)
	}
	if code := c.Publish(raw.Publish{Topic: "t", QoS: 2}); code != 0x87 {
		t.Errorf("PUBREC 0x%02X", code)
	}
}

// doorman knows one client identifier that is not welcome.
type doorman struct{ unwanted atomic.Pointer[string] }

func (d *doorman) Admit(c *broker.Client) *broker.Refusal {
	if id := d.unwanted.Load(); id != nil && c.ID == *id && !c.Assigned {
		return &broker.Refusal{Code: broker.CodeClientIDNotValid, Reason: "not with this client identifier", Label: "client_id"}
	}
	return nil
}

func TestAdmitter(t *testing.T) {
	t.Parallel()
	d := new(doorman)
	d.unwanted.Store(ptr("bad"))
	s := start(t, broker.Options{Hooks: []any{d}})
	for version, want := range map[byte]byte{raw.V5: 0x85, raw.V311: 2} {
		p := s.dial(version)
		p.SendConnect(raw.Connect{Version: version, ID: "bad", Clean: true})
		p.ExpectRefused(want)
		s.connect(raw.Connect{Version: version, Clean: true})
	}
	good := s.connect(raw.Connect{Version: raw.V5, ID: "good", Clean: true})
	old := s.connect(raw.Connect{Version: raw.V311, ID: "old", Clean: true})
	s.RulesChanged()
	good.ExpectNothing()
	d.unwanted.Store(ptr("good"))
	s.RulesChanged()
	if got := good.Expect(raw.DISCONNECT); got.Code != 0x87 {
		t.Errorf("%v, want code 0x87", got)
	}
	good.ExpectClosed()
	old.ExpectNothing()
	if got := s.Stats().Auth; got["client_id"] != 2 || got["ok"] != 4 {
		t.Errorf("counted %v, want 2 refused for their client_id and 4 let in", got)
	}
}

// Each client that is refused is counted once, for what refused it.
func TestRefusalsOfTheBrokerAreCounted(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{keeper{}}, Limits: broker.Limits{Guard: guard.Options{MaxPerUser: 1}}})
	s.connect(login("device", "ann", "open"))
	for _, tt := range []struct {
		label, id, user string
		code            byte
	}{
		{"client_id_of_another", "device", "bob", 0x85},
		{"user_connections", "other", "ann", 0x97},
	} {
		p := s.dial(raw.V5)
		p.SendConnect(login(tt.id, tt.user, "open"))
		p.ExpectRefused(tt.code)
		if got := s.Stats().Auth; got[tt.label] != 1 || got["ok"] != 1 {
			t.Errorf("counted %v, want 1 as %q and 1 let in", got, tt.label)
		}
	}
}

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
			logged(t, log, "the anonymous client's session ended", "client=device", "user=ann")
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
