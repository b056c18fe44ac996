package jwt_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// Three issuers: one for any issuer name with the secret, one with an RSA key, one with an ECDSA key. Each key signs
// the tokens of its own issuer only.
func TestSeveralIssuers(t *testing.T) {
	k := keys()
	const red, blue = "https://red.example", "https://blue.example"
	a := mustOpen(t, jwt.Options{Now: atNoon, Issuers: []jwt.Issuer{
		{Keys: []jwt.KeySource{jwt.Key{Value: secret}}},
		{Name: red, Audience: []string{"outcry"}, UserClaim: "email", Keys: []jwt.KeySource{jwt.Key{ID: "k", Value: &k.rsa.PublicKey}}},
		{Name: blue, Keys: []jwt.KeySource{
			jwt.Key{ID: "k", Value: &k.p256.PublicKey}, jwt.Key{ID: "r", Algorithm: "PS256", Value: &k.otherRSA.PublicKey},
		}},
	}})
	hs, rs, ps, es := gojwt.SigningMethodHS256, gojwt.SigningMethodRS256, gojwt.SigningMethodPS256, gojwt.SigningMethodES256
	ofRed := claims{"iss": red, "aud": "outcry", "email": "ann"}
	for _, c := range []struct {
		name   string
		method gojwt.SigningMethod
		key    any
		id     string
		claims claims
		label  string // empty: accepted
	}{
		{"red", rs, k.rsa, "k", ofRed, ""},
		{"red without kid", rs, k.rsa, "", ofRed, ""},
		{"blue", es, k.p256, "k", claims{"iss": blue}, ""},
		{"blue's other key", ps, k.otherRSA, "r", claims{"iss": blue}, ""},
		{"anybody", hs, secret, "", claims{"iss": "https://who.example"}, ""},
		{"nobody", hs, secret, "", nil, ""},
		{"red for another service", rs, k.rsa, "k", claims{"iss": red, "email": "ann"}, "bad_audience"},
		{"red with blue's claim for the user", rs, k.rsa, "k", claims{"iss": red, "aud": "outcry"}, "no_user"},

		{"blue's key in the name of red", es, k.p256, "k", ofRed, "bad_algorithm"},
		{"blue's RSA key in the name of red", rs, k.otherRSA, "k", ofRed, "bad_signature"},
		{"red's key in the name of blue", rs, k.rsa, "k", claims{"iss": blue}, "bad_algorithm"},
		{"red's key in the name of blue, as PS256", ps, k.rsa, "r", claims{"iss": blue}, "bad_signature"},
		{"red's key in nobody's name", rs, k.rsa, "k", nil, "bad_algorithm"},
		{"the secret in the name of red", hs, secret, "", ofRed, "bad_algorithm"},
		{"red's public key as a secret", hs, publicPEM(t, &k.rsa.PublicKey), "k", ofRed, "bad_algorithm"},
		{"red's public key as the secret of anybody", hs, publicPEM(t, &k.rsa.PublicKey), "k", claims{"iss": "x"}, "bad_signature"},
		{"a list of issuers", rs, k.rsa, "k", claims{"iss": []string{red, blue}}, "bad_algorithm"},
		{"blue's key, unknown kid", es, k.p256, "z", claims{"iss": blue}, "unknown_key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := claims{}
			if c.id != "" {
				header["kid"] = c.id
			}
			token := signWith(t, c.method, c.key, header, valid(c.claims))
			id, err := show(a, token)
			if c.label == "" {
				if err != nil || id.User != "ann" {
					t.Errorf("got %+v, %v", id, err)
				}
				return
			}
			if refusal, _ := err.(*broker.Refusal); refusal == nil || refusal.Label != c.label {
				t.Errorf("got %+v, %v, want %s", id, err, c.label)
			}
		})
	}
}

