package jwt_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

func write(tb testing.TB, text []byte, mode os.FileMode) (path string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "key")
	overwrite(tb, path, text, mode)
	return path
}

func overwrite(tb testing.TB, path string, text []byte, mode os.FileMode) {
	tb.Helper()
	if err := os.WriteFile(path, text, mode); err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		tb.Fatal(err)
	}
}

func block(kind string, der []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// For each algorithm, with key files of openssl: the public half accepts signatures of the private half.
func TestEachAlgorithm(t *testing.T) {
	k := keys()
	rsaPrivate := block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k.rsa), nil)
	rsaPublic := block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&k.rsa.PublicKey), nil)
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return block("PRIVATE KEY", der, err)
	}
	p521DER, err := x509.MarshalECPrivateKey(k.p521)
	p521Private := append([]byte("-----BEGIN EC PARAMETERS-----\nBgUrgQQAIw==\n-----END EC PARAMETERS-----\n"),
		block("EC PRIVATE KEY", p521DER, err)...)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificateDER, err := x509.CreateCertificate(rand.Reader, template, template, k.ed.Public(), k.ed)
	certificate := block("CERTIFICATE", certificateDER, err)

	cases := []struct {
		algorithm       string
		isDefault       bool
		private, public []byte
	}{
		{"RS256", true, rsaPrivate, rsaPublic},
		{"RS384", false, pkcs8(k.rsa), publicPEM(t, &k.rsa.PublicKey)},
		{"RS512", false, rsaPrivate, rsaPublic},
		{"PS256", false, rsaPrivate, rsaPublic},
		{"PS384", false, rsaPrivate, rsaPublic},
		{"PS512", false, rsaPrivate, rsaPublic},
		{"ES256", true, pkcs8(k.p256), publicPEM(t, &k.p256.PublicKey)},
		{"ES384", true, pkcs8(k.p384), publicPEM(t, &k.p384.PublicKey)},
		{"ES512", true, p521Private, publicPEM(t, &k.p521.PublicKey)},
		{"EdDSA", true, pkcs8(k.ed), publicPEM(t, k.ed.Public())},
		{"EdDSA", true, pkcs8(k.ed), certificate},
		{"HS256", true, secret, secret},
		{"HS384", false, secret, secret},
		{"HS512", false, secret, secret},
	}
	for _, c := range cases {
		t.Run(c.algorithm, func(t *testing.T) {
			path := write(t, c.public, 0o600)
			var source jwt.KeySource = jwt.KeyFile{Path: path, Algorithm: c.algorithm, ID: "k"}
			if strings.HasPrefix(c.algorithm, "HS") {
				source = jwt.SecretFile{Path: path, Algorithm: c.algorithm, ID: "k"}
			}
			wanted := c.algorithm
			if c.isDefault {
				wanted = ""
			}
			key, err := jwt.ReadSigningKey(write(t, c.private, 0o600), wanted, "k")
			if err != nil {
				t.Fatal(err)
			}
			token, err := jwt.Mint(jwt.MintOptions{Key: key, User: "ann", Now: atNoon})
			if err != nil {
				t.Fatal(err)
			}
			if seen, err := jwt.Inspect(token); err != nil || seen.Algorithm != c.algorithm || seen.KeyID != "k" {
				t.Errorf("it is a %+v, %v", seen, err)
			}
			if id, err := show(mustNew(t, setup{Keys: []jwt.KeySource{source}}), token); err != nil || id.User != "ann" {
				t.Errorf("got %+v, %v", id, err)
			}
		})
	}
}

