package jwt_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// Every reader refuses secrets that protect nothing.
func TestDegenerateSecrets(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"zeros", strings.Repeat("\x00", 64), "repeats itself"},
		{"one letter", strings.Repeat("s", 40), "repeats itself"},
		{"blanks", strings.Repeat(" ", 40), "repeats itself"},
		{"a word many times", strings.Repeat("secret", 8), "repeats itself"},
		{"a word many times and a part", strings.Repeat("12345678", 5) + "123", "repeats itself"},
		{"a byte order mark", "\xef\xbb\xbfa secret of tests, of more than 32 bytes", "byte order mark"},
		{"UTF-16", "\xff\xfe" + strings.Join(strings.Split("a secret of tests, of more than 32 bytes", ""), "\x00") + "\x00", "UTF-16"},
		{"two lines", "a secret of tests, of more than 32 bytes\nand a note", "several lines"},
		{"empty", "", "has 0 bytes"},
		{"line ends", strings.Repeat("\n", 40), "has 0 bytes"},
		{"too short", "a secret", "has 8 bytes"},
		{"a PEM file", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: make([]byte, 60)})), "PEM file"},
		{"a good one", "a secret of tests, of more than 32 bytes\n", ""},
		{"any bytes, line ends among them", "\xff\xfe\x0a\x01\x9c\x0d" + strings.Repeat("\x80\x0a\xc1", 3) + "abcdefghijklmnopqrstuvw", ""},
	} {
		_, err := jwt.SecretFile{Path: write(t, []byte(tt.text), 0o600)}.Keys()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if err != nil && len(tt.text) > 8 && strings.Contains(err.Error(), tt.text[:8]) {
			t.Errorf("%s: %v shows the secret", tt.name, err)
		}
	}
}

// Errors of damaged or wrong key files describe the damage.
func TestDegenerateKeyFiles(t *testing.T) {
	good := string(publicPEM(t, &keys().rsa.PublicKey))
	der, _ := pem.Decode([]byte(good))
	encrypted := pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("x"),
	})
	for _, tt := range []struct{ name, text, want string }{
		{"good", good, ""},
		{"a note before it", "Modulus: 12\n" + good, ""},
		{"blanks behind it", good + "\n \r\n", ""},
		{"empty", "", "is empty"},
		{"blanks", " \n\n", "is empty"},
		{"zeros", strings.Repeat("\x00", 400), "null characters"},
		{"one letter", strings.Repeat("A", 400), "not a PEM file"},
		{"a byte order mark", "\xef\xbb\xbf" + good, "byte order mark"},
		{"UTF-16", "\xff\xfe" + strings.Join(strings.Split(good, ""), "\x00") + "\x00", "UTF-16"},
		{"cut off", good[:len(good)/2], "not a PEM file"},
		{"cut off inside", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der.Bytes[:100]})), "asn1"},
		{"something behind its numbers", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: append(slices.Clone(der.Bytes), 0)})), "trailing"},
		{"no numbers", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY"})), "asn1"},
		{"a second one", good + good, "more than one key"},
		{"half of a second one", good + good[:100], "extra text after the key"},
		{"text behind it", good + "a note\n", "extra text after the key"},
		{"encrypted", string(encrypted), "is encrypted"},
		{"encrypted, PKCS 8", string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})), "is encrypted"},
		{"an SSH key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI ann@example\n", "not a PEM file"},
	} {
		_, err := jwt.KeyFile{Path: write(t, []byte(tt.text), 0o644)}.Keys()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(keys().rsa)})
	for name, text := range map[string][]byte{"encrypted": encrypted, "extra": append(private, "note"...)} {
		if _, err := jwt.ReadSigningKey(write(t, text, 0o600), "", ""); err == nil || !strings.Contains(err.Error(), strings.Fields(name)[0]) {
			t.Errorf("a key to sign with, %s: %v", name, err)
		}
	}
}

// point decodes a public key of Ed25519.
func point(t *testing.T, text string) ed25519.PublicKey {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 32 {
		t.Fatal(text, err)
	}
	return b
}

