package broker_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// quick knows the user "known" at once and is not concerned with "stranger"; the others it lets in when it is asked the other way.
type quick struct{ asked, quickly atomic.Int32 }

func (q *quick) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	q.asked.Add(1)
	if c.Username == "stranger" {
		return nil, broker.ErrNotConcerned
	}
	return &broker.Identity{User: c.Username}, nil
}

func (q *quick) AuthenticateQuickly(c *broker.Credentials) (*broker.Identity, bool) {
	q.quickly.Add(1)
	switch c.Username {
	case "known":
		return &broker.Identity{User: "known"}, true
	case "stranger":
		return nil, true
	}
	return nil, false
}

// slowOnly lets "stranger" in, and can tell the other way only.
type slowOnly struct{ asked atomic.Int32 }

func (a *slowOnly) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	a.asked.Add(1)
	return &broker.Identity{User: c.Username}, nil
}

// TestQuickAuthenticator counts who is asked for whom.
func TestQuickAuthenticator(t *testing.T) {
	t.Parallel()
	first, last := new(quick), new(slowOnly)
	s := start(t, broker.Options{Hooks: []any{first, last}})
	for _, test := range []struct {
		user                    string
		quickly, asked, askLast int32
	}{{"known", 1, 0, 0}, {"other", 1, 1, 0}, {"stranger", 1, 1, 1}} {
		first.quickly.Store(0)
		first.asked.Store(0)
		last.asked.Store(0)
		s.connect(raw.Connect{Version: raw.V5, ID: test.user, Clean: true, User: &test.user})
		if q, a, l := first.quickly.Load(), first.asked.Load(), last.asked.Load(); q != test.quickly || a != test.asked || l != test.askLast {
			t.Errorf("%s: asked %d times quickly, %d times the first, %d times the last; want %d, %d, %d",
				test.user, q, a, l, test.quickly, test.asked, test.askLast)
		}
	}
}
