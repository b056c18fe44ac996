package jwt_test

import (
	"crypto"
	"runtime"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// BenchmarkVerify measures the first use of a token, by algorithm.
func BenchmarkVerify(b *testing.B) {
	k := keys()
	for _, c := range []struct {
		algorithm string
		key       any
	}{
		{"HS256", secret}, {"HS384", secret}, {"HS512", secret},
		{"RS256", k.rsa}, {"RS384", k.rsa}, {"RS512", k.rsa}, {"PS256", k.rsa}, {"PS384", k.rsa}, {"PS512", k.rsa},
		{"ES256", k.p256}, {"ES384", k.p384}, {"ES512", k.p521}, {"EdDSA", k.ed},
	} {
		b.Run(c.algorithm, func(b *testing.B) {
			a, credentials := authenticatorFor(b, c.algorithm, c.key, -1)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(b.Context(), credentials); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkCached measures a cached token.
func BenchmarkCached(b *testing.B) {
	a, credentials := authenticatorFor(b, "ES256", keys().p256, 0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(b.Context(), credentials); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRefused measures a forged token, which is never cached.
func BenchmarkRefused(b *testing.B) {
	a, credentials := authenticatorFor(b, "ES256", keys().p256, 0)
	last := &credentials.Password[len(credentials.Password)-4]
	*last ^= 'A' ^ 'B'
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(b.Context(), credentials); err == nil {
			b.Fatal("accepted")
		}
	}
}

// authenticatorFor returns an Authenticator with a key, and a token signed by it.
func authenticatorFor(b *testing.B, algorithm string, key any, cacheSize int) (*jwt.Authenticator, *broker.Credentials) {
	b.Helper()
	signing := jwt.SigningKey{ID: "k", Algorithm: algorithm, Value: key}
	token, err := jwt.Mint(jwt.MintOptions{Key: signing, User: "ann", Rooms: []string{"lobby"}, Now: atNoon})
	if err != nil {
		b.Fatal(err)
	}
	if private, ok := key.(crypto.Signer); ok {
		key = private.Public()
	}
	a := mustNew(b, setup{Keys: []jwt.KeySource{jwt.Key{ID: "k", Algorithm: algorithm, Value: key}}, CacheSize: cacheSize})
	runtime.GC()
	return a, &broker.Credentials{Username: "ann", Password: []byte(token)}
}
