package jwt_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"sync"
	"testing"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// The keys of all tests; making RSA keys is slow.
var keys = sync.OnceValue(func() (k struct {
	rsa, otherRSA    *rsa.PrivateKey
	p256, p384, p521 *ecdsa.PrivateKey
	ed               ed25519.PrivateKey
}) {
	k.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.otherRSA, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.p256, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.p384, _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	k.p521, _ = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, k.ed, _ = ed25519.GenerateKey(rand.Reader)
	return k
})

func encode(tb testing.TB, value any) string {
	tb.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		tb.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func publicPEM(tb testing.TB, key any) []byte {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// hmacOf returns a token signed with a public key as if it were a secret, which anybody can do.
func hmacOf(tb testing.TB, public []byte, algorithm string) string {
	tb.Helper()
	text := encode(tb, claims{"alg": algorithm, "typ": "JWT"}) + "." + encode(tb, valid(nil))
	signature, err := gojwt.SigningMethodHS256.Sign(text, public)
	if err != nil {
		tb.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestForgedTokens(t *testing.T) {
	k := keys()
	hs := mustNew(t, setup{})
	rs := mustNew(t, setup{Keys: []jwt.KeySource{jwt.Key{Value: &k.rsa.PublicKey}}})
	es := mustNew(t, setup{Keys: []jwt.KeySource{jwt.Key{Value: &k.p256.PublicKey}}})
	both := mustNew(t, setup{Keys: []jwt.KeySource{jwt.Key{Value: secret}, jwt.Key{Value: &k.rsa.PublicKey, ID: "r"}}})

	good := sign(t, valid(nil))
	parts := strings.Split(good, ".")
	admin := encode(t, valid(claims{"sub": "root"}))
	unsigned := func(algorithm any) string {
		return encode(t, claims{"alg": algorithm, "typ": "JWT"}) + "." + admin + "."
	}
	rsa256 := signWith(t, gojwt.SigningMethodRS256, k.rsa, nil, valid(nil))
	pkix := publicPEM(t, &k.rsa.PublicKey)
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&k.rsa.PublicKey)})
	der, _ := x509.MarshalPKIXPublicKey(&k.rsa.PublicKey)

	cases := []struct {
		name   string
		a      *jwt.Authenticator
		token  string
		label  string
		reason string
	}{
		{"none", hs, unsigned("none"), "bad_algorithm", `algorithm "none"`},
		{"None", hs, unsigned("None"), "bad_algorithm", `"None"`},
		{"NONE", rs, unsigned("NONE"), "bad_algorithm", ""},
		{"none with the old signature", hs, unsigned("none") + parts[2], "bad_algorithm", ""},
		{"no algorithm", hs, encode(t, claims{"typ": "JWT"}) + "." + admin + ".", "bad_algorithm", `algorithm ""`},
		{"algorithm is a number", hs, unsigned(256), "bad_algorithm", ""},
		{"algorithm is a list", hs, unsigned([]string{"HS256"}), "bad_algorithm", ""},
		{"algorithm in small letters", hs, unsigned("hs256"), "bad_algorithm", ""},
		{"long algorithm", hs, unsigned(strings.Repeat("x", 100)), "bad_algorithm", strings.Repeat("x", 40) + "…"},
		{"no signature", hs, parts[0] + "." + parts[1] + ".", "bad_signature", "signed with another key?"},
		{"other claims", hs, parts[0] + "." + admin + "." + parts[2], "bad_signature", ""},
		{"signature cut", hs, good[:len(good)-3], "bad_signature", ""},
		{"another secret", hs, signWith(t, gojwt.SigningMethodHS256, []byte("x"), nil, valid(nil)), "bad_signature", ""},
		{"another algorithm of the secret", hs, signWith(t, gojwt.SigningMethodHS512, secret, nil, valid(nil)), "bad_algorithm", `"HS512"`},

		// An HMAC with the public key, which everybody knows.
		{"HS256 with the PEM file", rs, hmacOf(t, pkix, "HS256"), "bad_algorithm", `"HS256"`},
		{"HS256 with the PKCS 1 file", rs, hmacOf(t, pkcs1, "HS256"), "bad_algorithm", ""},
		{"HS256 with DER", rs, hmacOf(t, der, "HS256"), "bad_algorithm", ""},
		{"HS256 with the modulus", rs, hmacOf(t, k.rsa.N.Bytes(), "HS256"), "bad_algorithm", ""},
		{"HS256 where a secret is accepted too", both, hmacOf(t, pkix, "HS256"), "bad_signature", ""},
		{"HS256 as RS256", rs, hmacOf(t, pkix, "RS256"), "bad_signature", ""},
		{"HS256 with the RSA key's id", both,
			signWith(t, gojwt.SigningMethodHS256, pkix, claims{"kid": "r"}, valid(nil)), "bad_signature", ""},
		{"PS256 by the RS256 key", rs, signWith(t, gojwt.SigningMethodPS256, k.rsa, nil, valid(nil)), "bad_algorithm", ""},
		{"another RSA key", rs, signWith(t, gojwt.SigningMethodRS256, k.otherRSA, nil, valid(nil)), "bad_signature", ""},
		{"two spellings of alg", both, base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","ALG":"RS256","Alg":"none"}`)) +
			"." + admin + "." + strings.Split(rsa256, ".")[2], "bad_signature", ""},
		{"the key comes along", rs, signWith(t, gojwt.SigningMethodRS256, k.otherRSA, claims{
			"jwk": claims{"kty": "RSA", "n": base64.RawURLEncoding.EncodeToString(k.otherRSA.N.Bytes()), "e": "AQAB"},
			"jku": "https://attacker.example/keys", "x5u": "https://attacker.example/cert"}, valid(nil)), "bad_signature", ""},
		{"ECDSA of zeros", es, encode(t, claims{"alg": "ES256"}) + "." + admin + "." +
			base64.RawURLEncoding.EncodeToString(make([]byte, 64)), "bad_signature", ""},
		{"ECDSA in ASN.1", es, encode(t, claims{"alg": "ES256"}) + "." + admin + "." +
			base64.RawURLEncoding.EncodeToString([]byte{0x30, 6, 2, 1, 1, 2, 1, 1}), "bad_signature", ""},

		{"unknown kid", both, signWith(t, gojwt.SigningMethodRS256, k.rsa, claims{"kid": "../../etc/passwd"}, valid(nil)),
			"unknown_key", `no RS256 key has the token's key id "../../etc/passwd" (kid)`},
		{"kid is a number", hs, signWith(t, gojwt.SigningMethodHS256, secret, claims{"kid": 1}, valid(nil)), "malformed", "(kid) is not a string"},
		{"critical extension", hs, signWith(t, gojwt.SigningMethodHS256, secret, claims{"crit": []string{"b64"}, "b64": false}, valid(nil)),
			"malformed", "(crit)"},
		{"critical null", hs, signWith(t, gojwt.SigningMethodHS256, secret, claims{"crit": nil}, valid(nil)), "malformed", "(crit)"},

		{"two parts", hs, parts[0] + "." + parts[1], "malformed", "three parts"},
		{"four parts", hs, good + ".x", "malformed", ""},
		{"five parts", hs, good + ".x.y", "malformed", ""},
		{"claims not base64", hs, parts[0] + ".***." + parts[2], "malformed", ""},
		{"claims in padded base64", hs, parts[0] + "." + parts[1] + "=." + parts[2], "malformed", ""},
		{"claims not JSON", hs, parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte("{")) + "." + parts[2], "malformed", ""},
		{"claims a list", hs, parts[0] + "." + encode(t, []int{1}) + "." + parts[2], "malformed", ""},
		{"signature not base64", hs, parts[0] + "." + parts[1] + ".***", "malformed", ""},
		{"signature with other last bits", hs, withOtherLastBits(good), "malformed", ""},
		{"a line break in the signature", hs, good[:len(good)-3] + "\r" + good[len(good)-3:], "malformed", "line break"},
		{"a line break at the end", hs, good + "\n", "malformed", "line break"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			id, err := show(c.a, c.token)
			if id != nil {
				t.Fatalf("accepted as %q", id.User)
			}
			wantRefusal(t, err, broker.CodeBadUserOrPassword, c.label, c.reason, c.token)
		})
	}
	for a, token := range map[*jwt.Authenticator]string{hs: good, rs: rsa256} {
		if _, err := show(a, token); err != nil {
			t.Errorf("the token that is not forged: %v", err)
		}
	}
}