// If a token names two issuers, the verified one counts.
func TestIssuerTwiceInAToken(t *testing.T) {
	k := keys()
	a := mustOpen(t, jwt.Options{Now: atNoon, Issuers: []jwt.Issuer{
		{Name: "a", Keys: []jwt.KeySource{jwt.Key{Value: &k.rsa.PublicKey}}},
		{Name: "b", Keys: []jwt.KeySource{jwt.Key{Value: &k.otherRSA.PublicKey}}},
	}})
	for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
		text := fmt.Sprintf(`{"iss":%q,"iss":%q,"sub":"ann","exp":%d}`, order[0], order[1], noon.Unix()+60)
		head := encode(t, claims{"alg": "RS256"}) + "." + base64.RawURLEncoding.EncodeToString([]byte(text))
		signature, err := gojwt.SigningMethodRS256.Sign(head, k.rsa)
		if err != nil {
			t.Fatal(err)
		}
		id, err := show(a, head+"."+base64.RawURLEncoding.EncodeToString(signature))
		if (err == nil) != (order[1] == "a") || err == nil && id.Claims["iss"] != "a" {
			t.Errorf("%q: %+v, %v", order, id, err)
		}
	}
}

func TestIssuersThatAreWrong(t *testing.T) {
	_, err := jwt.New(jwt.Options{Issuers: []jwt.Issuer{
		{Name: "a", Keys: []jwt.KeySource{jwt.Key{Value: secret}}},
		{Name: "a", Keys: []jwt.KeySource{jwt.Key{Value: secret}}},
		{Name: "b"},
	}})
	if err == nil || !strings.Contains(err.Error(), `"a": is configured twice`) || !strings.Contains(err.Error(), `"b": no key;`) {
		t.Errorf("got %v", err)
	}
}

func TestNamesOfClaims(t *testing.T) {
	nested := claims{
		"preferred_username": "ann", "realm_access": claims{"roles": []any{"lobby"}}, "rooms": []any{"everywhere"},
		"https://example.com/rooms": "lobby", "https://example.com/acl": []any{"x"}, "acl": []any{"all"},
	}
	for _, c := range []struct {
		name         string
		o            setup
		rooms, rules any
	}{
		{"as they are", setup{}, "[everywhere]", nil},
		{"with dots", setup{RoomsClaim: "https://example.com/rooms"}, "lobby", nil},
		{"inside of others", setup{UserClaim: "preferred_username", RoomsClaim: "realm_access.roles"}, "[lobby]", nil},
		{"not there", setup{RoomsClaim: "realm_access.groups"}, nil, nil},
		{"through what is no object", setup{RoomsClaim: "rooms.0"}, nil, nil},
		{"rules", setup{RulesClaim: "acl"}, "[everywhere]", "[all]"},
		{"rules of another name", setup{RulesClaim: "https://example.com/acl"}, "[everywhere]", "[x]"},
		{"rules that are the rooms", setup{RoomsClaim: "acl", RulesClaim: "rooms"}, "[all]", "[everywhere]"},
	} {
		id, err := show(mustNew(t, c.o), sign(t, valid(nested)))
		if err != nil || id.User != "ann" {
			t.Errorf("%s: %+v, %v", c.name, id, err)
			continue
		}
		for claim, want := range map[string]any{"rooms": c.rooms, "acl": c.rules} {
			got, isThere := id.Claims[claim]
			if isThere != (want != nil) || isThere && fmt.Sprint(got) != want {
				t.Errorf("%s: %s is %v, want %v", c.name, claim, got, want)
			}
		}
	}
	if _, err := show(mustNew(t, setup{UserClaim: "realm_access.roles"}), sign(t, valid(nested))); err == nil {
		t.Error("a list is taken for a user")
	}
}

func TestCache(t *testing.T) {
	now := noon
	var clock sync.Mutex
	path := write(t, secret, 0o600)
	o := setup{Keys: []jwt.KeySource{jwt.SecretFile{Path: path}}, CacheSize: 4}.options()
	o.Now = func() time.Time { clock.Lock(); defer clock.Unlock(); return now }
	a := mustOpen(t, o)
	token := sign(t, valid(nil))
	hits := func() uint64 { return a.Stats().CacheHits }
	first, err := show(a, token)
	again, err2 := show(a, token)
	if err != nil || err2 != nil || hits() != 1 || first.User != again.User || !first.Expires.Equal(again.Expires) {
		t.Errorf("%+v and %+v, %d hits", first, again, hits())
	}
	if _, err := show(a, withOtherLastBits(token)); err == nil || hits() != 1 {
		t.Error("a token that differs in a bit is taken from the cache")
	}
	if _, err := show(a, token[:strings.LastIndexByte(token, '.')+1]); err == nil || hits() != 1 {
		t.Error("a token without its signature is taken from the cache")
	}

	clock.Lock()
	now = noon.Add(time.Hour + jwt.DefaultLeeway)
	clock.Unlock()
	if _, err := show(a, token); err == nil || hits() != 1 {
		t.Error("an expired token is taken from the cache")
	}
	clock.Lock()
	now = noon
	clock.Unlock()

	for i := range 50 {
		if _, err := show(a, sign(t, valid(claims{"n": i}))); err != nil {
			t.Fatal(err)
		}
	}
	if n := a.Stats().Cached; n > 4 {
		t.Errorf("%d tokens are cached, more than 4", n)
	}
	before := hits()
	large := sign(t, valid(claims{"x": strings.Repeat("x", 5000)}))
	for range 2 {
		if _, err := show(a, large); err != nil || hits() != before {
			t.Errorf("a large token is cached, or %v", err)
		}
	}

	for range 2 {
		if _, err := show(a, token); err != nil {
			t.Error(err)
		}
	}
	overwrite(t, path, []byte("another key, of more than 32 bytes"), 0o600)
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := show(a, token); err == nil || a.Stats().Cached != 0 {
		t.Error("a token of the old key is taken from the cache")
	}
}

