package conformance_test

import (
	"strconv"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// aliased is a message with a topic alias.
func aliased(topic, payload string, alias int) raw.Publish {
	return raw.Publish{Topic: topic, Payload: payload, Props: raw.Props{raw.Num(raw.TopicAlias, alias)}}
}

func TestTopicAliasOfClient(t *testing.T) {
	s := start(t)
	sub := s.connect(t, clean(raw.V311, "sub"))
	sub.Subscribe(0, "#")
	c, p := s.open(t, clean(raw.V5, "c"))
	most := p.Props.Num(raw.TopicAliasMaximum)
	for alias := 1; alias <= most; alias++ { // [MQTT-3.3.2-12]
		c.Publish(aliased("a/"+strconv.Itoa(alias), "set", alias))
		c.Publish(aliased("", "used", alias))
		sub.ExpectPublish("a/"+strconv.Itoa(alias), "set")
		sub.ExpectPublish("a/"+strconv.Itoa(alias), "used")
	}
	c.Publish(aliased("b", "changed", 1))
	c.Publish(aliased("", "used", 1))
	c.Publish(aliased("", "other", 2))
	sub.ExpectPublish("b", "changed")
	sub.ExpectPublish("b", "used")
	sub.ExpectPublish("a/2", "other")
}

func TestTopicAliasInvalid(t *testing.T) {
	s := start(t)
	_, p := s.open(t, clean(raw.V5, "c"))
	for _, k := range []struct {
		name string
		m    raw.Publish
		code byte
	}{
		{"zero", aliased("a", "", 0), 0x94},
		{"above the maximum", aliased("a", "", p.Props.Num(raw.TopicAliasMaximum)+1), 0x94},
		{"never set", aliased("", "", 1), 0x82},
	} {
		t.Run(k.name, func(t *testing.T) {
			c := s.connect(t, clean(raw.V5, k.name))
			c.Send(k.m.Bytes(raw.V5))
			c.ExpectEnd(k.code)
		})
	}
}

// TestTopicAliasEndsWithConnection checks that aliases end with the connection, even if the session goes on.
func TestTopicAliasEndsWithConnection(t *testing.T) {
	s := start(t)
	c := s.connect(t, persistent(raw.V5, "c"))
	c.Publish(aliased("a", "", 1))
	c.Disconnect()
	c = s.connect(t, persistent(raw.V5, "c"))
	c.Send(aliased("", "", 1).Bytes(raw.V5))
	c.ExpectEnd(0x82)
}

// TestTopicAliasOfServer receives many topics with few aliases. raw.Client fails the test if an alias is above the
// maximum, unknown, or sent without permission.
func TestTopicAliasOfServer(t *testing.T) {
	for _, most := range []int{0, 1, 2, 100} {
		t.Run(strconv.Itoa(most), func(t *testing.T) {
			s := start(t)
			k := persistent(raw.V5, "c")
			k.Props = append(k.Props, raw.Num(raw.TopicAliasMaximum, most))
			c := s.connect(t, k)
			c.Subscribe(1, "#")
			pub := s.connect(t, clean(raw.V5, "pub"))
			for range 2 {
				for round := range 3 {
					for topic := range 5 {
						name := "topics/" + strconv.Itoa(topic)
						pub.Publish(raw.Publish{Topic: name, Payload: strconv.Itoa(round), QoS: byte(round % 2)})
						acknowledge(c, c.ExpectPublish(name, strconv.Itoa(round)))
					}
				}
				c.Disconnect() // again, without the aliases of the last connection
				c = s.connect(t, k)
			}
		})
	}
	t.Run("absent", func(t *testing.T) {
		s := start(t)
		c, pub := s.connect(t, clean(raw.V5, "c")), s.connect(t, clean(raw.V5, "pub"))
		c.Subscribe(0, "a")
		for range 5 {
			pub.Publish(aliased("a", "", 1))
			must(t, "topic alias", c.ExpectPublish("a", "").Props.Has(raw.TopicAlias), false)
		}
	})
}

// TestTopicAliasOfResend leaves aliased messages unacknowledged. Resent messages must not use an alias that the new
// connection does not know.
func TestTopicAliasOfResend(t *testing.T) {
	s := startOurs(t, broker.Options{Limits: broker.Limits{MaxTopicAliasOut: 4}})
	k := persistent(raw.V5, "c")
	k.Props = append(k.Props, raw.Num(raw.TopicAliasMaximum, 4))
	c := s.connect(t, k)
	c.Subscribe(1, "a")
	publish(s.connect(t, clean(raw.V5, "pub")), "a", 1, 1, 5)
	for i := 1; i < 6; i++ {
		c.ExpectPublish("a", strconv.Itoa(i))
	}
	c.Close()
	c = s.connect(t, k)
	for i := 1; i < 6; i++ {
		c.ExpectPublish("a", strconv.Itoa(i))
	}
	c.Close()
	c = s.connect(t, persistent(raw.V5, "c"))
	for i := 1; i < 6; i++ {
		c.ExpectPublish("a", strconv.Itoa(i))
	}
}
