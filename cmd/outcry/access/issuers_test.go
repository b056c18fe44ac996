package access

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

// newKey writes the private half of a new key to a file.
func newKey(t *testing.T, path string, key crypto.Signer) crypto.Signer {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return key
}

func newECDSA(t *testing.T, path string) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newKey(t, path, key)
}

// keySet returns a key set with the public half of a key.
func keySet(t *testing.T, id string, key crypto.Signer) []byte {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{KeyID: id, Key: key.Public(), Use: "sig"}, {KeyID: "e", Key: key.Public(), Use: "enc"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Tokens of an issuer with keys at a URL, and of one with keys in a file, are accepted beside the broker's own; their
// keys can change while the broker runs.
func TestIssuersOfTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	var answer atomic.Value
	answer.Store(keySet(t, "k1", newECDSA(t, filepath.Join(dir, "url.pem"))))
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(answer.Load().([]byte))
	}))
	t.Cleanup(source.Close)
	writeSet := func(key crypto.Signer) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "keys.json"), keySet(t, "f", key), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	writeSet(newKey(t, filepath.Join(dir, "file.pem"), ed))
	outcrytest.WriteConfig(t, dir, outcrytest.AliceMaySpeak+"auth:\n  jwt:\n    issuers:\n"+
		"      - {issuer: https://url.example, audience: [mqtt], user_claim: name, jwks_url: '"+source.URL+"/keys'}\n"+
		"      - {issuer: https://file.example, jwks_file: keys.json}\n")
	p := outcrytest.StartServe(t, dir)
	mayPublish := func(token string) bool {
		status, _, _ := p.Client("pub", token, "-t", "news/today", "-m", "x", "-q", "1")
		return status == 0
	}
	byURL := []string{"--user", "x", "--claim", "name=alice", "--issuer", "https://url.example", "--key", filepath.Join(dir, "url.pem"), "--kid", "k1"}
	ofURL := append(byURL[:len(byURL):len(byURL)], "--audience", "mqtt")
	ofFile := []string{"--user", "alice", "--issuer", "https://file.example", "--key", filepath.Join(dir, "file.pem"), "--kid", "f"}
	for name, args := range map[string][]string{"own": {"--user", "alice"}, "URL": ofURL, "file": ofFile} {
		if !mayPublish(p.Token(args...)) {
			t.Errorf("%s: refused", name)
		}
	}
	for name, args := range map[string][]string{
		"the file's key in the name of the other": append(ofFile[:len(ofFile):len(ofFile)], "--issuer", "https://url.example", "--audience", "mqtt"),
		"for another audience":                    append(byURL[:len(byURL):len(byURL)], "--audience", "other"),
		"the secret in the name of another":       {"--user", "alice", "--issuer", "https://file.example"},
	} {
		if mayPublish(p.Token(args...)) {
			t.Errorf("%s: accepted", name)
		}
	}

	before := p.Token(ofFile...)
	_, ed, _ = ed25519.GenerateKey(rand.Reader)
	writeSet(newKey(t, filepath.Join(dir, "file.pem"), ed))
	p.HangUp("msg=reloaded", "whole=true")
	if mayPublish(before) || !mayPublish(p.Token(ofFile...)) {
		t.Error("the file's new key does not hold")
	}
	outcrytest.WriteConfig(t, dir, outcrytest.AliceMaySpeak)
	p.HangUp("msg=reloaded", "whole=true")
	if mayPublish(p.Token(ofURL...)) || !mayPublish(p.Token("--user", "alice")) {
		t.Error("issuers that went are there, or the broker's own is not")
	}
	p.Stop()
}

func TestCheckTellsOfKeySets(t *testing.T) {
	outcrytest.InFolder(t, map[string]string{
		"config.yaml": "auth:\n  jwt:\n    issuers:\n      - {issuer: a, audience: [m], jwks_file: keys.json}\n",
		"keys.json":   string(keySet(t, "k", newECDSA(t, filepath.Join(t.TempDir(), "key.pem")))),
	})
	status, stdout, stderr := outcrytest.Call(t, "", "check")
	const want = `config.yaml:4:47: auth.jwt.issuers[0].jwks_file: ignored: key 1 ("e") is not for signatures (use "enc")`
	if status != 0 || !strings.Contains(stdout, want) {
		t.Errorf("status %d, error %q\n%s\nwant %s", status, stderr, stdout, want)
	}
	if err := os.WriteFile("keys.json", []byte(`{"keys":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, stderr = outcrytest.Call(t, "", "check")
	if status != 1 || !strings.HasPrefix(stderr, "config.yaml:4:47: auth.jwt.issuers[0].jwks_file: key set keys.json: has no keys") {
		t.Errorf("status %d, error %q", status, stderr)
	}
}

func TestInspectTellsWhichKey(t *testing.T) {
	outcrytest.NewSecret(t)
	key := newECDSA(t, "key.pem")
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(keySet(t, "k", key)) }))
	t.Cleanup(source.Close)
	newECDSA(t, "other.pem")
	issuers := "auth.jwt.issuers=[{issuer: a, audience: [mqtt], jwks_url: '" + source.URL + "'}]"
	ofA := []string{"--user", "alice", "--issuer", "a", "--audience", "mqtt"}
	for _, tt := range []struct {
		name   string
		args   []string // of outcry token
		status int
		want   []string
	}{
		{"by the URL's key", append(ofA, "--key", "key.pem", "--kid", "k"), 0, []string{
			"issuer     a\n", `key        "k" (ES256, key set ` + source.URL + `) verifies the signature`, `accepted   yes: the signature is valid, the user is "alice"`}},
		{"by another key", append(ofA, "--key", "other.pem", "--kid", "k"), 1, []string{"does not verify the signature", "accepted   no: token's signature"}},
		{"by the secret", ofA, 1, []string{"issuer     a\n", "is for ES256, and the token's algorithm is HS256", "accepted   no: no key for"}},
		{"the broker's own", []string{"--user", "alice"}, 0, []string{"issuer     the broker itself", `key        "" (HS256, secret file data/secret) verifies the signature`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token := outcrytest.MintToken(t, tt.args...)
			status, text, stderr := outcrytest.Call(t, "", "token", "inspect", token, "--set", issuers)
			for _, want := range tt.want {
				if status != tt.status || !strings.Contains(text, want) {
					t.Errorf("status %d, error %q, want %d and %q in\n%s", status, stderr, tt.status, want, text)
				}
			}
		})
	}
	source.Close()
	status, text, stderr := outcrytest.Call(t, "", "token", "inspect", outcrytest.MintToken(t, append(ofA, "--key", "key.pem", "--kid", "k")...), "--set", issuers)
	if status != 1 || !strings.Contains(text, "are not known yet") || !strings.Contains(stderr, "key set cannot be read") {
		t.Errorf("a source that is away: status %d, error %q\n%s", status, stderr, text)
	}
}
