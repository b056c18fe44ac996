package jwt

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/outcry-mqtt/outcry/broker"
)

// Explanation is the verdict on a token, with the result for each key of the issuer.
type Explanation struct {
	Known    bool   // there is an issuer for the token
	Issuer   string // its name; empty: the issuer of all other tokens
	Keys     []KeyVerdict
	Identity *broker.Identity // nil if the token is refused
	Refusal  *broker.Refusal  // nil if it is accepted
}

// KeyVerdict is the result of one key.
type KeyVerdict struct {
	ID, Algorithm, Origin string // as in Key
	Signed                bool   // the key has signed the token
	Why                   string // the reason if it has not
}

// Explain verifies a token and explains the verdict. If the text is no token, its error does not show it.
func (a *Authenticator) Explain(ctx context.Context, token string) (*Explanation, error) {
	t, ok := read(token)
	if !ok {
		return nil, broker.ErrNotConcerned
	}
	found := a.verify(ctx, a.current.Load(), t)
	e := &Explanation{Identity: found.identity, Refusal: found.refusal}
	if found.issuer == nil {
		return e, nil
	}
	e.Known, e.Issuer = true, found.issuer.Name
	for _, k := range found.ring.keys {
		v := KeyVerdict{ID: k.ID, Algorithm: k.Algorithm, Origin: k.Origin, Why: k.whyNot(found.ring, found.parsed)}
		v.Signed = v.Why == ""
		e.Keys = append(e.Keys, v)
	}
	return e, nil
}

// whyNot returns the reason why the key, one of a ring, does not accept a token; empty if it does.
func (k Key) whyNot(r *keyring, token *gojwt.Token) string {
	algorithm := token.Method.Alg()
	id, _ := token.Header["kid"].(string)
	if k.Algorithm != algorithm {
		return "is for " + k.Algorithm + ", and the token's algorithm is " + algorithm
	}
	tried := slices.ContainsFunc(r.candidates(algorithm, id), func(other Key) bool { return other.ID == k.ID })
	if !tried {
		return "has a different key id (kid) than the token"
	}
	signed := token.Raw[:strings.LastIndexByte(token.Raw, '.')]
	if token.Method.Verify(signed, token.Signature, k.Value) != nil {
		return "does not verify the signature"
	}
	return ""
}

// Inspection is a token's unverified content. Only an Authenticator verifies tokens.
type Inspection struct {
	Algorithm string
	KeyID     string         // empty if absent
	Header    map[string]any // the whole header
	Claims    map[string]any // all claims
	User      string         // claim "sub"; empty if absent
	Issued    time.Time      // zero if absent, like those below
	NotBefore time.Time
	Expires   time.Time
}

// Inspect reads a token without verifying it. Its error does not show the token.
func Inspect(token string) (*Inspection, error) {
	parser := gojwt.NewParser(gojwt.WithStrictDecoding(), gojwt.WithJSONNumber())
	parsed, _, err := parser.ParseUnverified(token, gojwt.MapClaims{})
	if parsed == nil || parsed.Claims == nil || errors.Is(err, gojwt.ErrTokenMalformed) {
		return nil, errors.New("inspect token: it is not three parts of base64url with JSON in the first two")
	}
	claims := map[string]any(parsed.Claims.(gojwt.MapClaims))
	i := &Inspection{Header: parsed.Header}
	i.Algorithm, _ = parsed.Header["alg"].(string)
	i.KeyID, _ = parsed.Header["kid"].(string)
	i.User, _ = asText(claims[DefaultUserClaim])
	i.Issued, _ = date(claims, "iat")
	i.NotBefore, _ = date(claims, "nbf")
	i.Expires, _ = date(claims, "exp")
	i.Claims = plain(claims)
	return i, nil
}
