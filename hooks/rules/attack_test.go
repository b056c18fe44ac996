package rules_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

// roomsAuth accepts clients under the user name they send, with their password as the list of rooms.
type roomsAuth struct{}

func (roomsAuth) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	rooms := []any{}
	for _, room := range bytes.Fields(c.Password) {
		rooms = append(rooms, string(room))
	}
	return &broker.Identity{User: c.Username, Claims: map[string]any{"rooms": rooms}, Method: "test"}, nil
}

// testBroker is a broker with rules.
type testBroker struct {
	*broker.Broker
	t       *testing.T
	rules   *rules.Authorizer
	address string
}

// testRules gives user mallory the permissions of every user, and root all permissions.
func testRules() rules.Options {
	return rules.Options{
		Rules: []rules.Rule{
			allow("user:root", "#"), allow("user:root", "$SYS/#"),
			deny("*", "vault/+/pin", "subscribe"),
			allow("*", "a/#"), allow("*", "vault/mine/#"), allow("*", "dev/{client}/#"), allow("user:victim", "private/#"),
		},
		Rooms: []rules.Room{{Topics: "chat/{room}/#", Join: []string{"claim:rooms"}, Speak: []string{"claim:rooms"}}},
	}
}

func startBroker(t *testing.T, o rules.Options) *testBroker {
	t.Helper()
	h := &testBroker{t: t, rules: mustNew(t, o)}
	var err error
	if h.Broker, err = broker.New(broker.Options{Shards: 2, Hooks: []any{roomsAuth{}, h.rules}}); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.address = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended, listened := make(chan error, 1), make(chan struct{})
	go func() { ended <- h.Run(ctx) }()
	go func() {
		defer close(listened)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if err := h.Attach(broker.Conn{Listener: "tcp", Conn: c}); err != nil && !errors.Is(err, broker.ErrClosed) {
				t.Errorf("attach: %v", err)
			}
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-listened
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return h
}

func as(version byte, user, id, rooms string) raw.Connect {
	return raw.Connect{Version: version, ID: id, Clean: true, User: &user, Password: &rooms}
}

// persistent makes the session outlive its connection.
func persistent(k raw.Connect) raw.Connect {
	if k.Clean = false; k.Version == raw.V5 {
		k.Props = append(k.Props, raw.Num(raw.SessionExpiry, 600))
	}
	return k
}

func (h *testBroker) dial(k raw.Connect) *raw.Client {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.address)
	if err != nil {
		h.t.Fatal(err)
	}
	c := raw.New(h.t, conn, k.Version)
	c.SendConnect(k)
	return c
}

func (h *testBroker) connect(k raw.Connect) *raw.Client {
	h.t.Helper()
	c := h.dial(k)
	if p := c.Expect(raw.CONNACK); p.Code != 0 {
		h.t.Fatalf("%s: %v", k.ID, p)
	}
	return c
}

// expectRefused expects a CONNACK with code v5 in MQTT 5, v3 in 3.1.1.
func (h *testBroker) expectRefused(k raw.Connect, v5, v3 byte) {
	h.t.Helper()
	code := v3
	if k.Version == raw.V5 {
		code = v5
	}
	h.dial(k).ExpectRefused(code)
}

func (h *testBroker) eventually(what string, ok func(broker.Stats) bool) {
	h.t.Helper()
	for end := time.Now().Add(raw.Patience); !ok(h.Stats()); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("%s: not within %v", what, raw.Patience)
		}
	}
}

func (h *testBroker) update(o rules.Options) {
	h.t.Helper()
	if err := h.rules.Update(o); err != nil {
		h.t.Fatal(err)
	}
	h.RulesChanged()
}

func (h *testBroker) publish(topic, payload string, retain bool) {
	h.t.Helper()
	if err := h.Publish(broker.Message{Topic: topic, Payload: []byte(payload), QoS: 1, Retain: retain}); err != nil {
		h.t.Fatal(err)
	}
}