// The secret is the file's text, so that openssl and other programs can sign for the broker.
func TestSecretIsTheText(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl here")
	}
	path := filepath.Join(t.TempDir(), "secret")
	text, _, err := jwt.LoadOrCreateSecret(path)
	if err != nil {
		t.Fatal(err)
	}
	head := encode(t, claims{"alg": "HS256"}) + "." + encode(t, valid(nil))
	command := exec.Command(openssl, "dgst", "-sha256", "-binary", "-hmac", string(text))
	command.Stdin = strings.NewReader(head)
	signature, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	token := head + "." + strings.TrimRight(base64URL(signature), "=")
	if _, err := show(mustNew(t, setup{Keys: []jwt.KeySource{jwt.SecretFile{Path: path}}}), token); err != nil {
		t.Error(err)
	}
}

func TestKeysByID(t *testing.T) {
	old, current, nameless := []byte("the old key, of more than 32 bytes"), []byte("the current key, of more than 32 bytes"), []byte("the nameless key, of more than 32 bytes")
	a := mustNew(t, setup{Keys: []jwt.KeySource{
		jwt.Key{ID: "old", Value: old}, jwt.Key{ID: "current", Value: current}, jwt.Key{Value: nameless},
	}})
	onlyNamed := mustNew(t, setup{Keys: []jwt.KeySource{jwt.Key{ID: "old", Value: old}}})
	cases := []struct {
		name  string
		a     *jwt.Authenticator
		id    string
		key   []byte
		label string
	}{
		{"its key", a, "old", old, ""},
		{"its other key", a, "current", current, ""},
		{"the key of another id", a, "old", current, "bad_signature"},
		{"no id", a, "", current, ""},
		{"no id, nameless", a, "", nameless, ""},
		{"unknown id, nameless", a, "x", nameless, ""},
		{"unknown id, named", a, "x", old, "bad_signature"},
		{"known id, nameless", a, "old", nameless, "bad_signature"},
		{"unknown id", onlyNamed, "x", old, "unknown_key"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			token, err := jwt.Mint(jwt.MintOptions{Key: jwt.SigningKey{ID: c.id, Value: c.key}, User: "ann", Now: atNoon})
			if err != nil {
				t.Fatal(err)
			}
			id, err := show(c.a, token)
			if c.label != "" {
				wantRefusal(t, err, broker.CodeBadUserOrPassword, c.label, "", token)
			} else if err != nil || id.User != "ann" {
				t.Errorf("got %+v, %v", id, err)
			}
		})
	}
}

func TestBadKeys(t *testing.T) {
	k := keys()
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	weak := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}
	private, _ := x509.MarshalPKCS8PrivateKey(k.p256)
	public := publicPEM(t, &k.p256.PublicKey)
	file := func(text []byte, algorithm string) jwt.KeyFile {
		return jwt.KeyFile{Path: write(t, text, 0o644), Algorithm: algorithm}
	}
	cases := []struct {
		name string
		key  jwt.KeySource
		want string
	}{
		{"short secret", jwt.Key{Value: []byte("short")}, "the secret has 5 bytes, and HS256 needs at least 32"},
		{"short for HS512", jwt.Key{Value: make([]byte, 63), Algorithm: "HS512"}, "the secret has 63 bytes, and HS512 needs at least 64"},
		{"public key as a secret", jwt.Key{Value: public}, "HS256 needs a secret, and this is a PEM file; choose the algorithm of its key"},
		{"RSA for HS256", jwt.Key{Value: &k.rsa.PublicKey, Algorithm: "HS256"}, "HS256 needs a secret, not a public key"},
		{"secret for RS256", jwt.Key{Value: secret, Algorithm: "RS256"}, "RS256 needs an RSA key"},
		{"P-256 for ES384", jwt.Key{Value: &k.p256.PublicKey, Algorithm: "ES384"}, "ES384 needs an ECDSA key on the curve P-384"},
		{"RSA for EdDSA", jwt.Key{Value: &k.rsa.PublicKey, Algorithm: "EdDSA"}, "EdDSA needs an Ed25519 key"},
		{"weak RSA", jwt.Key{Value: weak}, "the RSA key has 1024 bits, and RS256 needs at least 2048"},
		{"P-224", jwt.Key{Value: &p224.PublicKey}, "unsupported type of key"},
		{"nothing", jwt.Key{}, "unsupported type of key"},
		{"none", jwt.Key{Value: secret, Algorithm: "none"}, `algorithm "none" is not one of HS256`},
		{"no file", jwt.KeyFile{Path: "/nowhere/key.pem"}, "key file /nowhere/key.pem: no such file or directory"},
		{"no PEM", file([]byte("hello"), ""), "is not a PEM file; it should begin with -----BEGIN PUBLIC KEY-----"},
		{"private", file(block("PRIVATE KEY", private, nil), ""), "is a private key, which the broker does not need; write its public key with openssl pkey -pubout"},
		{"two keys", file(append(public, public...), ""), "has more than one key; write each to a file of its own"},
		{"something else", file(block("MESSAGE", nil, nil), ""), `has a "MESSAGE", not a public key or a certificate`},
		{"broken", file(block("PUBLIC KEY", []byte("x"), nil), ""), "key file"},
		{"another algorithm", file(public, "RS256"), "RS256 needs an RSA key"},
		{"huge", file(make([]byte, 2<<20), ""), "is larger than 1048576 bytes"},
		{"a folder", jwt.KeyFile{Path: t.TempDir()}, "is a directory"},
		{"a PEM file as a secret file", jwt.SecretFile{Path: write(t, public, 0o600)}, "this is a PEM file"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, err := setup{Keys: []jwt.KeySource{c.key}}.open()
			if a != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), string(secret)) {
				t.Error("the error shows the secret")
			}
		})
	}
}

