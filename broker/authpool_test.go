package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// tokens lets in who shows "token", and is not concerned with others.
type tokens struct{}

func (tokens) Guessable(*broker.Credentials) bool { return false }

func (tokens) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	if string(c.Password) != "token" {
		return nil, broker.ErrNotConcerned
	}
	return &broker.Identity{User: c.Username, Method: "tokens"}, nil
}

// hashes takes until it is released to check a password.
type hashes struct {
	keeper
	release chan struct{}
}

func (h hashes) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	select {
	case <-h.release:
	case <-ctx.Done():
	}
	return h.keeper.Authenticate(ctx, c)
}

// Passwords take long to check, and clients with tokens don't wait for them.
func TestTokensDoNotWaitForPasswords(t *testing.T) {
	t.Parallel()
	slow := hashes{release: make(chan struct{})}
	s := start(t, broker.Options{Hooks: []any{tokens{}, slow}})
	var waiting []*raw.Client
	for range 20 {
		c := s.dial(raw.V5)
		c.SendConnect(login("", "bob", "open"))
		waiting = append(waiting, c)
	}
	s.eventually("16 wait behind the 4 that are checked", func(st broker.Stats) bool { return st.Waiting == 16 })
	began := time.Now()
	s.connect(login("a", "ann", "token"))
	t.Logf("let in after %v", time.Since(began))
	close(slow.release)
	for _, c := range waiting {
		if got := c.Expect(raw.CONNACK); got.Code != 0 {
			t.Errorf("%v for a password that was right", got)
		}
	}
}
