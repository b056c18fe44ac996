package broker_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// farFuture gives identities that last longer than the broker's clock and JSON go.
type farFuture struct{}

var farAway = time.Date(10_000, time.January, 1, 0, 0, 30, 0, time.UTC)

func (farFuture) Authenticate(context.Context, *broker.Credentials) (*broker.Identity, error) {
	return &broker.Identity{User: "ann", Expires: farAway}, nil
}

func TestIdentityOfTheFarFuture(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{farFuture{}}})
	c := raw.New(t, s.conn(s.tcp), raw.V5)
	c.Connect(raw.Connect{Version: raw.V5, ID: "c", Clean: true, KeepAlive: 1, User: ptr("ann"), Password: ptr("x")})
	c.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "$me/token"}}}.Bytes(raw.V5))
	c.Expect(raw.SUBACK)
	notice := told(t, c, "$me/token")
	left := time.Until(time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)) // of 292 years, the most that it can be
	if seconds, _ := notice["seconds"].(float64); notice["expires"] != "9999-12-31T23:59:59Z" || seconds < left.Seconds() {
		t.Errorf("told %v", notice)
	}
	for range 4 { // longer than the keep alive, so that the timer fires
		s.Skip(time.Second)
		c.Send(raw.Plain(raw.PINGREQ))
		c.Expect(raw.PINGRESP)
	}
}

// TestTimesBeyondTheWire configures times that no packet can carry.
func TestTimesBeyondTheWire(t *testing.T) {
	t.Parallel()
	century := 100 * 365 * 24 * time.Hour
	s := start(t, broker.Options{Limits: broker.Limits{ServerKeepAlive: 65536 * time.Second, MaxSessionExpiry: 2 * century}})
	c := raw.New(t, s.conn(s.tcp), raw.V5)
	ack := c.Connect(raw.Connect{Version: raw.V5, ID: "c", Props: raw.Props{raw.Num(raw.SessionExpiry, raw.Never)}})
	if got := ack.Props.Num(raw.ServerKeepAlive); got != math.MaxUint16 {
		t.Errorf("a keep alive of %d s", got)
	}
	if got := uint32(ack.Props.Num(raw.SessionExpiry)); got != math.MaxUint32-1 {
		t.Errorf("a session expiry of %d s", got)
	}
}
