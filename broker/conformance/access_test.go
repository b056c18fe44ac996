package conformance_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// passwordAuth authenticates users by password and denies topics below "secret" to everybody.
type passwordAuth map[string]string // by user; a user named like a Refusal's reason is refused with its code

var refusals = map[string]byte{
	"password": broker.CodeBadUserOrPassword, "rights": broker.CodeNotAuthorized, "away": broker.CodeServerUnavailable,
	"banned": broker.CodeBanned, "busy": broker.CodeServerBusy,
}

func (d passwordAuth) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	if code, refused := refusals[c.Username]; refused {
		return nil, &broker.Refusal{Code: code, Reason: c.Username, Label: "test"}
	}
	if d[c.Username] != string(c.Password) {
		return nil, &broker.Refusal{Code: broker.CodeBadUserOrPassword, Reason: "wrong", Label: "test"}
	}
	return &broker.Identity{User: c.Username}, nil
}

func (d passwordAuth) Authorize(_ *broker.Client, _ broker.Action, topic string) bool {
	return !strings.HasPrefix(topic, "secret")
}

func as(k raw.Connect, user, password string) raw.Connect {
	k.User, k.Password = &user, &password
	return k
}

func startWithAuth(t *testing.T) *server {
	return startOurs(t, broker.Options{Hooks: []any{passwordAuth{"ann": "\x00 a", "bob": "b"}}})
}

func TestRefusedCredentials(t *testing.T) {
	for user, code3 := range map[string]byte{"password": 4, "rights": 5, "away": 3, "banned": 5, "busy": 3, "ann": 4, "bob": 0} {
		t.Run(user, func(t *testing.T) {
			s := startWithAuth(t)
			for version := range names {
				c := s.dial(t, version)
				c.SendConnect(as(clean(version, "c"), user, "b"))
				code := code3
				if version == raw.V5 && code != 0 {
					if code = refusals[user]; code == 0 {
						code = broker.CodeBadUserOrPassword
					}
				}
				p := c.Expect(raw.CONNACK)
				must(t, names[version]+": code", p.Code, code)
				if code != 0 {
					c.ExpectClosed()
				}
			}
		})
	}
}

// TestClientIDOfAnotherUser checks that a session belongs to the user that created it.
func TestClientIDOfAnotherUser(t *testing.T) {
	s := startWithAuth(t)
	ann := s.connect(t, as(persistent(raw.V5, "c"), "ann", "\x00 a"))
	for version, code := range map[byte]byte{raw.V31: 2, raw.V311: 2, raw.V5: 0x85} {
		c := s.dial(t, version)
		c.SendConnect(as(clean(version, "c"), "bob", "b"))
		c.ExpectRefused(code)
	}
	ann.ExpectNothing()
}

// TestNotAuthorized checks the answers to unauthorized requests. A 3.x publisher cannot be told: its message is
// acknowledged and dropped [MQTT-3.3.5-2].
func TestNotAuthorized(t *testing.T) {
	for _, version := range []byte{raw.V31, raw.V311, raw.V5} {
		t.Run(names[version], func(t *testing.T) {
			s := startWithAuth(t)
			c := s.connect(t, as(clean(version, "c"), "bob", "b"))
			var code, failed byte = 0, 0x80
			if version == raw.V5 {
				code, failed = 0x87, 0x87
			}
			got := c.Subscribe(1, "secret/a", "open", "$share/g/secret")
			if want := []byte{failed, 1, failed}; !bytes.Equal(got, want) {
				t.Errorf("codes of SUBACK: got % X, want % X", got, want)
			}
			for qos := byte(1); qos < 3; qos++ {
				for range 2 { // the second publish reuses the identifier, which is free again [MQTT-4.3.3-9]
					must(t, "code", c.Publish(raw.Publish{Topic: "secret/a", QoS: qos, ID: 9}), code)
				}
			}
			c.Publish(raw.Publish{Topic: "secret/a"})
			c.Publish(raw.Publish{Topic: "open", Payload: "still here"})
			c.ExpectPublish("open", "still here")

			k := as(clean(version, "w"), "bob", "b")
			k.Will = &raw.Will{Topic: "secret/will"}
			d := s.dial(t, version)
			d.SendConnect(k)
			if version == raw.V5 {
				d.ExpectRefused(0x87)
			} else {
				d.ExpectRefused(5)
			}
		})
	}
}
