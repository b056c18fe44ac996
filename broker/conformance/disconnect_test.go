package conformance_test

import (
	"context"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// TestDisconnect checks that the server closes the connection after a DISCONNECT and ignores later packets.
func TestDisconnect(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		sub := s.connect(t, clean(version, "sub"))
		sub.Subscribe(0, "#")
		c := s.connect(t, clean(version, "c"))
		c.Send(raw.Publish{Topic: "before"}.Bytes(version), raw.Plain(raw.DISCONNECT), raw.Publish{Topic: "after"}.Bytes(version))
		c.ExpectClosed()
		sub.ExpectPublish("before", "")
		fence(t, s.connect(t, clean(version, "pub")), sub)
	})
}

// TestDisconnectCodes sends every reason code, allowed for clients or not.
func TestDisconnectCodes(t *testing.T) {
	s := start(t)
	for _, code := range []byte{0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99} {
		c := s.connect(t, clean(raw.V5, "good"))
		c.Send(raw.Disconnect(code))
		c.ExpectClosed()
	}
	for _, code := range []byte{0x01, 0x05, 0x7F, 0x86, 0xFF} {
		c := s.connect(t, clean(raw.V5, "bad"))
		c.Send(raw.Disconnect(code))
		c.ExpectEnd(0x81, 0x82)
	}
}

// TestShutdown checks that only MQTT 5 clients get a reason at shutdown.
func TestShutdown(t *testing.T) {
	s := startOurs(t, broker.Options{})
	three, five := s.connect(t, clean(raw.V311, "three")), s.connect(t, clean(raw.V5, "five"))
	done := make(chan error, 1)
	go func() { done <- s.broker.Shutdown(context.Background()) }()
	five.ExpectEnd(0x8B)
	three.ExpectClosed()
	three.Close()
	five.Close()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestWillAtShutdown checks that the wills of sessions ended by the shutdown reach subscribers before their
// DISCONNECT.
func TestWillAtShutdown(t *testing.T) {
	for _, version := range []byte{raw.V31, raw.V311, raw.V5} {
		t.Run(names[version], func(t *testing.T) {
			s := startOurs(t, broker.Options{})
			watch := s.watchWills(t, version)
			c := s.connect(t, withWill(clean(version, "c"), "gone"))
			done := make(chan error, 1)
			go func() { done <- s.broker.Shutdown(context.Background()) }()
			watch.ExpectPublish("will", "gone")
			watch.Close()
			c.Close()
			if err := <-done; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		})
	}
}

// TestAuthWithoutMethod sends an AUTH on a connection without an authentication method.
func TestAuthWithoutMethod(t *testing.T) {
	s := start(t)
	for name, p := range map[string][]byte{
		"plain":       raw.Plain(raw.AUTH),
		"continue":    raw.Auth(0x18, raw.Txt(raw.AuthMethod, "m")),
		"again":       raw.Auth(0x19, raw.Txt(raw.AuthMethod, "m")),
		"with a code": raw.Auth(0x19),
	} {
		t.Run(name, func(t *testing.T) {
			c := s.connect(t, clean(raw.V5, "c"))
			c.Send(p)
			c.ExpectEnd(0x82)
		})
	}
	t.Run("an unknown code", func(t *testing.T) {
		c := s.connect(t, clean(raw.V5, "c"))
		c.Send(raw.Auth(0x55, raw.Txt(raw.AuthMethod, "m")))
		c.ExpectEnd(0x81, 0x82)
	})
}

// tokenAuth accepts the token "good" only.
type tokenAuth struct{}

func (tokenAuth) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	if string(c.Password) != "good" {
		return nil, &broker.Refusal{Code: broker.CodeNotAuthorized, Reason: "not good"}
	}
	return &broker.Identity{User: "u", Method: "test"}, nil
}

// TestReAuthenticate authenticates again with the method of the CONNECT (MQTT 5 4.12.1).
func TestReAuthenticate(t *testing.T) {
	s := startOurs(t, broker.Options{Hooks: []any{tokenAuth{}}})
	shown := func(data string) raw.Props {
		return raw.Props{raw.Txt(raw.AuthMethod, "token"), raw.Txt(raw.AuthData, data)}
	}
	connect := func(t *testing.T) *raw.Client {
		k := clean(raw.V5, "c")
		k.Props = append(k.Props, shown("good")...)
		c := s.dial(t, raw.V5)
		must(t, "the method in CONNACK", c.Connect(k).Props.Txt(raw.AuthMethod), "token")
		return c
	}
	t.Run("taken", func(t *testing.T) {
		c := connect(t)
		c.Send(raw.Auth(0x19, shown("good")...))
		p := c.Expect(raw.AUTH)
		must(t, "the code", p.Code, 0)
		must(t, "the method", p.Props.Txt(raw.AuthMethod), "token")
		must(t, "the number of properties", len(p.Props), 1)
	})
	t.Run("refused", func(t *testing.T) {
		c := connect(t)
		c.Send(raw.Auth(0x19, shown("bad")...))
		c.ExpectEnd(0x87)
	})
}
