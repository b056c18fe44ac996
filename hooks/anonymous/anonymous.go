// Package anonymous accepts clients without asking who they are. It never gives anybody a user name: whoever it accepts
// is anonymous to the rules, whatever they call themselves.
package anonymous

import (
	"context"

	"github.com/outcry-mqtt/outcry/broker"
)

// Method is the Identity.Method of those who were not asked.
const Method = "anonymous"

// Authenticator accepts every client that no authenticator before it was concerned with. Its zero value is ready.
type Authenticator struct {
	// OnlyWithoutCredentials leaves clients that show a user name or a password to be refused: one that mistyped its
	// password should hear of it.
	OnlyWithoutCredentials bool
}

var _ broker.QuickAuthenticator = Authenticator{}

// nobody is shared by all: an Identity in use does not change.
var nobody = &broker.Identity{Method: Method}

// Authenticate returns an Identity without a user, or broker.ErrNotConcerned.
func (a Authenticator) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	if a.OnlyWithoutCredentials && (c.Username != "" || c.Password != nil) {
		return nil, broker.ErrNotConcerned
	}
	return nobody, nil
}

// AuthenticateQuickly is the same: there is nothing to look up.
func (a Authenticator) AuthenticateQuickly(c *broker.Credentials) (id *broker.Identity, known bool) {
	id, _ = a.Authenticate(context.Background(), c)
	return id, true
}
