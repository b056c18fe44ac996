package jwt

import (
	"fmt"
	"slices"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/outcry-mqtt/outcry/broker"
)

// keyring is the keys of an issuer at one time. It does not change.
type keyring struct{ keys []Key }

func (r *keyring) isEmpty() bool { return len(r.keys) == 0 }

// keysFor returns the keys that a token may be signed with, at least one, or why there are none.
func (r *keyring) keysFor(token *gojwt.Token) ([]Key, *broker.Refusal) {
	algorithm := token.Method.Alg()
	if !slices.ContainsFunc(r.keys, func(k Key) bool { return k.Algorithm == algorithm }) {
		return nil, notAToken(labelBadAlgorithm, "no key is for tokens of the algorithm %q", algorithm)
	}
	id, _ := token.Header["kid"].(string)
	keys := r.candidates(algorithm, id)
	if len(keys) == 0 {
		return nil, notAToken(labelUnknownKey, "no %s key has the token's id %q (kid)", algorithm, brief(id))
	}
	return keys, nil
}

// candidates returns the keys that a token of this algorithm and key id may be signed with.
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

// checkUnique refuses a key whose id another one of the same algorithm has.
func checkUnique(keys []Key, k Key) error {
	if k.ID != "" && slices.ContainsFunc(keys, func(other Key) bool {
		return other.ID == k.ID && other.Algorithm == k.Algorithm
	}) {
		return fmt.Errorf("two %s keys have the id %q; give each its own", k.Algorithm, k.ID)
	}
	return nil
}