// Keys that let everybody sign are refused.
func TestDegenerateNumbers(t *testing.T) {
	n := keys().rsa.N
	ones := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 2048), big.NewInt(1))
	zeros := strings.Repeat("00", 31)
	for _, tt := range []struct {
		name string
		key  any
		want string
	}{
		{"a good RSA key", &rsa.PublicKey{N: n, E: 65537}, ""},
		{"exponent 3", &rsa.PublicKey{N: n, E: 3}, ""},
		{"exponent 1", &rsa.PublicKey{N: n, E: 1}, "exponent"},
		{"exponent 0", &rsa.PublicKey{N: n, E: 0}, "exponent"},
		{"an even exponent", &rsa.PublicKey{N: n, E: 65536}, "exponent"},
		{"a negative exponent", &rsa.PublicKey{N: n, E: -3}, "exponent"},
		{"all bits set", &rsa.PublicKey{N: ones, E: 65537}, "small factor"},
		{"one byte", &rsa.PublicKey{N: new(big.Int).SetBytes(bytes.Repeat([]byte{0xab}, 256)), E: 65537}, "small factor"},
		{"even", &rsa.PublicKey{N: new(big.Int).Add(n, big.NewInt(1)), E: 65537}, "small factor"},
		{"a multiple of 997", &rsa.PublicKey{N: new(big.Int).Mul(n, big.NewInt(997)), E: 65537}, "small factor"},
		{"a good point", keys().ed.Public(), ""},
		{"the neutral element", point(t, "01"+zeros), "anyone can forge"},
		{"the neutral element, with a sign", point(t, "01"+strings.Repeat("00", 30)+"80"), "anyone can forge"},
		{"zeros", point(t, "00"+zeros), "anyone can forge"},
		{"order 2", point(t, "ec"+strings.Repeat("ff", 30)+"7f"), "anyone can forge"},
		{"order 4, as p", point(t, "ed"+strings.Repeat("ff", 30)+"7f"), "anyone can forge"},
		{"order 1, as p+1", point(t, "ee"+strings.Repeat("ff", 30)+"7f"), "anyone can forge"},
		{"order 8", point(t, "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "anyone can forge"},
		{"order 8, the other", point(t, "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "anyone can forge"},
		{"no point", point(t, "02"+zeros), "not a point"},
	} {
		_, err := jwt.Key{Value: tt.key}.Complete()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	for range 50 {
		public, _, _ := ed25519.GenerateKey(nil)
		if _, err := (jwt.Key{Value: public}).Complete(); err != nil {
			t.Errorf("%x: %v", public, err)
		}
	}
}

// signText signs any text as claims.
func signText(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256"}`)) + "." + encode([]byte(claims))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}

// A user name or token id is visible text or a whole number.
func TestNamesInTokens(t *testing.T) {
	a := mustNew(t, setup{})
	for _, tt := range []struct{ claims, user, label string }{
		{`"sub":"ann"`, "ann", ""},
		{`"sub":42`, "42", ""},
		{`"sub":-7`, "-7", ""},
		{`"sub":123456789012345678901234567890`, "123456789012345678901234567890", ""},
		{`"sub":"名前 with a space"`, "名前 with a space", ""},
		{`"sub":4.2`, "", "no_user"},
		{`"sub":1e3`, "", "no_user"},
		{`"sub":true`, "", "no_user"},
		{`"sub":["ann"]`, "", "no_user"},
		{`"sub":{"name":"ann"}`, "", "no_user"},
		{`"sub":null`, "", "no_user"},
		{`"sub":""`, "", "no_user"},
		{`"admin":true`, "", "no_user"},
		{`"sub":"a\u0000"`, "", "no_user"},
		{`"sub":"a\nb"`, "", "no_user"},
		{`"sub":"a\u009f"`, "", "no_user"},
		{`"sub":"a\ufffd"`, "", "no_user"},
		{`"sub":"a\ud800"`, "", "no_user"}, // half a surrogate pair, which decoders replace
		{"\"sub\":\"a\xff\"", "", "no_user"},
		{`"sub":"` + strings.Repeat("x", 2000) + `"`, "", "no_user"},
		{`"sub":"ann","jti":"7f3c91"`, "ann", ""},
		{`"sub":"ann","jti":7`, "ann", ""},
		{`"sub":"ann","jti":123456789012345678901234567890`, "ann", ""},
		{`"sub":"ann","jti":0.5`, "", "bad_claim"},
		{`"sub":"ann","jti":true`, "", "bad_claim"},
		{`"sub":"ann","jti":["7f3c91"]`, "", "bad_claim"},
		{`"sub":"ann","jti":null`, "", "bad_claim"},
		{`"sub":"ann","jti":"a\u0000"`, "", "bad_claim"},
	} {
		id, err := show(a, signText(`{"exp":`+unixOfNoon(3600)+`,`+tt.claims+`}`))
		if tt.label == "" {
			if err != nil || id.User != tt.user {
				t.Errorf("%s: %+v, %v", tt.claims, id, err)
			}
			continue
		}
		if refusal, _ := err.(*broker.Refusal); refusal == nil || refusal.Label != tt.label {
			t.Errorf("%s: %+v, %v, want %s", tt.claims, id, err, tt.label)
		}
	}
	for _, behind := range []string{"{}", " x", `{"sub":"bob"}`, "\x00"} {
		_, err := show(a, signText(`{"exp":`+unixOfNoon(3600)+`,"sub":"ann"}`+behind))
		if refusal, _ := err.(*broker.Refusal); refusal == nil || refusal.Label != "malformed" {
			t.Errorf("%q behind the claims: %v", behind, err)
		}
	}
}

func TestNumericTokenIDIsAString(t *testing.T) {
	id, err := show(mustNew(t, setup{}), signText(`{"exp":`+unixOfNoon(3600)+`,"sub":"ann","jti":12345678901234567890}`))
	if err != nil || id.Claims["jti"] != "12345678901234567890" {
		t.Errorf("%+v, %v", id, err)
	}
}

// unixOfNoon returns the time so many seconds after noon, as a claim.
func unixOfNoon(seconds int64) string { return strconv.FormatInt(noon.Unix()+seconds, 10) }
