package broker_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// keeper lets in whose password is "open", as the user of that name, and refuses others.
type keeper struct{ expires time.Duration }

func (k keeper) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	switch string(c.Password) {
	case "open":
		id := &broker.Identity{User: c.Username, Method: "test"}
		if k.expires > 0 {
			id.Expires = time.Now().Add(k.expires)
		}
		return id, nil
	case "broken":
		return nil, errors.New("the directory does not answer")
	case "":
		return nil, broker.ErrNotConcerned
	}
	return nil, &broker.Refusal{Code: broker.CodeBadUserOrPassword, Reason: "wrong password", Label: "bad_password"}
}

func login(id, user, password string) raw.Connect {
	return raw.Connect{Version: raw.V5, ID: id, Clean: true, User: &user, Password: &password}
}

func TestAuthenticator(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{keeper{}}})
	for _, c := range []struct {
		name     string
		password *string
		v5, v3   byte
		label    string
	}{
		{"right", ptr("open"), 0, 0, "ok"},
		{"wrong", ptr("shut"), 0x86, 4, "bad_password"},
		{"none", nil, 0x87, 5, "no_credentials"},
		{"unavailable", ptr("broken"), 0x88, 3, "unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := s.Stats().Auth[c.label]
			for version, want := range map[byte]byte{raw.V5: c.v5, raw.V311: c.v3} {
				k := raw.Connect{Version: version, ID: c.name, Clean: true, User: ptr("ann"), Password: c.password}
				p := s.dial(version)
				p.SendConnect(k)
				if got := p.Expect(raw.CONNACK); got.Code != want {
					t.Errorf("version %d: %v, want code 0x%02X", version, got, want)
				}
				if want != 0 {
					p.ExpectClosed()
				}
			}
			if got := s.Stats().Auth[c.label]; got != before+2 {
				t.Errorf("counted %d as %q, want 2", got-before, c.label)
			}
		})
	}
}

func TestSessionBelongsToItsUser(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{keeper{}}})
	k := login("device", "ann", "open")
	k.Clean, k.Props = false, raw.Props{raw.Num(raw.SessionExpiry, 100)}
	ann := s.connect(k)
	for _, clean := range []bool{false, true} {
		thief := login("device", "bob", "open")
		thief.Clean = clean
		p := s.dial(raw.V5)
		p.SendConnect(thief)
		if got := p.Expect(raw.CONNACK); got.Code != 0x85 {
			t.Errorf("clean %v: %v, want 0x85", clean, got)
		}
	}
	ann.ExpectNothing()
	ann.Close()
	if again := s.dial(raw.V5).Connect(k); !again.SessionPresent {
		t.Error("ann's session is gone")
	}
}

func TestExpiredIdentityIsDisconnected(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{keeper{expires: 2 * time.Second}}})
	p := s.connect(login("a", "ann", "open"))
	if got := p.Expect(raw.DISCONNECT); got.Code != 0x87 {
		t.Errorf("%v, want 0x87", got)
	}
	p.ExpectClosed()
}

// list allows what is on it; it can be changed.
type list struct {
	mu      sync.Mutex
	allowed []string
}

func (l *list) set(allowed ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.allowed = allowed
}

func (l *list) Authorize(_ *broker.Client, a broker.Action, topic string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.allowed, a.String()+" "+topic)
}

func TestRules(t *testing.T) {
	t.Parallel()
	rules := new(list)
	rules.set("subscribe room", "publish room", "subscribe other")
	s := start(t, broker.Options{Hooks: []any{rules}})
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	if got := c.Subscribe(1, "room", "secret", "other"); !slices.Equal(got, []byte{1, 0x87, 1}) {
		t.Errorf("SUBACK % X", got)
	}
	if code := c.Publish(raw.Publish{Topic: "secret", Payload: "x", QoS: 1}); code != 0x87 {
		t.Errorf("PUBACK 0x%02X for a topic that is not allowed", code)
	}
	if code := c.Publish(raw.Publish{Topic: "secret", Payload: "x", QoS: 2}); code != 0x87 {
		t.Errorf("PUBREC 0x%02X for a topic that is not allowed", code)
	}
	c.Send(raw.Publish{Topic: "room", Payload: "1", QoS: 0}.Bytes(raw.V5))
	c.ExpectPublish("room", "1")

	rules.set("subscribe other")
	s.RulesChanged()
	s.eventually("subscription ended", func(st broker.Stats) bool { return st.Subscriptions == 1 })
	if code := c.Publish(raw.Publish{Topic: "room", Payload: "2", QoS: 1}); code != 0x87 {
		t.Errorf("PUBACK 0x%02X after the rules changed", code)
	}
	if err := s.Publish(broker.Message{Topic: "room", Payload: []byte("3")}); err != nil {
		t.Fatal(err)
	}
	c.ExpectNothing()
}

