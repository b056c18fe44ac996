package jwks_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/hooks/jwt"
	"github.com/outcry-mqtt/outcry/hooks/jwt/jwks"
)

type changes = map[string]any

func TestWhatIsTaken(t *testing.T) {
	k := keys()
	text := set(t,
		member(t, &k.rsa.PublicKey, "r", "", changes{"use": nil}),
		member(t, &k.rsa.PublicKey, "r", "PS512", nil),
		member(t, &k.p256.PublicKey, "e", "", changes{"key_ops": []string{"verify"}, "x5t": nil, "more": 1}),
		member(t, &k.p384.PublicKey, "", "", nil),
		member(t, &k.p521.PublicKey, "", "ES512", nil),
		member(t, k.ed.Public(), "d", "EdDSA", nil),
	)
	got, err := jwks.Parse([]byte(text), "here", false)
	if err != nil || len(got.LeftOut) > 0 {
		t.Fatal(err, got.LeftOut)
	}
	var names []string
	for _, key := range got.Keys {
		names = append(names, key.ID+" "+key.Algorithm+" "+key.Origin)
	}
	want := []string{" ES384 here", " ES512 here", "d EdDSA here", "e ES256 here", "r PS512 here", "r RS256 here"}
	if !slices.Equal(names, want) {
		t.Errorf("got  %q\nwant %q", names, want)
	}
}

func TestWhatIsLeftOut(t *testing.T) {
	k := keys()
	good := member(t, &k.p256.PublicKey, "good", "", nil)
	point := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	for _, c := range []struct {
		name   string
		member map[string]any
		why    string
	}{
		{"for encryption", member(t, &k.rsa.PublicKey, "x", "", changes{"use": "enc"}), `is not for signatures (use "enc")`},
		{"for encryption by its algorithm", member(t, &k.rsa.PublicKey, "x", "RSA-OAEP", nil), `algorithm "RSA-OAEP" is not one of`},
		{"for signing only", member(t, &k.rsa.PublicKey, "x", "", changes{"key_ops": []string{"sign"}}), "is not for verifying signatures (key_ops)"},
		{"no operations", member(t, &k.rsa.PublicKey, "x", "", changes{"key_ops": []string{}}), "is not for verifying signatures (key_ops)"},
		{"operations of another kind", member(t, &k.rsa.PublicKey, "x", "", changes{"key_ops": "verify"}), "is not a JSON object with the members of a key"},
		{"no algorithm", member(t, &k.rsa.PublicKey, "x", "none", nil), `algorithm "none" is not one of`},
		{"a public key as a secret", member(t, &k.rsa.PublicKey, "x", "HS256", nil), "HS256 needs a secret, not a public key"},
		{"weak", member(t, &k.weak.PublicKey, "x", "", nil), "the RSA key has 1024 bits, and RS256 needs at least 2048"},
		{"another curve than its algorithm's", member(t, &k.p384.PublicKey, "x", "ES256", nil), "ES256 needs an ECDSA key on the curve P-256"},
		{"another curve than its point's", member(t, &k.p256.PublicKey, "x", "", changes{"crv": "P-384"}), `is malformed (kty "EC")`},
		{"a point that is none", member(t, &k.p256.PublicKey, "x", "", changes{"x": point}), `is malformed (kty "EC")`},
		{"the point at infinity", member(t, &k.p256.PublicKey, "x", "", changes{"x": point, "y": point}), `is malformed (kty "EC")`},
		{"secp256k1", member(t, &k.p256.PublicKey, "x", "", changes{"crv": "secp256k1"}), `has an unsupported or weak type (kty "EC", crv "secp256k1")`},
		{"a key that is none of Ed25519", member(t, k.ed.Public(), "x", "", changes{"x": "AAAA"}), `is malformed (kty "OKP")`},
		{"X25519", member(t, k.ed.Public(), "x", "", changes{"crv": "X25519"}), `has an unsupported or weak type`},
		{"unknown kind", changes{"kty": "AKP", "kid": "x", "pub": "AAAA"}, "has an unsupported"},
		{"no kind", changes{"kid": "x"}, `is malformed (kty "")`},
		{"a secret", member(t, secret, "x", "HS256", nil), "is a secret, which is allowed only in a file that its owner alone can read"},
		{"private RSA", member(t, k.rsa, "x", "", nil), "is a private key; publish only its public key"},
		{"private ECDSA", member(t, k.p256, "x", "", nil), "is a private key"},
		{"private Ed25519", member(t, k.ed, "x", "", nil), "is a private key"},
		{"no modulus", member(t, &k.rsa.PublicKey, "x", "", changes{"n": nil}), `is malformed (kty "RSA")`},
		{"exponent 1", member(t, &k.rsa.PublicKey, "x", "", changes{"e": "AQ"}), `is malformed (kty "RSA")`},
		{"a number for an id", member(t, &k.rsa.PublicKey, "x", "", changes{"kid": 7}), "is not a JSON object with the members of a key"},
		{"the id of another", member(t, &k.p256.PublicKey, "good", "", nil), "has the same id as another key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := jwks.Parse([]byte(set(t, good, c.member)), "here", false)
			if err != nil || len(got.Keys) != 1 || got.Keys[0].ID != "good" || len(got.LeftOut) != 1 {
				t.Fatalf("got %d keys, left out %v, %v", len(got.Keys), got.LeftOut, err)
			}
			if l := got.LeftOut[0]; l.Index != 1 || !strings.Contains(l.Why, c.why) {
				t.Errorf("got  %s\nwant %s", l, c.why)
			}
			if _, err := jwks.Parse([]byte(set(t, c.member)), "here", false); c.member["kid"] != "good" && err == nil {
				t.Error("alone it is taken")
			}
		})
	}
}

