package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// TestUnacknowledgedMessagesAreHeldToTheRules takes a right away from a client that has not acknowledged what it was sent. When it
// comes back it is sent nothing of that again, its packet identifiers are released, and what it may hear still comes.
func TestUnacknowledgedMessagesAreHeldToTheRules(t *testing.T) {
	t.Parallel()
	for _, stores := range []bool{false, true} {
		rules := new(list)
		rules.set("subscribe room", "subscribe other", "deliver room", "deliver other")
		o := broker.Options{Hooks: []any{rules}}
		if stores {
			o.Store = newMemoryStore()
		}
		s := start(t, o)
		k := v5Durable("c")
		c := s.connect(k)
		c.Subscribe(2, "room", "other")
		for _, topic := range []string{"room", "other"} {
			for qos := byte(1); qos <= 2; qos++ {
				if err := s.Publish(broker.Message{Topic: topic, Payload: []byte{'0' + qos}, QoS: qos}); err != nil {
					t.Fatal(err)
				}
				c.ExpectPublish(topic, string('0'+rune(qos)))
			}
		}
		c.Close()
		s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 && st.Inflight == 4 })
		rules.set("subscribe other", "deliver other")
		s.RulesChanged()
		c = s.connect(k)
		released, other := c.Expect(raw.PUBREL), c.ExpectPublish("other", "1")
		c.Send(raw.Ack(raw.PUBCOMP, released.ID), raw.Ack(raw.PUBACK, other.ID))
		other = c.ExpectPublish("other", "2")
		c.Send(raw.Ack(raw.PUBREC, other.ID))
		c.ExpectAck(raw.PUBREL, other.ID)
		c.Send(raw.Ack(raw.PUBCOMP, other.ID))
		s.eventually("nothing is under way", func(st broker.Stats) bool { return st.Inflight == 0 })
		c.ExpectNothing()
		if n := s.Stats().Dropped["not_authorized"]; n != 2 {
			t.Errorf("%d messages not authorized, want 2", n)
		}
		if err := s.Audit(); err != nil {
			t.Error(err)
		}
	}
}

// TestParkedMessagesAreHeldToTheRules takes a right away while messages wait for a full socket.
func TestParkedMessagesAreHeldToTheRules(t *testing.T) {
	t.Parallel()
	rules := new(list)
	rules.set("subscribe room", "subscribe other", "deliver room", "deliver other")
	s := start(t, broker.Options{Hooks: []any{rules}, Shards: 1, Limits: broker.Limits{MaxParkedMessages: -1, MaxParkedBytes: -1}})
	c, _ := s.slow(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	c.Subscribe(0, "room", "other")
	big := []byte(strings.Repeat("x", 32<<10))
	publish := func(topic string, payload []byte, expiry time.Duration) {
		t.Helper()
		if err := s.Publish(broker.Message{Topic: topic, Payload: payload, MessageExpiry: expiry}); err != nil {
			t.Fatal(err)
		}
	}
	for range 1 << 10 {
		publish("other", big, 0)
	}
	s.eventually("parked", func(st broker.Stats) bool { return st.Parked == 1 })
	for i := range 3 {
		publish("room", []byte("secret"), time.Duration(i)*time.Second)
	}
	publish("other", []byte("old"), time.Second)
	publish("other", []byte("end"), 0)
	rules.set("subscribe other", "deliver other")
	s.RulesChanged()
	s.eventually("dropped", func(st broker.Stats) bool { return st.Dropped["not_authorized"] == 3 })
	if n := s.BlockedHoles(); n != 0 {
		t.Errorf("%d entries without a message, want none", n)
	}
	s.Advance(2 * time.Second)
	s.eventually("expired", func(st broker.Stats) bool { return st.Dropped["expired"] == 1 })
	for {
		switch got := c.Expect(raw.PUBLISH); {
		case got.Topic == "room":
			t.Fatal("a message came through a rule that has gone")
		case got.Payload == "old":
			t.Fatal("an expired message came")
		case got.Payload == "end":
			return
		}
	}
}

// TestReplayIsHeldToTheRules takes a right away while retained messages are being sent.
func TestReplayIsHeldToTheRules(t *testing.T) {
	t.Parallel()
	rules := new(list)
	rules.set("subscribe room/#", "subscribe other")
	s := start(t, broker.Options{Hooks: []any{rules}, Shards: 1})
	big := []byte(strings.Repeat("x", 32<<10))
	const messages = 1 << 10
	for i := range messages {
		if err := s.Publish(broker.Message{Topic: fmt.Sprint("room/", i), Payload: big, Retain: true}); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually("retained", func(st broker.Stats) bool { return st.Retained == messages })
	c, _ := s.slow(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	c.Subscribe(0, "room/#", "other")
	s.eventually("parked", func(st broker.Stats) bool { return st.Parked == 1 })
	rules.set("subscribe other")
	s.RulesChanged()
	s.eventually("the subscription has ended", func(st broker.Stats) bool { return st.Subscriptions == 1 })
	if err := s.Publish(broker.Message{Topic: "other", Payload: []byte("end")}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; c.Expect(raw.PUBLISH).Topic != "other"; n++ {
	}
	if n == messages {
		t.Error("all was sent")
	}
}

// TestSharedMessagesAreHeldToTheRules takes a right away from the only member of a group while it is away, and gives another member
// to the group: what waits for the first goes to the second when the first comes back.
func TestSharedMessagesAreHeldToTheRules(t *testing.T) {
	t.Parallel()
	list := new(memberList)
	list.set("ann", "bob")
	s := start(t, broker.Options{Hooks: []any{list}})
	ann := v5Durable(s.idOn(0, "ann"))
	c := s.connect(ann)
	c.Subscribe(1, "$share/g/jobs")
	c.Close()
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
	for i := range 3 {
		if err := s.Publish(broker.Message{Topic: "jobs", Payload: []byte(fmt.Sprint(i)), QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually("queued", func(st broker.Stats) bool { return st.Queued == 3 })
	bob := s.connect(v5Durable(s.idOn(1, "bob")))
	bob.Subscribe(1, "$share/g/jobs")
	list.set("bob")
	s.connect(ann).ExpectNothing()
	if got := receive(bob, 3); len(got) != 3 {
		t.Errorf("%d jobs, want 3", len(got))
	}
}

// memberList is an Authorizer that allows everything to clients whose identifiers begin with one of its names.
type memberList struct{ list }

func (l *memberList) Authorize(c *broker.Client, _ broker.Action, _ string) bool {
	name, _, _ := strings.Cut(c.ID, "-")
	return slices.Contains(l.names(), name)
}

func (l *memberList) names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.allowed
}
