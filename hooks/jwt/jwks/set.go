package jwks

import (
	"cmp"
	"crypto"
	"errors"
	"fmt"
	"slices"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // case-sensitive, and refuses duplicate members

	"github.com/outcry-mqtt/outcry/hooks/internal/plaintext"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// MaxBytes bounds the length of a set.
const MaxBytes = 1 << 20

// maxKeys bounds the keys used from a set, since a token without a key id is tried with each.
const maxKeys = 64

// Set holds the keys of a key set.
type Set struct {
	Keys    []jwt.Key // valid, with unique ids per algorithm
	LeftOut []LeftOut
}

// LeftOut is an unused key.
type LeftOut struct {
	Index int    // in the set, from 0
	ID    string // may be empty
	Why   string
}

// String names the key and the reason.
func (l LeftOut) String() string {
	return fmt.Sprintf("key %d (%q) %s", l.Index, truncate(l.ID), l.Why)
}

// member holds the members of a JWK that describe the key.
type member struct {
	Kty string   `json:"kty"`
	Crv string   `json:"crv"`
	Kid string   `json:"kid"`
	Alg string   `json:"alg"`
	Use string   `json:"use"`
	Ops []string `json:"key_ops"`
}

// Parse parses a set of at most MaxBytes. origin becomes the Origin of its keys. Secrets are accepted only if secrets
// is true. A set without a usable key is an error.
func Parse(text []byte, origin string, secrets bool) (Set, error) {
	if len(text) > MaxBytes {
		return Set{}, fmt.Errorf("is larger than %d bytes", MaxBytes)
	}
	if err := plaintext.Check(text); err != nil {
		return Set{}, err
	}
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return Set{}, errors.New(`is not a key set; it should be JSON: {"keys": [...]}`)
	}
	var s Set
	for i, text := range document.Keys {
		s.add(i, text, origin, secrets)
	}
	slices.SortStableFunc(s.Keys, func(a, b jwt.Key) int { // some sources change the order each time
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Algorithm, b.Algorithm))
	})
	if len(s.Keys) > 0 {
		return s, nil
	}
	if len(s.LeftOut) > 0 {
		return s, fmt.Errorf("has no usable key: %s", s.LeftOut[0])
	}
	return s, errors.New("has no keys")
}

// add adds a key or omits it with a reason.
func (s *Set) add(index int, text []byte, origin string, secrets bool) {
	var m member
	if err := json.Unmarshal(text, &m); err != nil {
		s.leaveOut(index, m, "is not a JSON object with the members of a key")
		return
	}
	key, why := read(m, text, secrets)
	if why != "" {
		s.leaveOut(index, m, why)
		return
	}
	k, err := jwt.Key{ID: m.Kid, Algorithm: m.Alg, Value: key, Origin: origin}.Complete()
	switch {
	case err != nil:
		s.leaveOut(index, m, "cannot be used: "+err.Error())
	case k.ID != "" && slices.ContainsFunc(s.Keys, func(o jwt.Key) bool { return o.ID == k.ID && o.Algorithm == k.Algorithm }):
		s.leaveOut(index, m, "has the same id as another key")
	case len(s.Keys) == maxKeys:
		s.leaveOut(index, m, fmt.Sprintf("exceeds the limit of %d keys", maxKeys))
	default:
		s.Keys = append(s.Keys, k)
	}
}

func (s *Set) leaveOut(index int, m member, why string) {
	s.LeftOut = append(s.LeftOut, LeftOut{index, m.Kid, why})
}

// read returns the public key or secret of a member, or the reason to omit it.
func read(m member, text []byte, secrets bool) (key crypto.PublicKey, why string) {
	switch {
	case m.Use != "" && m.Use != "sig":
		return nil, fmt.Sprintf("is not for signatures (use %q)", truncate(m.Use))
	case m.Ops != nil && !slices.Contains(m.Ops, "verify"):
		return nil, "is not for verifying signatures (key_ops)"
	case m.Kty == "oct" && !secrets:
		return nil, "is a secret, which is allowed only in a file that its owner alone can read"
	}
	var k jose.JSONWebKey
	err := k.UnmarshalJSON(text)
	switch {
	case errors.Is(err, jose.ErrUnsupportedKeyType):
		return nil, fmt.Sprintf("has an unsupported or weak type (kty %q, crv %q)", truncate(m.Kty), truncate(m.Crv))
	case err != nil:
		return nil, fmt.Sprintf("is malformed (kty %q)", truncate(m.Kty)) // the error of a secret could contain it
	case m.Kty != "oct" && !k.IsPublic():
		return nil, "is a private key; publish only its public key"
	}
	return k.Key, ""
}

// truncate shortens a source's text for a log.
func truncate(text string) string {
	const most = 60
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
