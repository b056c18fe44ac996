// Package clientcert authenticates clients by their TLS certificate. It ignores a certificate that the handshake did
// not verify.
package clientcert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/outcry-mqtt/outcry/broker"
)

// Method is the Identity.Method of clients with a certificate.
const Method = "clientcert"

// maxUserBytes bounds a user name.
const maxUserBytes = 1024

// The labels of refusals.
const (
	labelNoUser    = "no_user"
	labelOtherUser = "other_user"
)

// Name is the field of a certificate that holds the user name.
type Name string

// The fields. If a certificate has several names of a kind, the first counts.
const (
	CommonName Name = "cn"    // the subject's common name
	DNS        Name = "dns"   // the first DNS name among the subject alternative names
	Email      Name = "email" // the first email address among them
	URI        Name = "uri"   // the first URI among them, such as spiffe://example.org/sensor
)

// Options select the field of a certificate. Zero values mean the default in the comment.
type Options struct {
	User Name // CommonName
}

// Authenticator accepts a client with a verified certificate that names a user. It is a broker.Authenticator.
type Authenticator struct{ user Name }

var _ broker.Authenticator = (*Authenticator)(nil)

// New returns an Authenticator, or an error if Options.User is no field of a certificate.
func New(o Options) (*Authenticator, error) {
	switch o.User {
	case "":
		o.User = CommonName
	case CommonName, DNS, Email, URI:
	default:
		return nil, fmt.Errorf("clientcert: %q is not a name in a certificate; use cn, dns, email or uri", o.User)
	}
	return &Authenticator{o.User}, nil
}

// Authenticate identifies c by its certificate. It returns broker.ErrNotConcerned if there is no verified
// certificate, or if the client sends a password, which another authenticator checks; and a *broker.Refusal if the
// certificate names no user or contradicts the client's user name.
func (a *Authenticator) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	leaf := verified(c.TLS)
	if leaf == nil || c.Password != nil {
		return nil, broker.ErrNotConcerned
	}
	user := a.userOf(leaf)
	if !isName(user) {
		return nil, &broker.Refusal{
			Code: broker.CodeNotAuthorized, Label: labelNoUser,
			Reason: fmt.Sprintf("the client certificate has no user name (%s)", a.user),
		}
	}
	if c.Username != "" && c.Username != user {
		return nil, &broker.Refusal{
			Code: broker.CodeBadUserOrPassword, Label: labelOtherUser,
			Reason: "the user name differs from that of the client certificate; send the same one or none",
		}
	}
	return &broker.Identity{User: user, Claims: claims(leaf), Expires: leaf.NotAfter, Method: Method}, nil
}

// AuthenticateQuickly decides only about clients without a certificate: they are left to other authenticators.
func (a *Authenticator) AuthenticateQuickly(c *broker.Credentials) (id *broker.Identity, known bool) {
	return nil, verified(c.TLS) == nil || c.Password != nil
}

// Guessable always returns false: a certificate's key cannot be guessed.
func (a *Authenticator) Guessable(*broker.Credentials) bool { return false }

// verified returns the client's certificate if a chain leads from it to an authority trusted by the listener.
func verified(state *tls.ConnectionState) *x509.Certificate {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return nil
	}
	return state.VerifiedChains[0][0]
}

func (a *Authenticator) userOf(leaf *x509.Certificate) string {
	switch a.user {
	case DNS:
		return first(leaf.DNSNames)
	case Email:
		return first(leaf.EmailAddresses)
	case URI:
		if len(leaf.URIs) == 0 {
			return ""
		}
		return leaf.URIs[0].String()
	}
	return leaf.Subject.CommonName
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// isName reports whether a text of a certificate can be a user name: it must be visible in a log.
func isName(s string) bool {
	return s != "" && len(s) <= maxUserBytes && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == unicode.ReplacementChar
	})
}

// claims returns the fields of a certificate that rules may refer to.
func claims(leaf *x509.Certificate) map[string]any {
	return map[string]any{
		"cn": leaf.Subject.CommonName,
		"o":  leaf.Subject.Organization,
		"ou": leaf.Subject.OrganizationalUnit,
	}
}
