package conformance_test

import (
	"bytes"
	"slices"
	"strconv"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// invalid are invalid topic filters.
var invalid = []string{"a#", "a/#/b", "#/a", "##", "a/b#", "a+", "+a", "a/+b/c", "a/b+/c", "++", "\uFEFF+",
	"$share/g", "$share//a", "$share/g/", "$share/", "$share/g+/a", "$share/g#/a", "$share/+/a", "$share/g/a#", "$share/g/a/#/b"}

// filters builds filters from pairs of a name and options.
func filters(pairs ...any) (all []raw.Filter) {
	for pair := range slices.Chunk(pairs, 2) {
		options, short := pair[1].(byte)
		if !short {
			options = byte(pair[1].(int))
		}
		all = append(all, raw.Filter{Name: pair[0].(string), Options: options})
	}
	return all
}

// TestSubscribe checks that every filter gets its own answer, in order.
func TestSubscribe(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.connect(t, clean(version, "c"))
		c.Send(raw.Subscribe{ID: 0xABCD, Filters: filters("a", 0, "b", 1, "c#", 1, "+/d/#", 2)}.Bytes(version))
		failed := byte(0x80)
		if version == raw.V5 {
			failed = 0x8F
		}
		if got, want := c.ExpectAck(raw.SUBACK, 0xABCD).Codes, []byte{0, 1, failed, 2}; !bytes.Equal(got, want) {
			t.Fatalf("codes: got % X, want % X", got, want)
		}
		for _, topic := range []string{"a", "b", "x/d/y"} {
			c.Publish(raw.Publish{Topic: topic})
			c.ExpectPublish(topic, "")
		}
	})
}

func TestSubscribeInvalidFilter(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.connect(t, clean(version, "c"))
		for _, filter := range invalid {
			want := byte(0x80)
			if version == raw.V5 {
				want = 0x8F
			}
			if got := c.Subscribe(0, filter); got[0] != want {
				t.Errorf("%q: got code 0x%02X, want 0x%02X", filter, got[0], want)
			}
		}
	})
}

// TestMalformedSubscribe ends the connection.
func TestMalformedSubscribe(t *testing.T) {
	for _, k := range []struct {
		name  string
		s     raw.Subscribe
		codes []byte // of MQTT 5
		since byte   // first version with this error
	}{
		{"no filter", raw.Subscribe{ID: 1}, []byte{0x82, 0x81}, raw.V31},
		{"an empty filter", raw.Subscribe{ID: 1, Filters: filters("", 0)}, []byte{0x81, 0x82, 0x8F}, raw.V31},
		{"QoS 3", raw.Subscribe{ID: 1, Filters: filters("a", 3)}, []byte{0x82, 0x81}, raw.V31},
		{"packet identifier 0", raw.Subscribe{Filters: filters("a", 0)}, []byte{0x82, 0x81}, raw.V31},
		{"reserved bit 6", raw.Subscribe{ID: 1, Filters: filters("a", 0x40)}, []byte{0x81}, raw.V311},
		{"reserved bit 7", raw.Subscribe{ID: 1, Filters: filters("a", 0x80)}, []byte{0x81}, raw.V311},
		{"retain handling 3", raw.Subscribe{ID: 1, Filters: filters("a", 0x30)}, []byte{0x82, 0x81}, raw.V311},
		{"no local of a shared subscription", raw.Subscribe{ID: 1, Filters: filters("$share/g/a", raw.NoLocal)}, []byte{0x82}, raw.V311},
		{"subscription identifier 0", raw.Subscribe{ID: 1, Filters: filters("a", 0),
			Props: raw.Props{raw.Num(raw.SubscriptionIdentifier, 0)}}, []byte{0x82}, raw.V5},
	} {
		t.Run(k.name, func(t *testing.T) {
			versions(t, func(t *testing.T, s *server, version byte) {
				if version < k.since {
					t.Skip("no error in this version")
				}
				c := s.connect(t, clean(version, "c"))
				c.Send(k.s.Bytes(version))
				c.ExpectEnd(k.codes...)
			})
		})
	}
}

// TestSubscriptionIsReplaced subscribes twice to one filter.
func TestSubscriptionIsReplaced(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c, pub := s.connect(t, clean(version, "c")), s.connect(t, clean(version, "pub"))
		for _, qos := range []byte{0, 2, 1} {
			c.Subscribe(qos, "a/+")
			pub.Publish(raw.Publish{Topic: "a/b", Payload: "x", QoS: 2})
			p := c.ExpectPublish("a/b", "x")
			must(t, "QoS", p.QoS, qos)
			acknowledge(c, p)
			fence(t, pub, c)
		}
	})
}

