package broker_test

import (
	"fmt"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

const bridgeState = "$SYS/broker/connection/host.b/state"

// bridgeLevels are the protocol levels of bridges, with what the version is and whether the level itself says 'bridge'.
var bridgeLevels = []struct {
	name    string
	version byte
	level   byte
}{{"MQIsdp", raw.V31, 0x03}, {"MQIsdp", raw.V31, 0x83}, {"MQTT", raw.V311, 0x04}, {"MQTT", raw.V311, 0x84}, {"MQTT", raw.V5, 0x05}}

// connectBridge sends the CONNECT of a bridge, with a will, and returns the code of the CONNACK.
func connectBridge(s *server, name string, version, level byte, will string) (*raw.Client, byte) {
	s.t.Helper()
	k := raw.Connect{Version: version, ID: fmt.Sprintf("host.b-%02x", level), Clean: true, Will: &raw.Will{Topic: will, Payload: "0", QoS: 1, Retain: true}}
	c := s.dial(version)
	c.Send(k.Named(name, level, k.Flags(), k.Payload()))
	return c, c.Expect(raw.CONNACK).Code
}

func TestBridgeSaysItsState(t *testing.T) {
	t.Parallel()
	for _, l := range bridgeLevels {
		t.Run(fmt.Sprintf("%#x", l.level), func(t *testing.T) {
			rules := new(list)
			rules.set("publish "+bridgeState, "publish $SYS/broker/uptime", "subscribe $SYS/broker/connection/#")
			s := start(t, broker.Options{Hooks: []any{rules}})
			watch := s.connect(raw.Connect{Version: raw.V5, ID: "watch", Clean: true})
			watch.Subscribe(1, "$SYS/broker/connection/#")
			b, code := connectBridge(s, l.name, l.version, l.level, bridgeState)
			if code != 0 {
				t.Fatalf("CONNACK 0x%02X", code)
			}
			b.Publish(raw.Publish{Topic: bridgeState, Payload: "1", QoS: 1, Retain: true})
			watch.Send(raw.Ack(raw.PUBACK, watch.ExpectPublish(bridgeState, "1").ID))
			b.Publish(raw.Publish{Topic: "$SYS/broker/uptime", Payload: "forged", QoS: 1, Retain: true})
			b.Publish(raw.Publish{Topic: "$SYS/broker/connection/other/state", Payload: "forged", QoS: 1, Retain: true})
			b.Close()
			watch.ExpectPublish(bridgeState, "0")
			late := s.connect(raw.Connect{Version: raw.V5, ID: "late", Clean: true})
			late.Subscribe(0, "$SYS/broker/connection/#")
			if p := late.ExpectPublish(bridgeState, "0"); !p.Retain {
				t.Error("the state was not retained")
			}
			late.Send(raw.Plain(raw.PINGREQ))
			for p, err := late.Read(); p.Type != raw.PINGRESP; p, err = late.Read() {
				if err != nil || p.Payload == "forged" {
					t.Fatalf("got %v, %v", p, err)
				}
			}
		})
	}
}

// TestBridgeNeedsTheRules holds that clients may say no state that the rules do not allow, and nothing else of $SYS whatever
// the rules allow.
func TestBridgeNeedsTheRules(t *testing.T) {
	t.Parallel()
	rules := new(list)
	rules.set("publish "+bridgeState, "publish $SYS/broker/uptime", "publish $SYS/broker/connection/", "publish $SYS/broker/connection", "publish $SYS")
	s := start(t, broker.Options{Hooks: []any{rules}})
	for _, l := range bridgeLevels {
		for topic, refused := range map[string]byte{ // the code of MQTT 5
			"$SYS/broker/connection/other/state": 0x87,
			"$SYS/broker/uptime":                 0x90,
			"$SYS/broker/connection/":            0x90,
			"$SYS/broker/connection":             0x90,
			"$SYS":                               0x90,
		} {
			k := raw.Connect{Version: l.version, ID: "host.b", Clean: true, Will: &raw.Will{Topic: topic, Payload: "0", QoS: 1}}
			c := s.dial(l.version)
			c.Send(k.Named(l.name, l.level, k.Flags(), k.Payload()))
			if l.version == raw.V5 {
				c.ExpectRefused(refused)
			} else {
				c.ExpectRefused(5)
			}
		}
	}
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true})
	for topic, want := range map[string]byte{bridgeState: 0x10, "$SYS/broker/uptime": 0x87, "$SYS/broker/connection/": 0x87, "$SYS": 0x87,
		"$SYS/broker/connection/other/state": 0x87} {
		if code := c.Publish(raw.Publish{Topic: topic, Payload: "1", QoS: 1}); code != want {
			t.Errorf("%s: code 0x%02X, want 0x%02X", topic, code, want)
		}
	}
}

// TestBridgeHearsNoEcho holds what the bit of a bridge in the protocol level gives its subscriptions.
func TestBridgeHearsNoEcho(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{})
	for _, l := range bridgeLevels[:4] {
		isBridge := l.level >= 0x80
		c := s.dial(l.version)
		k := raw.Connect{Version: l.version, ID: fmt.Sprint("b", l.level), Clean: true}
		c.Send(k.Named(l.name, l.level, k.Flags(), k.Payload()))
		if code := c.Expect(raw.CONNACK).Code; code != 0 {
			t.Fatalf("level %#x: CONNACK 0x%02X", l.level, code)
		}
		c.Subscribe(0, "both/#", "$share/g/shared")
		c.Publish(raw.Publish{Topic: "both/x", Payload: "its own", Retain: true})
		if !isBridge {
			c.ExpectPublish("both/x", "its own")
		}
		other := s.connect(raw.Connect{Version: raw.V311, ID: "other", Clean: true})
		other.Publish(raw.Publish{Topic: "both/y", Payload: "another's", Retain: true})
		if p := c.ExpectPublish("both/y", "another's"); p.Retain != isBridge {
			t.Errorf("level %#x: RETAIN is %v", l.level, p.Retain)
		}
		c.Publish(raw.Publish{Topic: "shared", Payload: "a job"})
		c.ExpectPublish("shared", "a job")
		c.Subscribe(0, "nothing")
		c.ExpectNothing()
		other.Publish(raw.Publish{Topic: "both/x", QoS: 1, Retain: true}) // acknowledged: the next subscriber must not see it
		other.Publish(raw.Publish{Topic: "both/y", QoS: 1, Retain: true})
		other.Disconnect()
		c.Close()
	}
}
