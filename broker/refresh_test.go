package broker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// notary takes tokens that say it themselves: "USER FILTER,FILTER SECONDS".
type notary struct{}

func token(user, filters string, seconds int) string {
	return fmt.Sprint(user, " ", filters, " ", seconds)
}

func (notary) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	parts := strings.Split(string(c.Password), " ")
	if len(parts) != 3 {
		return nil, &broker.Refusal{Code: broker.CodeBadUserOrPassword, Reason: "not a token", Label: "malformed"}
	}
	left, err := time.ParseDuration(parts[2] + "s")
	if err != nil {
		return nil, err
	}
	return &broker.Identity{User: parts[0], Claims: map[string]any{"filters": parts[1]}, Expires: time.Now().Add(left)}, nil
}

func (notary) Authorize(c *broker.Client, _ broker.Action, topic string) bool {
	filters, _ := c.Identity.Claims["filters"].(string)
	return slices.Contains(strings.Split(filters, ","), topic)
}

// told reads what a client is told on a topic of its own.
func told(t *testing.T, c *raw.Client, topic string) (notice map[string]any) {
	t.Helper()
	p := c.Expect(raw.PUBLISH)
	if err := json.Unmarshal([]byte(p.Payload), &notice); err != nil || p.Topic != topic {
		t.Fatalf("got %v, want a notice on %s", p, topic)
	}
	return notice
}

func TestTokenIsRefreshedByPublishing(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{notary{}}})
	for _, version := range []byte{raw.V311, raw.V5} {
		for qos := range byte(3) {
			t.Run(fmt.Sprintf("version %d, QoS %d", version, qos), func(t *testing.T) {
				id := fmt.Sprint(version, qos)
				k := raw.Connect{Version: version, ID: id, Clean: true, User: ptr("ann"), Password: ptr(token("ann", "old,both", 1000))}
				c := raw.New(t, s.conn(s.tcp), version)
				c.Connect(k)
				c.Subscribe(1, "old", "both")
				c.Subscribe(0, "$me/token", "$me/subscriptions")
				if got := told(t, c, "$me/token"); got["event"] != "current" || got["seconds"].(float64) < 900 {
					t.Errorf("told %v", got)
				}
				show := func(token string) (code byte, notices []map[string]any) {
					id := c.PacketID()
					c.Send(raw.Publish{Topic: "$auth/token", Payload: token, QoS: qos, ID: id, Retain: true}.Bytes(version))
					if qos > 0 {
						code = c.ExpectAck([]raw.Type{0, raw.PUBACK, raw.PUBREC}[qos], id).Code
					}
					notices = append(notices, told(t, c, "$me/token"))
					if notices[0]["event"] == "refreshed" {
						notices = append(notices, told(t, c, "$me/subscriptions"))
					}
					if qos == 2 && code == 0 {
						c.Send(raw.Ack(raw.PUBREL, id))
						c.ExpectAck(raw.PUBCOMP, id)
					}
					return code, notices
				}
				for name, bad := range map[string]string{"none": "", "nonsense": "x", "another user's": token("bob", "old,both,new", 100)} {
					code, got := show(bad)
					if want := version == raw.V5 && qos > 0; want != (code == 0x87) {
						t.Errorf("%s: code 0x%02X", name, code)
					}
					if got[0]["event"] != "refused" || got[0]["reason"] == "" {
						t.Errorf("%s: told %v", name, got)
					}
				}
				code, got := show(token("ann", "both,new", 5000))
				if code != 0 || got[0]["event"] != "refreshed" || got[0]["seconds"].(float64) < 4900 || fmt.Sprint(got[1]["ended"]) != "[old]" {
					t.Errorf("code 0x%02X, told %v", code, got)
				}
				if got := c.Subscribe(0, "new", "old"); got[0] != 0 || got[1] < 0x80 {
					t.Errorf("SUBACK % X", got)
				}
				c.Publish(raw.Publish{Topic: "new", Payload: "x"})
				c.ExpectPublish("new", "x")
			})
		}
	}
	if st := s.Stats(); st.Retained != 0 {
		t.Error("a token is retained")
	}
}

func TestTokenIsRefreshedByAuth(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{notary{}}})
	connect := func(t *testing.T, id string) *raw.Client {
		c := raw.New(t, s.conn(s.tcp), raw.V5)
		ack := c.Connect(raw.Connect{Version: raw.V5, ID: id, Clean: true, Props: raw.Props{
			raw.Txt(raw.AuthMethod, "token"), raw.Txt(raw.AuthData, token("ann", "old", 1000))}})
		if ack.Props.Txt(raw.AuthMethod) != "token" {
			t.Errorf("%v does not name the method [MQTT-4.12.0-5]", ack)
		}
		return c
	}
	auth := func(data string) []byte {
		return raw.Auth(0x19, raw.Txt(raw.AuthMethod, "token"), raw.Txt(raw.AuthData, data))
	}
	c := connect(t, "c")
	c.Subscribe(0, "old")
	c.Send(auth(token("ann", "new", 1000)))
	if got := c.Expect(raw.AUTH); got.Code != 0 || got.Props.Txt(raw.AuthMethod) != "token" {
		t.Errorf("got %v", got)
	}
	if got := c.Subscribe(0, "new", "old"); got[0] != 0 || got[1] != 0x87 {
		t.Errorf("SUBACK % X", got)
	}
	for name, test := range map[string]struct {
		packet []byte
		code   byte
	}{
		"a bad token":          {auth("x"), 0x87},
		"another user's token": {auth(token("bob", "new", 1000)), 0x87},
		"another method":       {raw.Auth(0x19, raw.Txt(raw.AuthMethod, "other")), 0x82},
		"continue":             {raw.Auth(0x18, raw.Txt(raw.AuthMethod, "token")), 0x82},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, "d")
			c.Send(test.packet)
			c.ExpectEnd(test.code)
		})
	}
}

func TestTokenThatExpiresIsAnnounced(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{notary{}}})
	c := s.connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true, Password: ptr(token("ann", "a", 1000))})
	c.Subscribe(0, "$me/#")
	told(t, c, "$me/token")
	s.Advance(930 * time.Second)
	c.ExpectNothing()
	s.Advance(15 * time.Second)
	if got := told(t, c, "$me/token"); got["event"] != "expiring" || got["seconds"].(float64) > 60 {
		t.Errorf("told %v", got)
	}
	c.ExpectNothing()
	c.Publish(raw.Publish{Topic: "$auth/token", Payload: token("ann", "a", 1000), QoS: 1})
	told(t, c, "$me/token")
	s.Advance(200 * time.Second)
	c.ExpectNothing() // the old expiry has passed
	s.Advance(745 * time.Second)
	if got := told(t, c, "$me/token"); got["event"] != "expiring" {
		t.Errorf("told %v", got)
	}
	s.Advance(100 * time.Second)
	c.ExpectEnd(0x87)
}
