// Package clientcert accepts clients by the certificate that they showed in the TLS handshake. It never looks at one that
// the handshake did not verify.
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

// Method is the Identity.Method of those who showed a certificate.
const Method = "clientcert"

// maxUserBytes is how long the name of a user may be.
const maxUserBytes = 1024

// The labels of refusals.
const (
	labelNoUser    = "no_user"
	labelOtherUser = "other_user"
)

// Name is the place in a certificate that names the user.
type Name string

// The places. Of several names of a kind the first counts.
const (
	CommonName Name = "cn"    // the subject's common name
	DNS        Name = "dns"   // a subject alternative name that is a host
	Email      Name = "email" // one that is an address of mail
	URI        Name = "uri"   // one that is a URI, such as spiffe://example.org/sensor
)

// Options say how an Authenticator reads a certificate. Zero fields mean the defaults given with them.
type Options struct {
	User Name // CommonName
}

// Authenticator accepts a client whose certificate was verified and names a user. It is a broker.Authenticator.
type Authenticator struct{ user Name }

var _ broker.Authenticator = (*Authenticator)(nil)

// New returns an Authenticator, or an error if the options name no place in a certificate.
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

// Authenticate tells who c is by its certificate. It returns broker.ErrNotConcerned if there is none that was verified, or
// if the client shows a password, which is another's to judge; and a *broker.Refusal if the certificate names no user, or
// another than the user name that the client gives.
func (a *Authenticator) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	leaf := verified(c.TLS)
	if leaf == nil || c.Password != nil {
		return nil, broker.ErrNotConcerned
	}
	user := a.userOf(leaf)
	if !isName(user) {
		return nil, &broker.Refusal{
			Code: broker.CodeNotAuthorized, Label: labelNoUser,
			Reason: fmt.Sprintf("the client certificate names no user (%s)", a.user),
		}
	}
	if c.Username != "" && c.Username != user {
		return nil, &broker.Refusal{
			Code: broker.CodeBadUserOrPassword, Label: labelOtherUser,
			Reason: "the user name is not that of the client certificate; give that or none",
		}
	}
	return &broker.Identity{User: user, Claims: claims(leaf), Expires: leaf.NotAfter, Method: Method}, nil
}

// AuthenticateQuickly knows clients without a certificate, who are another's.
func (a *Authenticator) AuthenticateQuickly(c *broker.Credentials) (id *broker.Identity, known bool) {
	return nil, verified(c.TLS) == nil || c.Password != nil
}

// verified returns the client's certificate if a chain of it leads to an authority that the listener trusts.
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

// isName tells whether a text of a certificate can name a user: what would not show in a log is none.
func isName(s string) bool {
	return s != "" && len(s) <= maxUserBytes && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// claims are what rules may refer to, of a certificate.
func claims(leaf *x509.Certificate) map[string]any {
	return map[string]any{
		"cn": leaf.Subject.CommonName,
		"o":  leaf.Subject.Organization,
		"ou": leaf.Subject.OrganizationalUnit,
	}
}
