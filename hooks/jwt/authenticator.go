package jwt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/outcry-mqtt/outcry/broker"
)

// Method is the Identity.Method of those who showed a token.
const Method = "jwt"

// Authenticator accepts a client whose MQTT password is a valid token. The user name that the client sent is not looked
// at: who it is stands in the token. It is a broker.Authenticator.
type Authenticator struct {
	options Options
	current atomic.Pointer[keyring]
}

var _ broker.Authenticator = (*Authenticator)(nil)

// New returns an Authenticator, or an error that says everything that is wrong with its keys.
func New(o Options) (*Authenticator, error) {
	a := &Authenticator{options: o.withDefaults()}
	if err := a.Reload(); err != nil {
		return nil, err
	}
	return a, nil
}

// Reload asks the key sources again. On an error the keys stay as they are.
func (a *Authenticator) Reload() error {
	ring, err := readKeys(a.options.Keys)
	if err != nil {
		return fmt.Errorf("read keys of tokens: %w", err)
	}
	a.current.Store(ring)
	return nil
}

// Authenticate tells who holds the token that c shows as its password. It returns broker.ErrNotConcerned if the password
// does not begin like a token, and otherwise a *broker.Refusal if the token is not accepted.
func (a *Authenticator) Authenticate(_ context.Context, c *broker.Credentials) (*broker.Identity, error) {
	header, ok := tokenHeader(c.Password)
	if !ok {
		return nil, broker.ErrNotConcerned
	}
	claims, refusal := a.current.Load().verify(string(c.Password), header)
	if refusal != nil {
		return nil, refusal
	}
	identity, refusal := a.options.identity(claims)
	if refusal != nil {
		return nil, refusal
	}
	return identity, nil
}

// tokenHeader returns the header of what looks like a token: text up to a dot that is a JSON object in base64url. No
// password of a person does by accident.
func tokenHeader(password []byte) (map[string]any, bool) {
	first, _, found := bytes.Cut(password, []byte("."))
	if !found {
		return nil, false
	}
	text, err := base64.RawURLEncoding.AppendDecode(nil, first)
	if err != nil {
		return nil, false
	}
	var header map[string]any
	if err := json.Unmarshal(text, &header); err != nil || header == nil {
		return nil, false
	}
	return header, true
}

// verify returns the claims of a token that was signed with one of the keys.
func (r *keyring) verify(token string, header map[string]any) (map[string]any, *broker.Refusal) {
	if refusal := r.checkHeader(header); refusal != nil {
		return nil, refusal
	}
	parsed, err := r.parser.ParseWithClaims(token, gojwt.MapClaims{}, r.keysFor)
	refusal, isRefusal := errors.AsType[*broker.Refusal](err)
	switch {
	case err == nil:
		return parsed.Claims.(gojwt.MapClaims), nil
	case isRefusal:
		return nil, refusal
	case errors.Is(err, gojwt.ErrTokenMalformed):
		return nil, notAToken(labelMalformed, "token is malformed: not three parts of base64url with JSON in the first two")
	}
	return nil, notAToken(labelBadSignature, "token's signature does not match; was it signed with another key?")
}

func (r *keyring) checkHeader(header map[string]any) *broker.Refusal {
	algorithm, _ := header["alg"].(string)
	if !r.usesAlgorithm(algorithm) {
		return notAToken(labelBadAlgorithm, "no key is for tokens of the algorithm %q", brief(algorithm))
	}
	if _, ok := header["crit"]; ok {
		return notAToken(labelMalformed, "token has extensions that must be understood (crit), and none are") // RFC 7515 4.1.11
	}
	if id, ok := header["kid"]; ok {
		if _, isText := id.(string); !isText {
			return notAToken(labelMalformed, "token's key id (kid) is not a string") // RFC 7515 4.1.4
		}
	}
	return nil
}

// keysFor returns the keys to try on a token.
func (r *keyring) keysFor(token *gojwt.Token) (any, error) {
	id, _ := token.Header["kid"].(string)
	keys := r.candidates(token.Method.Alg(), id)
	if len(keys) == 0 {
		return nil, notAToken(labelUnknownKey, "no %s key has the token's id %q (kid)", token.Method.Alg(), brief(id))
	}
	return gojwt.VerificationKeySet{Keys: keys}, nil
}