func TestRulesOnResumedSessions(t *testing.T) {
	t.Parallel()
	rules := new(list)
	rules.set("subscribe room", "subscribe other", "deliver room", "deliver other")
	s := start(t, broker.Options{Hooks: []any{rules}})
	k := raw.Connect{Version: raw.V311, ID: "c"}
	c := s.connect(k)
	c.Subscribe(1, "room", "other")
	c.Close()
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
	for _, topic := range []string{"room", "other"} {
		if err := s.Publish(broker.Message{Topic: topic, Payload: []byte("x"), QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually("queued", func(st broker.Stats) bool { return st.Queued == 2 })
	rules.set("subscribe other", "deliver other")
	s.RulesChanged()
	c = s.connect(k)
	got := c.Expect(raw.PUBLISH)
	if got.Topic != "other" {
		t.Errorf("%v came through a rule that has gone", got)
	}
	c.Send(raw.Ack(raw.PUBACK, got.ID))
	c.ExpectNothing()
	if st := s.Stats(); st.Subscriptions != 1 || st.Dropped["not_authorized"] != 1 {
		t.Errorf("%d subscriptions, %d not authorized", st.Subscriptions, st.Dropped["not_authorized"])
	}
}

// TestRulesEndManySubscriptions has rules end more subscriptions of a durable session than may wait for a store that stands
// still. Those that the client makes anew meanwhile stay.
func TestRulesEndManySubscriptions(t *testing.T) {
	t.Parallel()
	const n, again = 3000, 10
	rules, disk := new(list), newDisk()
	var all []string
	for _, f := range many("topic", n) {
		all = append(all, "subscribe "+f)
	}
	rules.set(all...)
	s := start(t, broker.Options{Store: disk, Shards: 1, Hooks: []any{rules}})
	t.Cleanup(disk.flow)
	c := s.connect(v5Durable("c"))
	c.Subscribe(1, many("topic", n)...)
	s.eventually("the store rests", func(broker.Stats) bool { return s.StoringOps() == 0 && disk.replaying() == 0 })
	disk.stall(0)
	rules.set("subscribe other")
	s.RulesChanged()
	s.eventually("subscriptions ended", func(st broker.Stats) bool { return st.Subscriptions == 0 })
	if ops := s.StoringOps(); ops > broker.MostStoringUnits/2 {
		t.Errorf("%d operations wait for the store", ops)
	}
	rules.set(all...)
	s.RulesChanged()
	anew := raw.Subscribe{ID: 9}
	for _, f := range many("topic", n)[n-again:] {
		anew.Filters = append(anew.Filters, raw.Filter{Name: f, Options: 0x21}) // nothing retained is sent, so they are written once
	}
	c.Send(anew.Bytes(raw.V5))
	s.eventually("subscribed anew", func(st broker.Stats) bool { return st.Subscriptions == again })
	disk.flow()
	c.ExpectAck(raw.SUBACK, 9)
	s.eventually("the others are forgotten", func(broker.Stats) bool { return disk.count(storage.SpaceSubscriptions) == again })
	s.eventually("the store rests", func(broker.Stats) bool { return s.StoringOps() == 0 })
	if left := disk.count(storage.SpaceSubscriptions); left != again {
		t.Errorf("%d subscriptions are stored, want %d", left, again)
	}
}

func TestWillIsHeldToTheRules(t *testing.T) {
	t.Parallel()
	rules := new(list)
	rules.set("publish last/words", "subscribe last/words")
	s := start(t, broker.Options{Hooks: []any{rules}})
	p := s.dial(raw.V5)
	p.SendConnect(raw.Connect{Version: raw.V5, ID: "a", Clean: true, Will: &raw.Will{Topic: "secret", Payload: "x"}})
	if got := p.Expect(raw.CONNACK); got.Code != 0x87 {
		t.Errorf("%v, want 0x87", got)
	}
	w := s.connect(raw.Connect{Version: raw.V5, ID: "watch", Clean: true})
	w.Subscribe(0, "last/words")
	will := &raw.Will{Topic: "last/words", Payload: "x"}
	s.connect(raw.Connect{Version: raw.V5, ID: "b", Clean: true, Will: will}).Close()
	w.ExpectPublish("last/words", "x")
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true, Will: will})
	rules.set("subscribe last/words")
	s.RulesChanged()
	c.Close()
	s.eventually("gone", func(st broker.Stats) bool { return st.Sessions == 1 })
	w.ExpectNothing()
}

// censor refuses "bad" and rewrites "mild".
type censor struct{}

func (censor) InterceptPublish(_ *broker.Client, m *broker.Message) error {
	switch string(m.Payload) {
	case "bad":
		return &broker.Refusal{Code: broker.CodePayloadFormat, Reason: "bad"}
	case "broken":
		return errors.New("broken")
	case "mild":
		m.Topic, m.Payload = "elsewhere", []byte("milder")
		m.UserProperties = append(m.UserProperties, broker.UserProperty{Name: "was", Value: "mild"})
	}
	return nil
}

func TestInterceptor(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{censor{}}})
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	c.Subscribe(0, "#")
	for payload, want := range map[string]byte{"bad": 0x99, "broken": 0x83} {
		if code := c.Publish(raw.Publish{Topic: "t", Payload: payload, QoS: 1}); code != want {
			t.Errorf("%q: PUBACK 0x%02X, want 0x%02X", payload, code, want)
		}
	}
	c.Send(raw.Publish{Topic: "t", Payload: "good", Props: raw.Props{raw.Txt(raw.ContentType, "text")}}.Bytes(raw.V5))
	if got := c.ExpectPublish("t", "good"); got.Props.Txt(raw.ContentType) != "text" {
		t.Errorf("%v: the content type is gone", got)
	}
	c.Send(raw.Publish{Topic: "t", Payload: "mild"}.Bytes(raw.V5))
	if got := c.ExpectPublish("elsewhere", "milder"); len(got.Props.All(raw.UserProperty)) != 1 {
		t.Errorf("%v: no user property", got)
	}
	c.ExpectNothing()
}

