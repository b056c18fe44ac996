package broker_test

import (
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/storage"
)

// unfit are texts with a character that topics may not have by default.
var unfit = []string{"a\nb", "a\x1fb", "a\x7fb", "a\u0080b", "a\u009fb", "a\ufdd0b", "a\ufffeb", "a\uffffb", "a\U0001fffeb", "a\U0010ffffb"}

// TestControlCharacters holds that no topic name, filter or will with a control character or a non-character comes in, and
// that neighbours of these characters do.
func TestControlCharacters(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	for _, version := range []byte{raw.V31, raw.V311, raw.V5} {
		k := raw.Connect{Version: version, ID: "c", Clean: true}
		filterInvalid, taken := byte(0x80), byte(0)
		if version == raw.V5 {
			filterInvalid, taken = 0x8F, 0x10
		}
		for _, text := range unfit {
			for qos := range byte(3) {
				c := s.connect(k)
				c.Send(raw.Publish{Topic: text, QoS: qos, ID: int(min(qos, 1)), Retain: true}.Bytes(version))
				c.ExpectEnd(0x81)
			}
			c := s.connect(k)
			for _, filter := range []string{text, text + "/#", "+/" + text, "$share/g/" + text, "$share/" + text + "/a"} {
				if codes := c.Subscribe(1, filter, "fine"); version == raw.V31 && codes[0] == 0 || version > raw.V31 && codes[0] != filterInvalid {
					t.Errorf("version %d, %q: SUBACK % X", version, filter, codes)
				}
			}
			c.Send(raw.Unsubscribe{ID: 9, Filters: []string{text}}.Bytes(version))
			if p := c.ExpectAck(raw.UNSUBACK, 9); version == raw.V5 && p.Codes[0] != 0x8F {
				t.Errorf("%q: %v", text, p)
			}
			c.Disconnect()
			w := k
			w.Will = &raw.Will{Topic: text, Payload: "gone"}
			c = s.dial(version)
			c.SendConnect(w)
			if version == raw.V5 {
				c.ExpectRefused(0x90)
			} else if p, err := c.Read(); err == nil && p.Code == 0 {
				t.Errorf("version %d: a will to %q is taken", version, text)
			}
			if version < raw.V5 {
				continue
			}
			c = s.connect(k)
			c.Send(raw.Publish{Topic: "a", Props: raw.Props{raw.Num(raw.MessageExpiry, 9), raw.Txt(raw.ResponseTopic, text)}}.Bytes(version))
			c.ExpectEnd(0x81)
			w.Will = &raw.Will{Topic: "a", Payload: "gone", Props: raw.Props{raw.Txt(raw.ResponseTopic, text)}}
			c = s.dial(version)
			c.SendConnect(w)
			c.ExpectRefused(0x90)
			c = s.connect(k)
			c.Send(raw.Publish{Topic: text, Props: raw.Props{raw.Num(raw.TopicAlias, 1)}}.Bytes(version))
			c.ExpectEnd(0x81)
		}
		c := s.connect(k)
		for _, text := range []string{"a b", "a~b", "a\u00a0b", "a\ufdcfb", "a\ufdf0b", "a\ufffdb", "a\U0001fffdb", "a\U0010fffdb"} {
			if code := c.Publish(raw.Publish{Topic: text, QoS: 1}); code != taken {
				t.Errorf("version %d, %q: code 0x%02X", version, text, code)
			}
		}
		c.Disconnect()
	}
	if n := s.Stats().Retained; n != 0 {
		t.Errorf("%d messages are retained", n)
	}
	if err := s.Publish(broker.Message{Topic: "a\nb"}); err == nil {
		t.Error("Broker.Publish takes a topic with a control character")
	}
}

// TestControlCharactersFromBefore starts with the store of a broker that accepted such topics. Its retained, queued and in-flight
// messages and its wills are not sent. A broker that accepts such topics again sends the retained messages.
func TestControlCharactersFromBefore(t *testing.T) {
	t.Parallel()
	store, limits := newMemoryStore(), broker.Limits{AllowControls: true}
	s := start(t, broker.Options{Store: store, Limits: limits})
	sub := s.connect(v5Durable("sub"))
	sub.Subscribe(2, "#")
	pub := s.connect(v5Durable("pub"))
	pub.Publish(raw.Publish{Topic: "under\nway", QoS: 1})
	pub.Publish(raw.Publish{Topic: "under\nway", QoS: 2})
	sub.ExpectPublish("under\nway", "")
	sub.ExpectPublish("under\nway", "")
	sub.Close()
	s.eventually("offline", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
	for _, topic := range []string{"a\nb", "fine"} {
		if code := pub.Publish(raw.Publish{Topic: topic, Payload: "1", QoS: 1, Retain: true}); code != 0 {
			t.Fatalf("%q: code 0x%02X", topic, code)
		}
	}
	k := v5Durable("dies")
	k.Will = &raw.Will{Topic: "w\nw", QoS: 1}
	s.connect(k)
	s.eventually("the will is stored", func(broker.Stats) bool { return store.count(storage.SpaceSessions) == 3 })

	s, store = s.crash(store)
	sub = s.dial(raw.V5)
	if ack := sub.Connect(v5Durable("sub")); !ack.SessionPresent {
		t.Error("no session present")
	}
	sub.Expect(raw.PUBREL) // what was under way with QoS 2 is let go
	sub.ExpectPublish("fine", "1")
	sub.ExpectNothing()
	other := s.connect(raw.Connect{Version: raw.V5, ID: "other", Clean: true})
	other.Subscribe(0, "#")
	other.ExpectPublish("fine", "1")
	s.Advance(3600e9) // the will is due
	s.eventually("what was dropped", func(st broker.Stats) bool { return st.Dropped["control_characters"] == 4 })
	other.ExpectNothing()
	if st := s.Stats(); st.Retained != 1 {
		t.Errorf("%d messages are retained, want 1", st.Retained)
	}

	s = start(t, broker.Options{Store: store.copied(), Limits: limits})
	again := s.connect(raw.Connect{Version: raw.V5, ID: "again", Clean: true})
	again.Subscribe(0, "+")
	got := map[string]bool{again.Expect(raw.PUBLISH).Topic: true, again.Expect(raw.PUBLISH).Topic: true}
	if !got["a\nb"] || !got["fine"] {
		t.Errorf("got %v", got)
	}
}