// eachVersion runs a test for MQTT 5 clients, which get reasons, and for older ones, which do not.
func eachVersion(t *testing.T, test func(t *testing.T, version byte)) {
	for name, version := range map[string]byte{"5": raw.V5, "3.1.1": raw.V311} {
		t.Run(name, func(t *testing.T) { test(t, version) })
	}
}

// A filter that could match a forbidden topic is refused as a whole: it delivers neither retained nor new messages.
func TestSpyingSubscriptions(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		h := startBroker(t, testRules())
		secrets := []string{"private/x", "x", "chat/secret/say", "dev/other/up", "b/x", "vault/mine/pin", "vault/x/pin"}
		for _, topic := range secrets {
			h.publish(topic, "retained", true)
		}
		denied := byte(0x87)
		if version == raw.V311 {
			denied = 0x80
		}
		for _, id := range []string{"mallory-1", "+", "#", "$SYS"} {
			c := h.connect(as(version, "mallory", id, "lobby + # secret/x $SYS"))
			for _, filter := range []string{
				"#", "+", "+/#", "+/x", "+/+/say", "/#", "private/#", "private/x", "x",
				"$SYS/#", "$SYS/broker/+", "$SYS/broker/uptime", "$share/g/#", "$share/g/+/x", "$share/g/private/x", "$share/g/$SYS/#",
				"dev/+/up", "dev/#", "dev/other/#", "chat/#", "chat/+/say", "chat/secret/#", "chat/secret/say", "chat/secret/x",
				"vault/mine/#", "vault/mine/+", "vault/+/pin", "vault/mine/pin", "$share/g/vault/mine/#",
			} {
				if codes := c.Subscribe(1, filter); len(codes) != 1 || codes[0] != denied {
					t.Errorf("%q as %q: SUBACK % X, want %X", filter, id, codes, denied)
				}
			}
			for _, topic := range secrets {
				h.publish(topic, "now", false)
			}
			c.ExpectNothing()
			for _, filter := range []string{"a/#", "a", "$share/g/a/+", "chat/lobby/#", "vault/mine/key"} {
				if codes := c.Subscribe(0, filter); codes[0] != 0 {
					t.Errorf("%q as %q: SUBACK % X, want it allowed", filter, id, codes)
				}
			}
			c.Disconnect()
		}
		if n := h.Stats().Subscriptions; n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	})
}

// No message reaches a forbidden topic, however the topic is spelled.
func TestForbiddenPublishes(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		h := startBroker(t, testRules())
		root := h.connect(as(raw.V5, "root", "root", ""))
		root.Subscribe(0, "#", "$SYS/x", "$share/g/b/#")
		c := h.connect(as(version, "mallory", "m", "lobby"))
		for _, topic := range []string{
			"private/x", "x", "b/a/x", "A/x", "chat/other/say", "chat/", "chat/lobby ", "dev/other/up", "dev//up",
			"$SYS/x", "$SYS", "$me/dropped", "$share/g/a/x", "$x/y", "/a/x",
		} {
			for qos := range byte(3) {
				code := c.Publish(raw.Publish{Topic: topic, Payload: "x", QoS: qos, Retain: qos == 1})
				if want := map[bool]byte{true: 0x87}[version == raw.V5 && qos > 0]; code != want {
					t.Errorf("%q QoS %d: 0x%02X, want 0x%02X", topic, qos, code, want)
				}
			}
		}
		c.ExpectNothing() // the last message has arrived
		root.ExpectNothing()
		if st := h.Stats(); st.Dropped["not_authorized"] != 45 || st.Retained != 0 {
			t.Errorf("%d refused, %d retained", st.Dropped["not_authorized"], st.Retained)
		}
		c.Publish(raw.Publish{Topic: "dev/m/up", Payload: "mine", QoS: 1})
		root.ExpectPublish("dev/m/up", "mine")
	})
}