func TestNoLocal(t *testing.T) {
	s := start(t)
	c, other := s.connect(t, persistent(raw.V5, "c")), s.connect(t, clean(raw.V5, "other"))
	c.Subscribe(1|raw.NoLocal, "a")
	other.Subscribe(1|raw.NoLocal, "a")
	c.Publish(raw.Publish{Topic: "a", Payload: "mine", QoS: 1})
	other.ExpectPublish("a", "mine")
	other.Publish(raw.Publish{Topic: "a", Payload: "yours", QoS: 1})
	acknowledge(c, c.ExpectPublish("a", "yours"))
	fence(t, other, c)

	c.Disconnect() // the option stays with the session, and the client is the same on its next connection
	c = s.connect(t, persistent(raw.V5, "c"))
	c.Publish(raw.Publish{Topic: "a", Payload: "mine", QoS: 1})
	fence(t, c, c)
	c.Subscribe(1, "a")
	c.Publish(raw.Publish{Topic: "a", Payload: "mine"})
	c.ExpectPublish("a", "mine")
}

// identifiers returns the subscription identifiers of messages, in ascending order.
func identifiers(messages ...*raw.Received) (ids []int) {
	for _, m := range messages {
		for _, p := range m.Props.All(raw.SubscriptionIdentifier) {
			ids = append(ids, p.N)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestSubscriptionIdentifiers(t *testing.T) {
	s := start(t)
	c, pub := s.connect(t, persistent(raw.V5, "c")), s.connect(t, clean(raw.V5, "pub"))
	sub := func(filter string, id int) {
		x := raw.Subscribe{ID: c.PacketID(), Filters: []raw.Filter{{Name: filter, Options: 1}}}
		if id > 0 {
			x.Props = raw.Props{raw.Num(raw.SubscriptionIdentifier, id)}
		}
		c.Send(x.Bytes(raw.V5))
		c.Expect(raw.SUBACK)
	}
	want := func(topic string, ids ...int) {
		t.Helper()
		pub.Publish(raw.Publish{Topic: topic, QoS: 1})
		messages := collect(t, pub, c) // one copy with all of them, or one for each
		if got := identifiers(messages...); len(messages) == 0 || !slices.Equal(got, ids) {
			t.Fatalf("%s: got %v in %v, want %v", topic, got, messages, ids)
		}
		for _, m := range messages {
			acknowledge(c, m)
		}
	}
	sub("a/#", 1)
	sub("a/b", 268_435_455)
	sub("c", 128)
	sub("d", 0)
	want("a/x", 1)
	want("a/b", 1, 268_435_455)
	want("c", 128)
	want("d")
	sub("a/+", 0) // has no identifier
	want("a/b", 1, 268_435_455)
	sub("a/b", 7) // replaces the subscription
	want("a/b", 1, 7)
	sub("a/#", 0)
	want("a/b", 7)

	c.Disconnect() // queued messages have them too, and messages on the next connection
	pub.Publish(raw.Publish{Topic: "c", QoS: 1})
	c = s.connect(t, persistent(raw.V5, "c"))
	if got := identifiers(c.ExpectPublish("c", "")); !slices.Equal(got, []int{128}) {
		t.Errorf("identifiers of a queued message: got %v, want 128", got)
	}
	want("a/b", 7)
}

func TestUnsubscribe(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c, pub := s.connect(t, clean(version, "c")), s.connect(t, clean(version, "pub"))
		c.Subscribe(1, "a/+", "a/b", "$share/g/c")
		c.Send(raw.Unsubscribe{ID: 0x1234, Filters: []string{"a/+", "x", "a/c", "$share/g/c", "c"}}.Bytes(version))
		p := c.ExpectAck(raw.UNSUBACK, 0x1234)
		if want := []byte{0, 0x11, 0x11, 0, 0x11}; version == raw.V5 && !bytes.Equal(p.Codes, want) {
			t.Fatalf("codes: got % X, want % X", p.Codes, want)
		}
		pub.Publish(raw.Publish{Topic: "a/c", QoS: 1})
		pub.Publish(raw.Publish{Topic: "c", QoS: 1})
		pub.Publish(raw.Publish{Topic: "a/b", QoS: 1})
		acknowledge(c, c.ExpectPublish("a/b", ""))
		fence(t, pub, c)
		c.Send(raw.Unsubscribe{ID: 7, Filters: []string{"a/b"}}.Bytes(version))
		c.ExpectAck(raw.UNSUBACK, 7)
		pub.Publish(raw.Publish{Topic: "a/b", QoS: 1})
		fence(t, pub, c)
	})
}

// TestUnsubscribeFinishesWhatWasSent completes the flow of a message that was sent before the UNSUBSCRIBE.
func TestUnsubscribeFinishesWhatWasSent(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.connect(t, persistent(version, "c"))
		c.Subscribe(2, "a")
		s.connect(t, clean(version, "pub")).Publish(raw.Publish{Topic: "a", QoS: 2})
		first := c.ExpectPublish("a", "")
		c.Send(raw.Unsubscribe{ID: 7, Filters: []string{"a"}}.Bytes(version))
		c.ExpectAck(raw.UNSUBACK, 7)
		c.Close()
		c = s.connect(t, persistent(version, "c"))
		again := c.ExpectPublish("a", "")
		must(t, "packet identifier", again.ID, first.ID)
		acknowledge(c, again)
		c.ExpectNothing()
	})
}

