package conformance_test

import (
	"slices"
	"strconv"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

func TestSharedSubscription(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		one, two := s.connect(t, clean(version, "one")), s.connect(t, clean(version, "two"))
		other, plain := s.connect(t, clean(version, "other")), s.connect(t, clean(version, "plain"))
		pub := s.connect(t, clean(version, "pub"))
		one.Subscribe(1, "$share/g/a/+")
		two.Subscribe(1, "$share/g/a/+")
		other.Subscribe(2, "$share/h/a/+") // another group
		plain.Subscribe(0, "a/+")
		for i := range 20 {
			pub.Publish(raw.Publish{Topic: "a/" + strconv.Itoa(i), QoS: 2})
		}
		topics := func(c *raw.Client, qos byte) (all []string) {
			for _, p := range collect(t, pub, c) {
				must(t, "QoS", p.QoS, qos) // the QoS of the member's own subscription [MQTT-4.8.2-3]
				all = append(all, p.Topic)
			}
			return all
		}
		must(t, "messages to another group", len(topics(other, 2)), 20)
		must(t, "messages to a subscription of its own", len(topics(plain, 0)), 20)
		first, second := topics(one, 1), topics(two, 1)
		if len(first) == 0 || len(second) == 0 {
			t.Errorf("%d and %d messages to the members, want some to each", len(first), len(second))
		}
		all := slices.Sorted(slices.Values(append(first, second...)))
		must(t, "messages to the members", len(all), 20)
		must(t, "different messages to the members", len(slices.Compact(all)), 20)
	})
}

// TestSharedMemberLeaves removes a member by UNSUBSCRIBE or DISCONNECT: the others get all later messages.
func TestSharedMemberLeaves(t *testing.T) {
	for name, leave := range map[string]func(c *raw.Client){
		"unsubscribes": func(c *raw.Client) {
			c.Send(raw.Unsubscribe{ID: 9, Filters: []string{"$share/g/a"}}.Bytes(c.Version))
			c.ExpectAck(raw.UNSUBACK, 9)
		},
		"disconnects": func(c *raw.Client) { c.Disconnect() },
	} {
		t.Run(name, func(t *testing.T) {
			versions(t, func(t *testing.T, s *server, version byte) {
				one, two := s.connect(t, clean(version, "one")), s.connect(t, clean(version, "two"))
				one.Subscribe(1, "$share/g/a")
				two.Subscribe(1, "$share/g/a")
				leave(one)
				publish(s.connect(t, clean(version, "pub")), "a", 1, 1, 5)
				for i := 1; i < 6; i++ {
					acknowledge(two, two.ExpectPublish("a", strconv.Itoa(i)))
				}
			})
		})
	}
}

// pair connects two members of a group and sends one message. It returns the member that has it first.
func pair(t *testing.T, s *server, version, qos byte, first raw.Connect) (has, hasNot *raw.Client, p *raw.Received) {
	t.Helper()
	has = s.connect(t, first)
	has.Subscribe(2, "$share/g/a")
	s.connect(t, clean(version, "pub")).Publish(raw.Publish{Topic: "a", Payload: "1", QoS: qos})
	p = has.ExpectPublish("a", "1")
	hasNot = s.connect(t, clean(version, "two"))
	hasNot.Subscribe(2, "$share/g/a")
	return has, hasNot, p
}

// TestSharedQoS1IsPassedOn ends the session of a member with an unacknowledged message: another member gets it
// (MQTT 5 4.8.2).
func TestSharedQoS1IsPassedOn(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		has, hasNot, _ := pair(t, s, version, 1, clean(version, "one"))
		has.Disconnect()
		acknowledge(hasNot, hasNot.ExpectPublish("a", "1"))
	})
}

// TestSharedQoS2StaysWithItsMember breaks a member's connection during a QoS 2 flow: the member gets the message when
// it comes back. If its session ends instead, nobody gets it.
func TestSharedQoS2StaysWithItsMember(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		has, hasNot, p := pair(t, s, version, 2, persistent(version, "one"))
		has.Disconnect()
		fence(t, hasNot, hasNot)
		has = s.connect(t, persistent(version, "one"))
		again := has.ExpectPublish("a", "1")
		must(t, "packet identifier", again.ID, p.ID)
		must(t, "DUP", again.Dup, true)
		has.Disconnect()
		s.connect(t, clean(version, "one")) // ends the session
		fence(t, hasNot, hasNot)
	})
}

// TestSharedRefusal has the chosen member refuse a message: no other member gets it [MQTT-4.8.2-6].
func TestSharedRefusal(t *testing.T) {
	s := start(t)
	for qos, ack := range map[byte]raw.Type{1: raw.PUBACK, 2: raw.PUBREC} {
		has, hasNot, p := pair(t, s, raw.V5, qos, clean(raw.V5, "one"))
		has.Send(raw.AckCode(ack, p.ID, 0x80))
		has.ExpectNothing()
		has.Disconnect()
		fence(t, hasNot, hasNot)
		hasNot.Disconnect()
	}
}

// TestSharedAndIdentifier checks that a message has the subscription identifier of the chosen member.
func TestSharedAndIdentifier(t *testing.T) {
	s := start(t)
	c := s.connect(t, clean(raw.V5, "c"))
	c.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "$share/g/a"}},
		Props: raw.Props{raw.Num(raw.SubscriptionIdentifier, 3)}}.Bytes(raw.V5))
	c.Expect(raw.SUBACK)
	c.Publish(raw.Publish{Topic: "a"})
	must(t, "subscription identifier", c.ExpectPublish("a", "").Props.Num(raw.SubscriptionIdentifier), 3)
}

// TestSharedWhileAllAreAway queues QoS 1 messages for one of the members while all are absent.
func TestSharedWhileAllAreAway(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		for _, id := range []string{"one", "two"} {
			c := s.connect(t, persistent(version, id))
			c.Subscribe(1, "$share/g/a")
			c.Disconnect()
		}
		pub := s.connect(t, clean(version, "pub"))
		publish(pub, "a", 1, 1, 6)
		got := map[string]int{}
		for _, id := range []string{"one", "two"} {
			c := s.connect(t, persistent(version, id))
			for _, p := range collect(t, pub, c) {
				got[p.Payload]++
				acknowledge(c, p)
			}
		}
		for i := 1; i < 7; i++ {
			must(t, "copies of "+strconv.Itoa(i), got[strconv.Itoa(i)], 1)
		}
	})
}
