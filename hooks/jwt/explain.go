package jwt

import (
	"context"
	"slices"
	"strings"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/outcry-mqtt/outcry/broker"
)

// Explanation is whether a token is accepted, by which of an issuer's keys, and why not by the others.
type Explanation struct {
	Known    bool   // an issuer is there for the token
	Issuer   string // its name; empty: the one for all tokens of others
	Keys     []KeyVerdict
	Identity *broker.Identity // nil: the token is refused
	Refusal  *broker.Refusal  // nil: it is accepted
}

// KeyVerdict is what a key has to do with a token.
type KeyVerdict struct {
	ID, Algorithm, Origin string // as of the Key
	Signed                bool   // the token's signature is by this key
	Why                   string // why the key did not take it; empty if Signed
}

// Explain tells what would become of a token. Its error, if it is no token, does not show it.
func (a *Authenticator) Explain(ctx context.Context, token string) (*Explanation, error) {
	t, ok := read(token)
	if !ok {
		return nil, broker.ErrNotConcerned
	}
	found := a.judge(ctx, a.current.Load(), t)
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

// whyNot returns why the key, one of a ring, does not take a token; empty if it does.
func (k Key) whyNot(r *keyring, token *gojwt.Token) string {
	algorithm := token.Method.Alg()
	id, _ := token.Header["kid"].(string)
	if k.Algorithm != algorithm {
		return "is for " + k.Algorithm + ", and the token's algorithm is " + algorithm
	}
	tried := slices.ContainsFunc(r.candidates(algorithm, id), func(other Key) bool { return other.ID == k.ID })
	if !tried {
		return "has another id than the token"
	}
	signed := token.Raw[:strings.LastIndexByte(token.Raw, '.')]
	if token.Method.Verify(signed, token.Signature, k.Value) != nil {
		return "did not make the signature"
	}
	return ""
}