// diary writes events down.
type diary struct {
	mu     sync.Mutex
	events []broker.Event
	count  atomic.Int64
}

func (d *diary) Observe(e broker.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e)
	d.count.Add(1)
}

func TestObserver(t *testing.T) {
	t.Parallel()
	d := new(diary)
	s := start(t, broker.Options{Hooks: []any{d}})
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	c.Subscribe(0, "a/+")
	u := raw.Unsubscribe{ID: 9, Filters: []string{"a/+"}}
	c.Send(u.Bytes(raw.V5))
	c.ExpectAck(raw.UNSUBACK, 9)
	bye(c)
	s.eventually("observed", func(broker.Stats) bool { return d.count.Load() == 5 })
	d.mu.Lock()
	defer d.mu.Unlock()
	want := []broker.Event{
		{Kind: broker.Connected}, {Kind: broker.Subscribed, Topic: "a/+"}, {Kind: broker.Unsubscribed, Topic: "a/+"},
		{Kind: broker.Disconnected, Reason: "client_disconnect"}, {Kind: broker.SessionEnded},
	}
	for i, e := range d.events {
		if w := want[i]; e.Kind != w.Kind || e.Topic != w.Topic || e.Reason != w.Reason || e.ClientID != "c" {
			t.Errorf("event %d: %+v, want %+v", i, e, w)
		}
	}
}

func TestNewRefusesWhatIsNoHook(t *testing.T) {
	t.Parallel()
	if _, err := broker.New(broker.Options{Hooks: []any{42}}); err == nil {
		t.Error("New took an int for a hook")
	}
}
