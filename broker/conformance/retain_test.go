package conformance_test

import (
	"slices"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// subscribe subscribes to one filter and returns the retained messages that come.
func subscribe(t *testing.T, c *raw.Client, filter string, options byte) []string {
	t.Helper()
	c.Send(raw.Subscribe{ID: c.PacketID(), Filters: []raw.Filter{{Name: filter, Options: options}}}.Bytes(c.Version))
	c.Expect(raw.SUBACK)
	var got []string
	for _, p := range collect(t, c, c) {
		if !p.Retain {
			t.Errorf("%v was retained and does not say so", p)
		}
		got = append(got, p.Topic+"="+p.Payload)
	}
	slices.Sort(got)
	return got
}

func mustRetain(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("retained messages: got %q, want %q", got, want)
	}
}

func TestRetained(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		pub := s.connect(t, clean(version, "pub"))
		keep := func(topic, payload string, qos byte, retain bool) {
			pub.Publish(raw.Publish{Topic: topic, Payload: payload, QoS: qos, Retain: retain})
		}
		keep("a/1", "old", 1, true)
		keep("a/1", "new", 0, true) // replaces the first, in spite of QoS 0
		keep("a/1", "passing", 1, false)
		keep("a/2", "x", 2, true)
		keep("a/3", "gone", 1, true)
		keep("a/3", "", 0, true)
		keep("b", "", 1, true) // is never retained
		pub.Disconnect()       // retained messages are no part of a session

		c := s.connect(t, clean(version, "c"))
		mustRetain(t, subscribe(t, c, "a/1", 1), "a/1=new")
		mustRetain(t, subscribe(t, c, "a/+", 1), "a/1=new", "a/2=x")
		mustRetain(t, subscribe(t, c, "a/+", 1), "a/1=new", "a/2=x") // replaces the subscription
		mustRetain(t, subscribe(t, c, "#", 0), "a/1=new", "a/2=x")
		mustRetain(t, subscribe(t, c, "b", 0))
	})
}

// TestRetainedQoS checks that retained messages are sent at the lower of the two QoS.
func TestRetainedQoS(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		pub := s.connect(t, clean(version, "pub"))
		for qos := range byte(3) {
			pub.Publish(raw.Publish{Topic: "a", Payload: "x", QoS: qos, Retain: true})
			pub.ExpectNothing() // nothing acknowledges QoS 0
			for most := range byte(3) {
				c := s.connect(t, clean(version, "c"))
				c.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "a", Options: most}}}.Bytes(version))
				c.Expect(raw.SUBACK)
				p := c.ExpectPublish("a", "x")
				must(t, "QoS", p.QoS, min(qos, most))
				must(t, "retain", p.Retain, true)
				must(t, "DUP", p.Dup, false)
				acknowledge(c, p)
				c.Disconnect()
			}
		}
	})
}

// TestRetainFlagOfSubscribers checks the RETAIN flag of live messages, with and without retain as published.
func TestRetainFlagOfSubscribers(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		pub := s.connect(t, clean(version, "pub"))
		plain, published := s.connect(t, clean(version, "plain")), s.connect(t, clean(raw.V5, "published"))
		plain.Subscribe(1, "a")
		published.Subscribe(1|raw.RetainAsPublished, "a")
		for _, payload := range []string{"x", ""} { // an empty payload is forwarded like any other
			for _, retain := range []bool{true, false} {
				pub.Publish(raw.Publish{Topic: "a", Payload: payload, QoS: 1, Retain: retain})
				must(t, "retain", plain.ExpectPublish("a", payload).Retain, false)
				must(t, "retain as published", published.ExpectPublish("a", payload).Retain, retain)
			}
		}
	})
}

func TestRetainHandling(t *testing.T) {
	s := start(t)
	c := s.connect(t, clean(raw.V5, "c"))
	c.Publish(raw.Publish{Topic: "a", Payload: "x", QoS: 1, Retain: true})
	mustRetain(t, subscribe(t, c, "a", raw.RetainNever))
	mustRetain(t, subscribe(t, c, "a", raw.RetainIfNew))
	mustRetain(t, subscribe(t, c, "a", 0), "a=x")
	mustRetain(t, subscribe(t, c, "a", 0), "a=x")
	c.Send(raw.Unsubscribe{ID: 99, Filters: []string{"a"}}.Bytes(raw.V5))
	c.Expect(raw.UNSUBACK)
	mustRetain(t, subscribe(t, c, "a", raw.RetainIfNew), "a=x")
	mustRetain(t, subscribe(t, c, "a", raw.RetainIfNew|1))
	mustRetain(t, subscribe(t, c, "+", raw.RetainIfNew), "a=x")
	mustRetain(t, subscribe(t, c, "#", raw.RetainAsPublished), "a=x")

	x := persistent(raw.V5, "lasting")
	c = s.connect(t, x)
	mustRetain(t, subscribe(t, c, "a", 0), "a=x")
	c.Disconnect()
	c = s.connect(t, x)
	mustRetain(t, subscribe(t, c, "a", raw.RetainIfNew)) // the session already has the subscription
}

// TestRetainedAndShared checks that a shared subscription gets no retained messages (MQTT 5 4.8.2).
func TestRetainedAndShared(t *testing.T) {
	s := start(t)
	c := s.connect(t, clean(raw.V5, "c"))
	c.Publish(raw.Publish{Topic: "a", Payload: "x", QoS: 1, Retain: true})
	mustRetain(t, subscribe(t, c, "$share/g/a", 0))
}
