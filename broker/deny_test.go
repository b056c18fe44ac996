package broker_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// bans is an Authenticator that believes everybody, with the password as the id of the token, and a SessionAdmitter.
type bans struct {
	mu  sync.Mutex
	all []string // "user ann", "token t-1" or "client c"
}

func (b *bans) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	return &broker.Identity{User: c.Username, Claims: map[string]any{"jti": string(c.Password)}}, nil
}

func (b *bans) set(all ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = all
}

func (b *bans) refuse(values ...string) *broker.Refusal {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range values {
		if slices.Contains(b.all, v) {
			return &broker.Refusal{Code: broker.CodeNotAuthorized, Reason: "banned: " + v, Label: "banned"}
		}
	}
	return nil
}

func (b *bans) Admit(c *broker.Client) *broker.Refusal {
	return b.refuse("user "+c.Identity.User, "client "+c.ID, fmt.Sprint("token ", c.Identity.Claims["jti"]))
}

func (b *bans) AdmitSession(c *broker.Client) *broker.Refusal {
	return b.refuse("user "+c.Identity.User, "client "+c.ID)
}

// clientOf is a CONNECT of a user. It has a session that lasts, and a will unless delay is negative.
func clientOf(user, id, token string, delay int) raw.Connect {
	k := login(id, user, token)
	k.Clean, k.Props = false, raw.Props{raw.Num(raw.SessionExpiry, 3600)}
	if delay >= 0 {
		k.Will = &raw.Will{Topic: "wills/" + id, Payload: "gone", QoS: 1, Props: raw.Props{raw.Num(raw.WillDelay, delay)}}
	}
	return k
}

// TestWillOfTheDenied bans a user, a client identifier or a token at every moment before the will is published. Wills of others
// are published all the same.
func TestWillOfTheDenied(t *testing.T) {
	t.Parallel()
	for _, ban := range []string{"user ann", "client a", "token t-1"} {
		for _, w := range []struct {
			when    string
			delay   int
			offline bool // the connection is lost before the ban
			restart bool // the broker is killed before the ban, which holds when it is back
		}{
			{"while connected", 0, false, false},
			{"while connected, with a delay", 60, false, false},
			{"during the delay", 60, true, false},
			{"during a restart", 0, false, true},
			{"during a restart and the delay", 60, true, true},
		} {
			t.Run(ban+" "+w.when, func(t *testing.T) {
				t.Parallel()
				list, store := new(bans), newMemoryStore()
				s := start(t, broker.Options{Hooks: []any{list}, Store: store})
				ann := s.connect(clientOf("ann", "a", "t-1", w.delay))
				bob := s.connect(clientOf("bob", "b", "t-2", w.delay))
				if w.offline {
					ann.Close()
					bob.Close()
					s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 2 })
				}
				s.eventually("stored", func(broker.Stats) bool { return store.count(storage.SpaceSessions) == 2 })
				list.set(ban)
				if w.restart {
					s.cancel()
					s = start(t, broker.Options{Hooks: []any{list}, Store: store.copied()})
				}
				watch := s.connect(login("watch", "watch", "t-3"))
				watch.Subscribe(1, "wills/#")
				s.RulesChanged()
				if !w.offline && !w.restart {
					if got := ann.Expect(raw.DISCONNECT); got.Code != 0x87 {
						t.Errorf("%v, want 0x87", got)
					}
					ann.ExpectClosed()
				}
				bob.Close()
				s.eventually("bob is offline", func(st broker.Stats) bool { return st.Sessions-st.SessionsOffline == 1 })
				s.Advance(2 * time.Minute)
				got := watch.ExpectPublish("wills/b", "gone")
				watch.Send(raw.Ack(raw.PUBACK, got.ID))
				s.Advance(2 * time.Hour)
				watch.ExpectNothing()
				if n := s.Stats().Dropped["not_authorized"]; n != 1 {
					t.Errorf("%d messages not authorized, want the will", n)
				}
			})
		}
	}
}

// TestWillOfTheDeniedAtAStop stops the broker in good order after a ban that it has not heard of yet.
func TestWillOfTheDeniedAtAStop(t *testing.T) {
	t.Parallel()
	list, store := new(bans), newMemoryStore()
	s := start(t, broker.Options{Hooks: []any{list}, Store: store})
	for user, id := range map[string]string{"ann": "a", "bob": "b"} {
		k := clientOf(user, id, "t", 0)
		k.Props, k.Will.Retain = nil, true
		s.connect(k)
	}
	list.set("user ann")
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = start(t, broker.Options{Hooks: []any{list}, Store: store})
	watch := s.connect(login("watch", "watch", "t"))
	watch.Subscribe(0, "wills/#")
	watch.ExpectPublish("wills/b", "gone")
	watch.ExpectNothing()
}

// TestWillAfterItsTokenExpired has a token's end cut the connection: others hear of that by the will, with or without a delay.
func TestWillAfterItsTokenExpired(t *testing.T) {
	t.Parallel()
	for _, delay := range []int{0, 60} {
		s := start(t, broker.Options{Hooks: []any{keeper{expires: time.Hour}}})
		k := clientOf("ann", "a", "open", delay)
		k.Will.Retain = true
		c := s.connect(k)
		s.Advance(2 * time.Hour)
		if got := c.Expect(raw.DISCONNECT); got.Code != 0x87 {
			t.Errorf("%v, want 0x87", got)
		}
		watch := s.connect(login("watch", "watch", "open"))
		watch.Subscribe(0, "wills/#")
		if delay > 0 {
			watch.ExpectNothing()
			s.Advance(2 * time.Minute)
		}
		watch.ExpectPublish("wills/a", "gone")
	}
}

