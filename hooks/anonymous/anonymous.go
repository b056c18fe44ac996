// Package anonymous accepts clients without authentication. It never assigns a user name: to the rules an accepted
// client is anonymous, whatever user name it sends.
package anonymous

import (
	"context"

	"github.com/outcry-mqtt/outcry/broker"
)

// Method is the Identity.Method of unauthenticated clients.
const Method = "anonymous"

// Authenticator accepts every client that all earlier authenticators left undecided. Its zero value is ready.
type Authenticator struct {
	// OnlyWithoutCredentials leaves clients with a user name or a password undecided, so that they are refused: a
	// client with a mistyped password should get an error.
	OnlyWithoutCredentials bool
}

var _ broker.QuickAuthenticator = Authenticator{}

// nobody is shared: an Identity in use does not change.
var nobody = &broker.Identity{Method: Method}

// Authenticate returns an Identity without a user, or broker.ErrNotConcerned.
func (a Authenticator) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	if a.OnlyWithoutCredentials && (c.Username != "" || c.Password != nil) {
		return nil, broker.ErrNotConcerned
	}
	return nobody, nil
}

// Guessable always returns false: there are no credentials to guess.
func (a Authenticator) Guessable(*broker.Credentials) bool { return false }

// AuthenticateQuickly is Authenticate, which needs no look-up.
func (a Authenticator) AuthenticateQuickly(c *broker.Credentials) (id *broker.Identity, known bool) {
	id, _ = a.Authenticate(context.Background(), c)
	return id, true
}