// withOtherLastBits changes the unused bits of the last base64 letter: the same bytes in another text.
func withOtherLastBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last^1])
}

// null instead of claims is refused, even if it is signed.
func TestSignedNull(t *testing.T) {
	text := encode(t, claims{"alg": "HS256"}) + "." + encode(t, nil)
	signature, err := gojwt.SigningMethodHS256.Sign(text, secret)
	if err != nil {
		t.Fatal(err)
	}
	token := text + "." + base64.RawURLEncoding.EncodeToString(signature)
	_, err = show(mustNew(t, setup{}), token)
	wantRefusal(t, err, broker.CodeNotAuthorized, "no_expiry", "", token)
	_, err = show(mustNew(t, setup{AllowNoExpiry: true}), token)
	wantRefusal(t, err, broker.CodeNotAuthorized, "no_user", "", token)
}

// FuzzAuthenticate checks that no token panics: each is refused, left to other authenticators, or accepted with
// exactly the claims that were signed.
func FuzzAuthenticate(f *testing.F) {
	addCorpus(f)
	good := sign(f, valid(nil))
	f.Add(good)
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Add(encode(f, claims{"alg": "none"}) + "." + encode(f, valid(nil)) + ".")
	f.Add(signWith(f, gojwt.SigningMethodHS256, secret, claims{"kid": "x", "crit": 1}, claims{"exp": 1e99, "nbf": []any{}}))
	f.Add("e30.e30.e30")
	a := mustNew(f, setup{Keys: []jwt.KeySource{
		jwt.Key{Value: secret}, jwt.Key{Value: &keys().p256.PublicKey}, jwt.Key{Value: keys().ed.Public()},
	}})
	f.Fuzz(func(t *testing.T, password string) {
		id, err := show(a, password)
		refusal, isRefusal := errors.AsType[*broker.Refusal](err)
		switch {
		case err == nil:
			if id.User != "ann" {
				t.Errorf("accepted as %q", id.User)
			}
		case isRefusal:
			if refusal.Label == "" || refusal.Code < 0x80 || refusal.Reason == "" {
				t.Errorf("refused with %+v", refusal)
			}
		case !errors.Is(err, broker.ErrNotConcerned):
			t.Errorf("got %v", err)
		}
		if _, err := jwt.Inspect(password); err != nil && len(password) > 20 && strings.Contains(err.Error(), password) {
			t.Error("Inspect's error shows the token")
		}
	})
}