func TestNoCache(t *testing.T) {
	a := mustNew(t, setup{CacheSize: -1})
	for range 3 {
		if _, err := show(a, sign(t, valid(nil))); err != nil {
			t.Fatal(err)
		}
	}
	if s := a.Stats(); s.CacheHits != 0 || s.Cached != 0 || s.Accepted != 3 {
		t.Errorf("got %+v", s)
	}
}

func TestStats(t *testing.T) {
	a := mustNew(t, setup{})
	_, _ = show(a, sign(t, valid(nil)))
	_, _ = show(a, sign(t, valid(nil)))
	_, _ = show(a, sign(t, valid(claims{"exp": 1})))
	_, _ = show(a, "hunter2")
	s := a.Stats()
	if s.Accepted != 2 || s.CacheHits != 1 || s.Cached != 1 || s.Refused["expired"] != 1 {
		t.Errorf("got %+v", s)
	}
	if n, isThere := s.Refused["keys_unavailable"]; n != 0 || !isThere || len(s.Refused) != 12 {
		t.Errorf("the reasons are %v", s.Refused)
	}
}

func TestExplain(t *testing.T) {
	k := keys()
	a := mustOpen(t, jwt.Options{Now: atNoon, Issuers: []jwt.Issuer{{Name: "us", Keys: []jwt.KeySource{
		jwt.Key{ID: "one", Value: &k.rsa.PublicKey, Origin: "here"}, jwt.Key{ID: "two", Value: &k.otherRSA.PublicKey},
		jwt.Key{Value: &k.otherRSA.PublicKey}, jwt.Key{ID: "e", Value: &k.p256.PublicKey},
	}}}})
	token := signWith(t, gojwt.SigningMethodRS256, k.rsa, nil, valid(claims{"iss": "us"}))
	e, err := a.Explain(context.Background(), token)
	if err != nil || !e.Known || e.Issuer != "us" || e.Refusal != nil || e.Identity.User != "ann" {
		t.Fatalf("got %+v, %v", e, err)
	}
	want := []jwt.KeyVerdict{
		{ID: "one", Algorithm: "RS256", Origin: "here", Signed: true},
		{ID: "two", Algorithm: "RS256", Why: "does not verify the signature"},
		{Algorithm: "RS256", Why: "does not verify the signature"},
		{ID: "e", Algorithm: "ES256", Why: "is for ES256, and the token's algorithm is RS256"},
	}
	if !slices.Equal(e.Keys, want) {
		t.Errorf("got  %+v\nwant %+v", e.Keys, want)
	}
	e, err = a.Explain(context.Background(), signWith(t, gojwt.SigningMethodRS256, k.rsa, claims{"kid": "two"}, valid(claims{"iss": "us"})))
	if err != nil || e.Refusal == nil || e.Refusal.Label != "bad_signature" || e.Keys[0].Why != "has a different key id (kid) than the token" {
		t.Errorf("got %+v, %v", e, err)
	}
	e, err = a.Explain(context.Background(), sign(t, valid(nil)))
	if err != nil || e.Known || e.Refusal == nil || e.Refusal.Label != "bad_issuer" {
		t.Errorf("got %+v, %v", e, err)
	}
	for _, text := range []string{"hunter2", "", "e30.e30.e30", sign(t, valid(nil)) + ".x"} {
		if e, err := a.Explain(context.Background(), text); err == nil && e.Refusal == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