// A topic alias is checked like the topic it stands for, at each use.
func TestAliasTricks(t *testing.T) {
	h := startBroker(t, testRules())
	root := h.connect(as(raw.V5, "root", "root", ""))
	root.Subscribe(0, "#")
	c := h.connect(as(raw.V5, "mallory", "m", ""))
	publish := func(topic, payload string, want byte) {
		t.Helper()
		code := c.Publish(raw.Publish{Topic: topic, Payload: payload, QoS: 1, Props: raw.Props{raw.Num(raw.TopicAlias, 1)}})
		if code != want {
			t.Errorf("%q %s: PUBACK 0x%02X, want 0x%02X", topic, payload, code, want)
		}
	}
	publish("a/ok", "set", 0)
	root.ExpectPublish("a/ok", "set")
	publish("", "used", 0)
	root.ExpectPublish("a/ok", "used")
	publish("private/x", "set to what is forbidden", 0x87)
	publish("", "used then", 0x87)
	publish("$SYS/x", "set to the broker's", 0x87)
	publish("", "used then", 0x87)
	publish("a/ok", "set back", 0)
	root.ExpectPublish("a/ok", "set back")

	o := testRules()
	o.Rules = append([]rules.Rule{deny("user:mallory", "a/#")}, o.Rules...)
	h.update(o)
	publish("", "used when the rules have changed", 0x87)
	root.ExpectNothing()
}

func TestWillsToForbiddenTopics(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		h := startBroker(t, testRules())
		root := h.connect(as(raw.V5, "root", "root", ""))
		root.Subscribe(0, "#", "$SYS/x")
		for topic, code := range map[string]byte{"private/x": 0x87, "chat/other/x": 0x87, "dev/other/x": 0x87, "$SYS/x": 0x90, "$me/x": 0x90} {
			k := as(version, "mallory", "m", "lobby")
			k.Will = &raw.Will{Topic: topic, Payload: "x", QoS: 1, Retain: true}
			if version == raw.V5 {
				h.dial(k).ExpectRefused(code)
			} else {
				h.dial(k).ExpectRefused(1, 2, 3, 4, 5)
			}
		}
		k := as(version, "mallory", "m", "lobby")
		k.Will = &raw.Will{Topic: "chat/lobby/x", Payload: "bye"}
		h.connect(k).Close()
		root.ExpectPublish("chat/lobby/x", "bye")
		c := h.connect(k)
		o := testRules()
		o.Rooms = nil
		h.update(o) // while the will is delayed
		c.Close()
		h.eventually("the client is gone", func(st broker.Stats) bool { return st.Sessions == 1 })
		root.ExpectNothing()
	})
}

// When a rule change revokes a permission, delivery stops at once, also to a group's member; its messages then go to
// other members.
func TestRulesChangeUnderLiveClients(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		h := startBroker(t, testRules())
		ann, bob := h.connect(as(version, "ann", "ann", "lobby")), h.connect(as(version, "bob", "bob", "lobby"))
		ann.Subscribe(0, "chat/lobby/#", "$share/g/a/#")
		bob.Subscribe(0, "chat/lobby/#", "$share/g/a/#")
		h.publish("chat/lobby/say", "1", false)
		ann.ExpectPublish("chat/lobby/say", "1")
		bob.ExpectPublish("chat/lobby/say", "1")
		o := testRules()
		o.Rules = append([]rules.Rule{deny("user:ann", "#")}, o.Rules...)
		h.update(o)
		h.eventually("subscriptions have ended", func(st broker.Stats) bool { return st.Subscriptions == 2 })
		h.publish("chat/lobby/say", "2", false)
		bob.ExpectPublish("chat/lobby/say", "2")
		for _, payload := range []string{"3", "4", "5"} {
			h.publish("a/x", payload, false)
			bob.ExpectPublish("a/x", payload)
		}
		ann.ExpectNothing()
	})
}

