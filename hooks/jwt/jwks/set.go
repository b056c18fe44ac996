package jwks

import (
	"cmp"
	"crypto"
	"errors"
	"fmt"
	"slices"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // tells a from A, and refuses a member that is there twice

	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// MaxBytes is the length of the longest set that is read.
const MaxBytes = 1 << 20

// maxKeys is how many keys of a set are taken, since a token without a key id is tried with each.
const maxKeys = 64

// Set is what a key set holds.
type Set struct {
	Keys    []jwt.Key // complete, and no two of an algorithm with the same id
	LeftOut []LeftOut
}

// LeftOut is a key that is not used.
type LeftOut struct {
	Index int    // in the set, from 0
	ID    string // may be empty
	Why   string
}

// String names the key and says why it is not used.
func (l LeftOut) String() string { return fmt.Sprintf("key %d (%q) %s", l.Index, brief(l.ID), l.Why) }

// member is what a key says about itself, besides the key.
type member struct {
	Kty string   `json:"kty"`
	Crv string   `json:"crv"`
	Kid string   `json:"kid"`
	Alg string   `json:"alg"`
	Use string   `json:"use"`
	Ops []string `json:"key_ops"`
}

// Parse reads a set that is no longer than MaxBytes. origin is what its keys have as their Origin. Secrets are taken only
// if it is said. A set without any key that can be used is an error.
func Parse(text []byte, origin string, secrets bool) (Set, error) {
	if len(text) > MaxBytes {
		return Set{}, fmt.Errorf("is larger than %d bytes", MaxBytes)
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
	slices.SortStableFunc(s.Keys, func(a, b jwt.Key) int { // some sources give them in another order each time
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Algorithm, b.Algorithm))
	})
	if len(s.Keys) > 0 {
		return s, nil
	}
	if len(s.LeftOut) > 0 {
		return s, fmt.Errorf("has no key that can be used: %s", s.LeftOut[0])
	}
	return s, errors.New("has no keys")
}

// add takes a key or leaves it out.
func (s *Set) add(index int, text []byte, origin string, secrets bool) {
	var m member
	if err := json.Unmarshal(text, &m); err != nil {
		s.leaveOut(index, m, "is not a JSON object with the members of a key, each once")
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
		s.leaveOut(index, m, "has the id of another one")
	case len(s.Keys) == maxKeys:
		s.leaveOut(index, m, fmt.Sprintf("is one too many; %d are taken", maxKeys))
	default:
		s.Keys = append(s.Keys, k)
	}
}

func (s *Set) leaveOut(index int, m member, why string) {
	s.LeftOut = append(s.LeftOut, LeftOut{index, m.Kid, why})
}

// read returns the public key or secret of a member, or why it is left out.
func read(m member, text []byte, secrets bool) (key crypto.PublicKey, why string) {
	switch {
	case m.Use != "" && m.Use != "sig":
		return nil, fmt.Sprintf("is not for signatures (use %q)", brief(m.Use))
	case m.Ops != nil && !slices.Contains(m.Ops, "verify"):
		return nil, "is not for verifying (key_ops)"
	case m.Kty == "oct" && !secrets:
		return nil, "is a secret, which stands only in a file that nobody but its owner can read"
	}
	var k jose.JSONWebKey
	err := k.UnmarshalJSON(text)
	switch {
	case errors.Is(err, jose.ErrUnsupportedKeyType):
		return nil, fmt.Sprintf("is of a kind that is not known, or weak (kty %q, crv %q)", brief(m.Kty), brief(m.Crv))
	case err != nil:
		return nil, fmt.Sprintf("is broken (kty %q)", brief(m.Kty)) // the error of a secret could show it
	case m.Kty != "oct" && !k.IsPublic():
		return nil, "is a private key, which nobody should give away"
	}
	return k.Key, ""
}

// brief shortens what a source wrote, for a log.
func brief(text string) string {
	const most = 60
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