func TestAllKeyErrorsAtOnce(t *testing.T) {
	_, err := setup{Keys: []jwt.KeySource{
		jwt.Key{ID: "a", Value: secret}, jwt.Key{ID: "a", Value: secret}, jwt.KeyFile{Path: "/nowhere"}, jwt.Key{ID: "b", Value: []byte("x")},
	}}.open()
	if err == nil {
		t.Fatal("it was accepted")
	}
	for _, want := range []string{`two HS256 keys have the id "a"`, "/nowhere", `key "b": the secret has 1 bytes`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	if _, err := (setup{}).open(); err == nil || !strings.Contains(err.Error(), "no key; configure") {
		t.Errorf("without keys: %v", err)
	}
}

func TestReload(t *testing.T) {
	first, second := []byte("the first key, of more than 32 bytes"), []byte("the second key, of more than 32 bytes")
	path := write(t, first, 0o600)
	a := mustNew(t, setup{Keys: []jwt.KeySource{jwt.SecretFile{Path: path}}})
	mint := func(key []byte) string {
		token, err := jwt.Mint(jwt.MintOptions{Key: jwt.SigningKey{Value: key}, User: "ann", Now: atNoon})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	accepted := func(key []byte) bool {
		_, err := show(a, mint(key))
		return err == nil
	}
	overwrite(t, path, []byte("short"), 0o600)
	if err := a.Reload(); err == nil || !accepted(first) {
		t.Errorf("a broken file: %v, and the old key is accepted: %v", err, accepted(first))
	}
	overwrite(t, path, second, 0o644)
	if err := a.Reload(); err == nil || !strings.Contains(err.Error(), "run chmod 600 "+path) || !accepted(first) {
		t.Errorf("a file for all: %v, and the old key is accepted: %v", err, accepted(first))
	}
	overwrite(t, path, second, 0o600)
	if err := a.Reload(); err != nil || accepted(first) || !accepted(second) {
		t.Errorf("a new file: %v", err)
	}
}

func TestReloadWhileAsked(t *testing.T) {
	a := mustNew(t, setup{})
	token := sign(t, valid(nil))
	done := make(chan struct{})
	var asking sync.WaitGroup
	for range 2 {
		asking.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := show(a, token); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 100 {
		if err := a.Reload(); err != nil {
			t.Error(err)
		}
	}
	close(done)
	asking.Wait()
}