// Queued messages are checked by the rules and claims at the time when the client comes back.
func TestResumedSessionsAreHeldToTheRules(t *testing.T) {
	away := func(h *testBroker, version byte) {
		c := h.connect(persistent(as(version, "ann", "ann", "lobby")))
		c.Subscribe(1, "chat/lobby/#", "a/#", "$share/g/chat/lobby/#")
		c.Close()
		h.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
		h.publish("chat/lobby/say", "secret", false)
		h.publish("a/x", "fine", false)
		h.eventually("queued", func(st broker.Stats) bool { return st.Queued == 3 })
	}
	back := func(h *testBroker, version byte, rooms string) {
		h.t.Helper()
		c := h.dial(persistent(as(version, "ann", "ann", rooms)))
		if p := c.Expect(raw.CONNACK); p.Code != 0 || !p.SessionPresent {
			h.t.Fatalf("%v, want the session", p)
		}
		c.Send(raw.Ack(raw.PUBACK, c.ExpectPublish("a/x", "fine").ID))
		h.publish("chat/lobby/say", "secret again", false)
		c.ExpectNothing()
		if st := h.Stats(); st.Dropped["not_authorized"] != 2 || st.Subscriptions != 1 {
			h.t.Errorf("%d were dropped, %d subscriptions are left", st.Dropped["not_authorized"], st.Subscriptions)
		}
	}
	eachVersion(t, func(t *testing.T, version byte) {
		t.Run("other rules", func(t *testing.T) {
			h := startBroker(t, testRules())
			away(h, version)
			o := testRules()
			o.Rooms = nil
			h.update(o)
			back(h, version, "lobby")
		})
		t.Run("other claims", func(t *testing.T) {
			h := startBroker(t, testRules())
			away(h, version)
			back(h, version, "other")
		})
	})
}

// A session belongs to the user that created it. Another user of its client identifier gets nothing, and the owner
// notices nothing.
func TestStolenClientIdentifiers(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		h := startBroker(t, testRules())
		root := h.connect(as(raw.V5, "root", "root", ""))
		root.Subscribe(0, "private/will")
		k := persistent(as(version, "victim", "screen", ""))
		k.Will = &raw.Will{Topic: "private/will", Payload: "x"}
		attack := func() {
			t.Helper()
			for _, thief := range []string{"mallory", "", "VICTIM", "victim ", "root"} {
				for _, with := range []byte{raw.V5, raw.V311} {
					mine := as(with, thief, "screen", "lobby")
					h.expectRefused(mine, 0x85, 2)             // to end the session
					h.expectRefused(persistent(mine), 0x85, 2) // to take it over
				}
			}
		}
		victim := h.connect(k)
		victim.Subscribe(1, "private/#")
		attack()
		h.publish("private/x", "1", false)
		victim.Send(raw.Ack(raw.PUBACK, victim.ExpectPublish("private/x", "1").ID))
		victim.Send(raw.Plain(raw.DISCONNECT))
		victim.ExpectClosed()
		h.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
		h.publish("private/x", "2", false)
		attack()
		root.ExpectNothing() // not even the will
		victim = h.dial(k)
		if p := victim.Expect(raw.CONNACK); !p.SessionPresent {
			t.Errorf("the session is gone: %v", p)
		}
		victim.Send(raw.Ack(raw.PUBACK, victim.ExpectPublish("private/x", "2").ID))
		victim.ExpectNothing()
	})
}

// With client_ids, nobody connects with another user's identifier, whether it has a session or not.
func TestBoundClientIdentifiers(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		o := testRules()
		o.ClientIDs = []rules.ClientID{{Who: []string{"*"}, IDs: []string{"{user}-*"}}}
		h := startBroker(t, o)
		for _, id := range []string{"ann-1", "bob", "bobby-1", "Bob-1", strings.Repeat("bob-", 3)[1:], "*", "{user}-1"} {
			h.expectRefused(as(version, "bob", id, ""), 0x85, 2)
			h.expectRefused(persistent(as(version, "bob", id, "")), 0x85, 2)
		}
		bob := h.connect(as(version, "bob", "bob-1", ""))
		h.connect(as(version, "bob", "", "")) // the broker assigns one
		o.ClientIDs[0].IDs[0] = "x-{user}"
		h.update(o)
		bob.ExpectEnd(0x87)
		h.eventually("only who has no identifier of its own is left", func(st broker.Stats) bool { return st.Sessions == 1 })
	})
}
