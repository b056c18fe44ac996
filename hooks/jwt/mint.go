package jwt

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
)

// SigningKey signs tokens.
type SigningKey struct {
	ID        string // the token's "kid"; may be empty
	Algorithm string // as Key.Algorithm
	Value     any    // a secret ([]byte), an *rsa.PrivateKey, an *ecdsa.PrivateKey or an ed25519.PrivateKey
}

// MintOptions are a token's claims.
type MintOptions struct {
	Key       SigningKey
	User      string
	Rooms     []string       // claim "rooms"
	Claims    map[string]any // further claims
	TTL       time.Duration  // time to expiry; 0: DefaultTTL, negative: no expiry
	Issuer    string
	Audience  []string
	UserClaim string           // claim with the user name; empty: DefaultUserClaim
	Now       func() time.Time // nil: time.Now
}

// Mint returns a signed token.
func Mint(o MintOptions) (string, error) {
	token, err := o.sign()
	if err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	return token, nil
}

func (o *MintOptions) sign() (string, error) {
	algorithm, err := o.Key.algorithm()
	if err != nil {
		return "", err
	}
	claims, err := o.claims()
	if err != nil {
		return "", err
	}
	token := gojwt.NewWithClaims(gojwt.GetSigningMethod(algorithm), gojwt.MapClaims(claims))
	if o.Key.ID != "" {
		token.Header["kid"] = o.Key.ID
	}
	return token.SignedString(o.Key.Value)
}

// algorithm returns the key's algorithm, and checks that an Authenticator would accept its public half.
func (k SigningKey) algorithm() (string, error) {
	verifying := k.Value
	if private, ok := k.Value.(crypto.Signer); ok {
		verifying = private.Public()
	} else if _, isSecret := k.Value.([]byte); !isSecret {
		return "", errors.New("the key is neither a secret nor a private key")
	}
	public, err := Key{Algorithm: k.Algorithm, Value: verifying}.Complete()
	return public.Algorithm, err
}

func (o *MintOptions) claims() (map[string]any, error) {
	if o.User == "" {
		return nil, errors.New("it has no user name")
	}
	named := o.named()
	for name := range o.Claims {
		if _, ok := named[name]; ok {
			return nil, fmt.Errorf("the claim %q is given twice", name)
		}
	}
	maps.Copy(named, o.Claims)
	return named, nil
}

// named returns the claims that have their own options.
func (o *MintOptions) named() map[string]any {
	now := time.Now()
	if o.Now != nil {
		now = o.Now()
	}
	user, ttl := o.UserClaim, o.TTL
	if user == "" {
		user = DefaultUserClaim
	}
	if ttl == 0 {
		ttl = DefaultTTL
	}
	claims := map[string]any{user: o.User, "iat": now.Unix()}
	if ttl > 0 {
		claims["exp"] = now.Add(ttl).Unix()
	}
	if o.Rooms != nil {
		claims["rooms"] = o.Rooms
	}
	if o.Issuer != "" {
		claims["iss"] = o.Issuer
	}
	if o.Audience != nil {
		claims["aud"] = o.Audience
	}
	return claims
}

// ReadSigningKey reads a private key from a PEM file, or else a secret from a file that only its owner can read.
// algorithm and id may be empty: see SigningKey.
func ReadSigningKey(path, algorithm, id string) (SigningKey, error) {
	text, err := readSecret(path)
	if err != nil {
		return SigningKey{}, err
	}
	key := SigningKey{ID: id, Algorithm: algorithm, Value: text}
	if block, _ := pem.Decode(text); block != nil {
		if key.Value, err = readPrivateKey(path); err != nil {
			return SigningKey{}, fmt.Errorf("key file %s: %w", path, err)
		}
	}
	if _, err := key.algorithm(); err != nil {
		return SigningKey{}, fmt.Errorf("key file %s: %w", path, err)
	}
	return key, nil
}

func readPrivateKey(path string) (any, error) {
	block, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	switch block.Type {
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	}
	return nil, fmt.Errorf("has a %q, not a private key", block.Type)
}
