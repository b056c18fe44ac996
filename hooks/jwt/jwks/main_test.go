package jwks_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"sync"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The keys of all tests; making RSA keys is slow.
var keys = sync.OnceValue(func() (k struct {
	rsa, weak        *rsa.PrivateKey
	p256, p384, p521 *ecdsa.PrivateKey
	otherP256        *ecdsa.PrivateKey
	ed               ed25519.PrivateKey
}) {
	k.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.weak, _ = rsa.GenerateKey(rand.Reader, 1024)
	k.p256, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.otherP256, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.p384, _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	k.p521, _ = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, k.ed, _ = ed25519.GenerateKey(rand.Reader)
	return k
})

var secret = []byte("a secret of tests, of more than 32 bytes")

// member returns a key of a set, with changes; nil removes a member.
func member(tb testing.TB, key any, id, algorithm string, changes map[string]any) map[string]any {
	tb.Helper()
	text, err := jose.JSONWebKey{Key: key, KeyID: id, Algorithm: algorithm, Use: "sig"}.MarshalJSON()
	if err != nil {
		tb.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		tb.Fatal(err)
	}
	for name, value := range changes {
		m[name] = value
		if value == nil {
			delete(m, name)
		}
	}
	return m
}

// set returns a key set as a source sends it.
func set(tb testing.TB, members ...map[string]any) string {
	tb.Helper()
	text, err := json.Marshal(map[string]any{"keys": members})
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// public returns the set with the public half of a key.
func public(tb testing.TB, key crypto.Signer, id string) string {
	tb.Helper()
	return set(tb, member(tb, key.Public(), id, "", nil))
}

// mintToken signs a token for user ann.
func mintToken(tb testing.TB, issuer string, key any, id string) string {
	tb.Helper()
	token, err := jwt.Mint(jwt.MintOptions{Key: jwt.SigningKey{ID: id, Value: key}, User: "ann", Issuer: issuer})
	if err != nil {
		tb.Fatal(err)
	}
	return token
}
