package jwt

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// KeySource provides verification keys. New, each Update and each Reload ask it.
type KeySource interface {
	Keys() ([]Key, error)
}

// LiveKeys is a KeySource whose keys change while in use, such as a set at a URL. Its type must be comparable: a
// source common to two Options keeps running.
type LiveKeys interface {
	// KeySource's Keys returns the current keys, none before the first read. It does not block.
	KeySource
	// Run keeps the keys up to date until ctx ends, and calls changed after each change.
	Run(ctx context.Context, changed func())
	// Reread requests another read, because a token has an unknown key. It returns a channel that is closed after the
	// read, successful or not, or nil if there will be none: the source limits the rate, since anybody can make up
	// tokens. It does not block. A source with a method Failing() bool reports by it whether the last read failed, so
	// that its keys may be outdated.
	Reread() <-chan struct{}
}

// Key verifies the tokens of one algorithm. It is a KeySource of itself.
type Key struct {
	// ID is compared with a token's "kid". A key without an ID is tried if no other key has the token's kid; a token
	// without a kid is tried with every key of its algorithm.
	ID string
	// Algorithm is HS256, HS384, HS512, RS256 to RS512, PS256 to PS512, ES256, ES384, ES512 or EdDSA. Empty: HS256 for a
	// secret, RS256 for RSA, the one of its curve for ECDSA, EdDSA for Ed25519.
	Algorithm string
	// Value is a secret ([]byte), an *rsa.PublicKey, an *ecdsa.PublicKey or an ed25519.PublicKey.
	Value any
	// Origin says where the key is from, for explanations: "key file issuer.pem".
	Origin string
}

// Keys returns the key.
func (k Key) Keys() ([]Key, error) { return []Key{k}, nil }

// minRSABits is the minimum by RFC 7518 3.3 and 3.5.
const minRSABits = 2048

// maxRSABits is the limit of crypto/tls, too: verification time grows with the size.
const maxRSABits = 8192

// minSecretBytes is the hash size by algorithm, the minimum by RFC 7518 3.2.
var minSecretBytes = map[string]int{"HS256": 32, "HS384": 48, "HS512": 64}

// curves are the curves by algorithm (RFC 7518 3.4).
var curves = map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}

// algorithms are all that a key may have; "none" is not among them.
var algorithms = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

func isAlgorithm(name string) bool { return slices.Contains(algorithms, name) }

// Complete returns the key with its algorithm filled in. It returns an error for an unknown algorithm, or a key of a
// wrong kind or insufficient strength.
func (k Key) Complete() (Key, error) {
	if k.Algorithm == "" {
		k.Algorithm = defaultAlgorithm(k.Value)
	}
	if err := checkKey(k.Algorithm, k.Value); err != nil {
		if k.ID != "" {
			err = fmt.Errorf("key %q: %w", truncate(k.ID), err)
		}
		return Key{}, err
	}
	return k, nil
}

func defaultAlgorithm(key any) string {
	switch k := key.(type) {
	case []byte:
		return "HS256"
	case *rsa.PublicKey:
		return "RS256"
	case ed25519.PublicKey:
		return "EdDSA"
	case *ecdsa.PublicKey:
		for name, curve := range curves {
			if k.Curve == curve {
				return name
			}
		}
	}
	return ""
}

// checkKey checks that a verification key has the kind and the strength that the algorithm requires.
func checkKey(algorithm string, key any) error {
	switch algorithm {
	case "HS256", "HS384", "HS512":
		return checkSecret(algorithm, key)
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		return checkRSA(algorithm, key)
	case "ES256", "ES384", "ES512":
		k, ok := key.(*ecdsa.PublicKey)
		if !ok || k.Curve != curves[algorithm] {
			return fmt.Errorf("%s needs an ECDSA key on the curve %s", algorithm, curves[algorithm].Params().Name)
		}
		return nil
	case "EdDSA":
		k, ok := key.(ed25519.PublicKey)
		if !ok || len(k) != ed25519.PublicKeySize {
			return errors.New("EdDSA needs an Ed25519 key")
		}
		return checkPoint(k)
	case "":
		return errors.New("unsupported type of key; use a secret, or an RSA, ECDSA (P-256, P-384, P-521) or Ed25519 key")
	}
	return fmt.Errorf("algorithm %q is not one of HS256 to HS512, RS256 to RS512, PS256 to PS512, ES256 to ES512, EdDSA", algorithm)
}

func checkSecret(algorithm string, key any) error {
	secret, ok := key.([]byte)
	if !ok {
		return fmt.Errorf("%s needs a secret, not a public key", algorithm)
	}
	if strings.Contains(string(secret), "-----BEGIN ") {
		return fmt.Errorf("%s needs a secret, and this is a PEM file; choose the algorithm of its key", algorithm)
	}
	if least := minSecretBytes[algorithm]; len(secret) < least {
		return fmt.Errorf("the secret has %d bytes, and %s needs at least %d", len(secret), algorithm, least)
	}
	return checkSecretText(secret)
}

func checkRSA(algorithm string, key any) error {
	k, ok := key.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("%s needs an RSA key", algorithm)
	}
	if bits := k.N.BitLen(); bits < minRSABits {
		return fmt.Errorf("the RSA key has %d bits, and %s needs at least %d", bits, algorithm, minRSABits)
	} else if bits > maxRSABits {
		return fmt.Errorf("the RSA key has %d bits; more than %d take too long to verify", bits, maxRSABits)
	}
	return checkRSANumbers(k)
}
