package jwt

import (
	"errors"
	"fmt"
	"slices"

	gojwt "github.com/golang-jwt/jwt/v5"
)

// keyring is the keys of one reading of the sources. It does not change.
type keyring struct {
	keys   []Key
	parser *gojwt.Parser
}

// readKeys asks all sources and reports everything that is wrong with them at once.
func readKeys(sources []KeySource) (*keyring, error) {
	var keys []Key
	var errs []error
	for _, source := range sources {
		found, err := source.Keys()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, k := range found {
			key, err := k.complete()
			switch {
			case err != nil:
				errs = append(errs, fmt.Errorf("key %q: %w", k.ID, err))
			case hasID(keys, key):
				errs = append(errs, fmt.Errorf("two %s keys have the id %q; give each its own", key.Algorithm, key.ID))
			default:
				keys = append(keys, key)
			}
		}
	}
	if len(keys) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("there is no key; name a secret or a file with a public key"))
	}
	return newKeyring(keys), errors.Join(errs...)
}

func hasID(keys []Key, k Key) bool {
	return k.ID != "" && slices.ContainsFunc(keys, func(other Key) bool {
		return other.ID == k.ID && other.Algorithm == k.Algorithm
	})
}

func newKeyring(keys []Key) *keyring {
	algorithms := make([]string, len(keys))
	for i := range keys {
		algorithms[i] = keys[i].Algorithm
	}
	return &keyring{keys: keys, parser: gojwt.NewParser(
		gojwt.WithValidMethods(algorithms),
		gojwt.WithStrictDecoding(),
		gojwt.WithJSONNumber(),
		gojwt.WithoutClaimsValidation(), // ours says by how much a token is late
	)}
}

// usesAlgorithm tells whether any key is for the algorithm.
func (r *keyring) usesAlgorithm(algorithm string) bool {
	return slices.ContainsFunc(r.keys, func(k Key) bool { return k.Algorithm == algorithm })
}

// candidates returns the keys that a token of this algorithm and key id may be signed with.
func (r *keyring) candidates(algorithm, id string) []gojwt.VerificationKey {
	var named, nameless []gojwt.VerificationKey
	for _, k := range r.keys {
		switch {
		case k.Algorithm != algorithm:
		case id == "" || k.ID == id:
			named = append(named, k.Value)
		case k.ID == "":
			nameless = append(nameless, k.Value)
		}
	}
	if len(named) > 0 {
		return named
	}
	return nameless
}