func TestMalformedUnsubscribe(t *testing.T) {
	for _, k := range []struct {
		name string
		u    raw.Unsubscribe
	}{
		{"no filter", raw.Unsubscribe{ID: 1}},
		{"an empty filter", raw.Unsubscribe{ID: 1, Filters: []string{""}}},
		{"packet identifier 0", raw.Unsubscribe{Filters: []string{"a"}}},
	} {
		t.Run(k.name, func(t *testing.T) {
			versions(t, func(t *testing.T, s *server, version byte) {
				c := s.connect(t, clean(version, "c"))
				c.Send(k.u.Bytes(version))
				c.ExpectEnd(0x81, 0x82, 0x8F)
			})
		})
	}
}

func TestSubscriptionLimit(t *testing.T) {
	for _, version := range []byte{raw.V311, raw.V5} {
		t.Run(names[version], func(t *testing.T) {
			s := startOurs(t, broker.Options{Limits: broker.Limits{MaxSubscriptions: 2}})
			c := s.connect(t, clean(version, "c"))
			want := []byte{0, 0, 0x80}
			if version == raw.V5 {
				want[2] = 0x97
			}
			if got := c.Subscribe(0, "a", "b", "c"); !bytes.Equal(got, want) {
				t.Errorf("codes: got % X, want % X", got, want)
			}
			must(t, "code of one that is replaced", c.Subscribe(1, "b")[0], 1)
		})
	}
}

// TestTopicMatching subscribes to filters, publishes to topics and checks which messages come.
func TestTopicMatching(t *testing.T) {
	topics := []string{"sport", "Sport", " sport", "sport/", "/sport", "sport/tennis", "sport/tennis/player1", "sport//player1",
		"/", "//", "日本/x", "\uFEFFsport", "sport/tennis/player1/ranking"}
	for filter, want := range map[string][]int{
		"sport":                  {0},
		"sport/#":                {0, 3, 5, 6, 7, 12},
		"sport/+":                {3, 5},
		"sport/tennis/#":         {5, 6, 12},
		"sport/+/player1":        {6, 7},
		"sport/tennis/player1/#": {6, 12},
		"#":                      {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
		"+":                      {0, 1, 2, 11},
		"/+":                     {4, 8},
		"+/+":                    {3, 4, 5, 8, 10},
		"+/#":                    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
		"+/+/#":                  {3, 4, 5, 6, 7, 8, 9, 10, 12},
		"/#":                     {4, 8, 9},
		"//":                     {9},
		"日本/+":                   {10},
		"\uFEFFsport":            {11},
		"sport/tennis/+/+":       {12},
	} {
		t.Run(strconv.Quote(filter), func(t *testing.T) {
			versions(t, func(t *testing.T, s *server, version byte) {
				c, pub := s.connect(t, clean(version, "c")), s.connect(t, clean(version, "pub"))
				c.Subscribe(0, filter)
				for _, topic := range topics {
					pub.Publish(raw.Publish{Topic: topic, Payload: topic})
				}
				var got []int
				for _, p := range collect(t, pub, c) {
					must(t, "topic", p.Topic, p.Payload)
					got = append(got, slices.Index(topics, p.Topic))
				}
				if !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		})
	}
}

// TestDollarTopics checks that a wildcard at the first level does not match topics that begin with $.
func TestDollarTopics(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		wide, near := s.connect(t, clean(version, "wide")), s.connect(t, clean(version, "near"))
		pub := s.connect(t, clean(version, "pub"))
		wide.Subscribe(0, "#", "+/x", "+/#")
		near.Subscribe(0, "$own/#")
		if s.broker != nil { // a broker may forbid clients to publish to such topics; the embedding program may
			if err := s.broker.Publish(broker.Message{Topic: "$own/x", Payload: []byte("1")}); err != nil {
				t.Fatal(err)
			}
			near.ExpectPublish("$own/x", "1")
		}
		pub.Publish(raw.Publish{Topic: "$own/x", Payload: "2"})
		for _, p := range collect(t, pub, wide) {
			t.Errorf("got %v", p)
		}
	})
}