func TestMembersTwice(t *testing.T) {
	text := strings.Replace(public(t, keys().p256, "x"), `"use":"sig"`, `"use":"enc","use":"sig"`, 1)
	if got, err := jwks.Parse([]byte(text), "here", false); err == nil {
		t.Errorf("a key with two uses is taken: %v", got.Keys)
	}
}

func TestTooManyKeys(t *testing.T) {
	var members []map[string]any
	for i := range 70 {
		members = append(members, member(t, keys().ed.Public(), fmt.Sprint(i), "", nil))
	}
	got, err := jwks.Parse([]byte(set(t, members...)), "here", false)
	if err != nil || len(got.Keys) != 64 || len(got.LeftOut) != 6 {
		t.Errorf("%d keys, %d left out, %v", len(got.Keys), len(got.LeftOut), err)
	}
}

func TestNoSet(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "is not a key set",
		"<html>":                        "is not a key set",
		"[]":                            "is not a key set",
		`{"keys": {}}`:                  "is not a key set",
		`{"keys": []}{}`:                "is not a key set",
		"{}":                            "has no keys",
		`{"keys": null}`:                "has no keys",
		`{"KEYS": [{"kty": "RSA"}]}`:    "has no keys",
		`{"keys": [null]}`:              "has no usable key: key 0",
		`{"keys": [7, "x", []]}`:        "has no usable key: key 0",
		strings.Repeat(" ", 1<<20+1):    "is larger than 1048576 bytes",
		strings.Repeat("[", 200_000):    "is not a key set",
		`{"keys": [{"kty": "oct"}]}`:    "is a secret",
		"\xef\xbb\xbf" + `{"keys": []}`: "byte order mark",
		"\xff\xfe{\x00}\x00":            "UTF-16",
		strings.Repeat("\x00", 500):     "null characters",

		`{"keys": [{"kty": "RSA", "e": "AQ", "n": "` + strings.Repeat("_", 342) + `"}]}`:     "key 0",
		`{"keys": [{"kty": "RSA", "e": "AQAB", "n": "` + strings.Repeat("_", 340) + `_w"}]}`: "small factor",
		`{"keys":[],"keys":[{"kty":1}]}`: "is not a key set",
	} {
		if _, err := jwks.Parse([]byte(text), "here", false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %s", text, err, want)
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	text := set(t, member(t, secret, "s", "HS256", nil), member(t, &keys().p256.PublicKey, "e", "", nil))
	write(text, 0o600)
	a, err := jwt.New(jwt.Options{Issuers: []jwt.Issuer{{Keys: []jwt.KeySource{jwks.File{Path: path}}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{mintToken(t, "", secret, "s"), mintToken(t, "", keys().p256, "e")} {
		if err := accept(t, a, token); err != nil {
			t.Error(err)
		}
	}
	write(text, 0o644)
	log := new(recorder)
	found, err := jwks.File{Path: path, Logger: log.logger()}.Keys()
	if err != nil || len(found) != 1 || found[0].ID != "e" || found[0].Origin != "key set "+path {
		t.Errorf("a file for all: %+v, %v", found, err)
	}
	if lines := log.lines("key of a key set ignored"); len(lines) != 1 || !strings.Contains(lines[0], "its owner alone") {
		t.Errorf("logged %q", lines)
	}
	write("{}", 0o600)
	if _, err := (jwks.File{Path: path}).Keys(); err == nil || err.Error() != "key set "+path+": has no keys" {
		t.Errorf("got %v", err)
	}
	if _, err := (jwks.File{Path: "/nowhere/keys"}).Keys(); err == nil || err.Error() != "key set /nowhere/keys: no such file or directory" {
		t.Errorf("got %v", err)
	}
}

// FuzzParse checks that accepted keys are valid, strong and public, and that nothing panics.
func FuzzParse(f *testing.F) {
	addCorpus(f)
	k := keys()
	f.Add([]byte(set(f, member(f, &k.rsa.PublicKey, "r", "", nil), member(f, &k.p256.PublicKey, "e", "", nil), member(f, k.ed.Public(), "d", "", nil))))
	f.Add([]byte(set(f, member(f, k.p384, "private", "", nil), member(f, secret, "s", "HS256", nil))))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"","y":"","x5c":["AA=="],"x5u":"http://x","kid":null}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"","alg":"none","use":"","key_ops":[]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := jwks.Parse(text, "here", false)
		if err == nil && len(got.Keys) == 0 {
			t.Error("no keys and no error")
		}
		for _, key := range got.Keys {
			if again, err := key.Complete(); err != nil || again.Algorithm != key.Algorithm || strings.HasPrefix(key.Algorithm, "HS") {
				t.Errorf("took %+v: %v", key, err)
			}
		}
	})
}
