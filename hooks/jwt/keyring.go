package jwt

import (
	"fmt"
	"slices"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/outcry-mqtt/outcry/broker"
)

// keyring is an immutable set of an issuer's keys.
type keyring struct{ keys []Key }

func (r *keyring) isEmpty() bool { return len(r.keys) == 0 }

// keysFor returns the keys that may have signed a token, at least one, or a refusal.
func (r *keyring) keysFor(token *gojwt.Token) ([]Key, *broker.Refusal) {
	algorithm := token.Method.Alg()
	if !slices.ContainsFunc(r.keys, func(k Key) bool { return k.Algorithm == algorithm }) {
		return nil, notAToken(labelBadAlgorithm, "no key for the token's algorithm %q", algorithm)
	}
	id, _ := token.Header["kid"].(string)
	keys := r.candidates(algorithm, id)
	if len(keys) == 0 {
		return nil, notAToken(labelUnknownKey, "no %s key has the token's key id %q (kid)", algorithm, truncate(id))
	}
	return keys, nil
}

// candidates returns the keys for a token of this algorithm and key id.
func (r *keyring) candidates(algorithm, id string) []Key {
	var named, nameless []Key
	for _, k := range r.keys {
		switch {
		case k.Algorithm != algorithm:
		case id == "" || k.ID == id:
			named = append(named, k)
		case k.ID == "":
			nameless = append(nameless, k)
		}
	}
	if len(named) > 0 {
		return named
	}
	return nameless
}

// names reports whether a key has the token's id. If none has, any key may have signed the token, even an unknown
// one.
func (r *keyring) names(token *gojwt.Token) bool {
	id, _ := token.Header["kid"].(string)
	return id != "" && slices.ContainsFunc(r.keys, func(k Key) bool { return k.ID == id })
}

// checkUnique refuses a key if another one of the same algorithm has its id.
func checkUnique(keys []Key, k Key) error {
	if k.ID != "" && slices.ContainsFunc(keys, func(other Key) bool {
		return other.ID == k.ID && other.Algorithm == k.Algorithm
	}) {
		return fmt.Errorf("two %s keys have the id %q; give each its own", k.Algorithm, k.ID)
	}
	return nil
}