// TestAssignedIdentifierOfAWillIsStored has an Admitter that takes a client identifier only from the broker: the will of such a
// client is published after a restart.
func TestAssignedIdentifierOfAWillIsStored(t *testing.T) {
	t.Parallel()
	store, guard := newMemoryStore(), new(doorman)
	s := start(t, broker.Options{Hooks: []any{guard}, Store: store})
	c := s.dial(raw.V5)
	got := c.Connect(raw.Connect{Version: raw.V5, Props: raw.Props{raw.Num(raw.SessionExpiry, 3600)},
		Will: &raw.Will{Topic: "wills/c", Payload: "gone", Props: raw.Props{raw.Num(raw.WillDelay, 60)}}})
	s.eventually("stored", func(broker.Stats) bool { return store.count(storage.SpaceSessions) == 1 })
	s.cancel()
	guard.unwanted.Store(ptr(got.Props.Txt(raw.AssignedClientID)))
	s = start(t, broker.Options{Hooks: []any{guard}, Store: store.copied()})
	watch := s.connect(raw.Connect{Version: raw.V5, ID: "watch", Clean: true})
	watch.Subscribe(0, "wills/#")
	s.Advance(2 * time.Minute)
	watch.ExpectPublish("wills/c", "gone")
}

// TestSessionsOfTheDeniedEnd bans a user with sessions and messages that wait, on line and off, with the broker up and down.
// Messages of its shared subscription go to another member.
func TestSessionsOfTheDeniedEnd(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			t.Parallel()
			list, store := new(bans), newMemoryStore()
			s := start(t, broker.Options{Hooks: []any{list}, Store: store})
			for i := range 2 {
				ann := s.connect(clientOf("ann", s.idOn(i, "a"), "t-1", -1))
				ann.Subscribe(1, "news", "$share/g/jobs")
				if i == 0 || restart {
					ann.Close()
				}
			}
			bob := s.connect(clientOf("bob", "b", "t-1", -1))
			bob.Subscribe(1, "news")
			bob.Close()
			s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline >= 2 })
			pub := s.connect(login("pub", "pub", "t-1"))
			pub.Publish(raw.Publish{Topic: "news", Payload: "n", QoS: 1})
			if restart {
				pub.Publish(raw.Publish{Topic: "jobs", Payload: "j", QoS: 1})
			}
			list.set("token t-1") // of everybody: it ends nobody's session
			s.RulesChanged()
			s.eventually("disconnected", func(st broker.Stats) bool { return st.Sessions == 3 && st.SessionsOffline == 3 })
			list.set("user ann")
			if restart {
				s.cancel()
				s = start(t, broker.Options{Hooks: []any{list}, Store: store.copied()})
			} else {
				s.RulesChanged()
			}
			s.eventually("ann's sessions have ended", func(st broker.Stats) bool { return st.Sessions == 1 && st.Subscriptions == 1 })
			k := clientOf("bob", "b", "t-2", -1)
			bob = s.dial(raw.V5)
			if got := bob.Connect(k); !got.SessionPresent {
				t.Error("bob's session has ended")
			}
			bob.ExpectPublish("news", "n")
			list.set()
			if got := s.dial(raw.V5).Connect(clientOf("ann", s.idOn(0, "a"), "t-1", -1)); got.SessionPresent {
				t.Error("ann's session is back")
			}
		})
	}
}

// TestSharedMessagesOfTheDeniedGoOn bans the only members of a group that are offline: what waits for them goes to one that stays.
func TestSharedMessagesOfTheDeniedGoOn(t *testing.T) {
	t.Parallel()
	list := new(bans)
	s := start(t, broker.Options{Hooks: []any{list}, Store: newMemoryStore()})
	for i, user := range []string{"ann", "bob"} {
		c := s.connect(clientOf(user, s.idOn(i, user), "t", -1))
		c.Subscribe(1, "$share/g/jobs")
		c.Close()
	}
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 2 })
	pub := s.connect(login("pub", "pub", "t"))
	for i := range 4 {
		pub.Publish(raw.Publish{Topic: "jobs", Payload: fmt.Sprint(i), QoS: 1})
	}
	s.eventually("queued", func(st broker.Stats) bool { return st.Queued == 4 })
	list.set("user ann")
	s.RulesChanged()
	s.eventually("ann's session has ended", func(st broker.Stats) bool { return st.Sessions == 2 && st.Queued == 4 })
	bob := s.connect(clientOf("bob", s.idOn(1, "bob"), "t", -1))
	if got := receive(bob, 4); len(got) != 4 {
		t.Errorf("%d jobs, want 4", len(got))
	}
}

// TestUnreadPublishesOfTheDenied bans a client whose rate limit holds publishes back: they are not published.
func TestUnreadPublishesOfTheDenied(t *testing.T) {
	t.Parallel()
	list := new(bans)
	s := start(t, broker.Options{Hooks: []any{list}, Limits: broker.Limits{MessageRate: 0.001, MessageBurst: 2}})
	watch := s.connect(login("watch", "watch", "t"))
	watch.Subscribe(0, "news")
	ann := s.connect(login("a", "ann", "t"))
	for range 10 {
		ann.Send(raw.Publish{Topic: "news", Payload: "n"}.Bytes(raw.V5))
	}
	s.eventually("the limit holds", func(st broker.Stats) bool { return st.Limited["message_rate"] > 0 })
	published := s.Stats().MessagesReceived[0]
	list.set("user ann")
	s.RulesChanged()
	ann.Expect(raw.DISCONNECT)
	s.Advance(time.Hour)
	for range published {
		watch.ExpectPublish("news", "n")
	}
	watch.ExpectNothing()
	if published == 10 {
		t.Error("the limit held nothing back")
	}
}
