package jwt_test

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

func TestMintAndInspect(t *testing.T) {
	token, err := jwt.Mint(jwt.MintOptions{
		Key: jwt.SigningKey{Value: secret}, User: "ann", Rooms: []string{"lobby"}, Claims: claims{"admin": true, "nbf": noon.Unix()},
		TTL: 24 * time.Hour, Issuer: "outcry", Audience: []string{"mqtt"}, Now: atNoon,
	})
	if err != nil {
		t.Fatal(err)
	}
	seen, err := jwt.Inspect(token)
	if err != nil {
		t.Fatal(err)
	}
	if seen.Algorithm != "HS256" || seen.KeyID != "" || seen.User != "ann" || seen.Header["typ"] != "JWT" {
		t.Errorf("got %+v", seen)
	}
	if !seen.Issued.Equal(noon) || !seen.NotBefore.Equal(noon) || !seen.Expires.Equal(noon.Add(24*time.Hour)) {
		t.Errorf("from %v, %v to %v", seen.Issued, seen.NotBefore, seen.Expires)
	}
	text, _ := json.Marshal(seen.Claims)
	if want := `{"admin":true,"aud":["mqtt"],"exp":1893672000,"iat":1893585600,"iss":"outcry","nbf":1893585600,"rooms":["lobby"],"sub":"ann"}`; string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	a := mustNew(t, setup{Issuer: "outcry", Audience: []string{"mqtt"}})
	if id, err := show(a, token); err != nil || id.User != "ann" {
		t.Errorf("got %+v, %v", id, err)
	}
}

func TestMintDefaults(t *testing.T) {
	for ttl, want := range map[time.Duration]time.Time{0: noon.Add(jwt.DefaultTTL), -1: {}, time.Minute: noon.Add(time.Minute)} {
		token, err := jwt.Mint(jwt.MintOptions{Key: jwt.SigningKey{Value: secret}, User: "ann", UserClaim: "name", TTL: ttl, Now: atNoon})
		if err != nil {
			t.Fatal(err)
		}
		seen, err := jwt.Inspect(token)
		if err != nil || !seen.Expires.Equal(want) || seen.Claims["name"] != "ann" || len(seen.Claims) > 3 {
			t.Errorf("ttl %v: %v in %v, %v", ttl, seen.Expires, seen.Claims, err)
		}
	}
	token, err := jwt.Mint(jwt.MintOptions{Key: jwt.SigningKey{Value: secret}, User: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	o := setup{Keys: []jwt.KeySource{jwt.Key{Value: secret}}}.options()
	o.Now = nil
	a, err := jwt.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := show(a, token); err != nil {
		t.Errorf("by this machine's clock: %v", err)
	}
}

func TestMintErrors(t *testing.T) {
	key := jwt.SigningKey{Value: secret}
	cases := []struct {
		name string
		o    jwt.MintOptions
		want string
	}{
		{"no key", jwt.MintOptions{User: "a"}, "mint token: the key is neither a secret nor a private key"},
		{"a public key", jwt.MintOptions{User: "a", Key: jwt.SigningKey{Value: &keys().rsa.PublicKey}}, "neither a secret nor a private key"},
		{"short secret", jwt.MintOptions{User: "a", Key: jwt.SigningKey{Value: []byte("x")}}, "the secret has 1 bytes, and HS256 needs at least 32"},
		{"another algorithm", jwt.MintOptions{User: "a", Key: jwt.SigningKey{Value: secret, Algorithm: "ES256"}}, "ES256 needs an ECDSA key"},
		{"none", jwt.MintOptions{User: "a", Key: jwt.SigningKey{Value: secret, Algorithm: "none"}}, `algorithm "none"`},
		{"no user", jwt.MintOptions{Key: key}, "it has no user name"},
		{"user twice", jwt.MintOptions{Key: key, User: "a", Claims: claims{"sub": "b"}}, `the claim "sub" is given twice`},
		{"rooms twice", jwt.MintOptions{Key: key, User: "a", Rooms: []string{}, Claims: claims{"rooms": 1}}, `the claim "rooms" is given twice`},
		{"expiry twice", jwt.MintOptions{Key: key, User: "a", Claims: claims{"exp": 1}}, `the claim "exp" is given twice`},
		{"not JSON", jwt.MintOptions{Key: key, User: "a", Claims: claims{"f": func() {}}}, "unsupported type"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			token, err := jwt.Mint(c.o)
			if token != "" || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, %v\nwant %s", token, err, c.want)
			}
		})
	}
}

func TestReadSigningKeyErrors(t *testing.T) {
	encrypted := block("ENCRYPTED PRIVATE KEY", slices.Repeat([]byte("x"), 40), nil)
	for _, c := range []struct{ name, path, algorithm, want string }{
		{"public", write(t, publicPEM(t, &keys().p256.PublicKey), 0o600), "", `has a "PUBLIC KEY", not a private key`},
		{"encrypted", write(t, encrypted, 0o600), "", "is encrypted; decrypt it with openssl pkey"},
		{"for all", write(t, secret, 0o644), "", "run chmod 600 "},
		{"another algorithm", write(t, secret, 0o600), "RS256", "RS256 needs an RSA key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := jwt.ReadSigningKey(c.path, c.algorithm, ""); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
	if _, err := jwt.ReadSigningKey("/nowhere", "", ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestInspectUnsigned(t *testing.T) {
	for _, token := range []string{"", "hunter2", "a.b.c", "e30.e30", "e30.x.x"} {
		if seen, err := jwt.Inspect(token); err == nil {
			t.Errorf("%q: got %+v", token, seen)
		}
	}
	// Invalid tokens can still be inspected.
	seen, err := jwt.Inspect(encode(t, claims{"alg": "none"}) + "." + encode(t, claims{"sub": 7, "exp": "soon"}) + ".")
	if err != nil || seen.Algorithm != "none" || seen.User != "7" || !seen.Expires.IsZero() || seen.Claims["sub"] != int64(7) {
		t.Errorf("got %+v, %v", seen, err)
	}
}
