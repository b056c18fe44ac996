package jwt_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

var secret = []byte("a secret of tests: 64 bytes, so that every HMAC algorithm takes it")

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// setup is the Options of an Authenticator with one issuer.
type setup struct {
	Keys          []jwt.KeySource // nil: the tests' secret
	Issuer        string
	Audience      []string
	UserClaim     string
	RoomsClaim    string
	RulesClaim    string
	From          []jwt.Place
	Leeway        time.Duration
	AllowNoExpiry bool
	CacheSize     int
}

func (s setup) open() (*jwt.Authenticator, error) { return jwt.New(s.options()) }

func (s setup) options() jwt.Options {
	return jwt.Options{
		Issuers: []jwt.Issuer{{
			Name: s.Issuer, Keys: s.Keys, Audience: s.Audience,
			UserClaim: s.UserClaim, RoomsClaim: s.RoomsClaim, RulesClaim: s.RulesClaim,
		}},
		From: s.From, Leeway: s.Leeway, AllowNoExpiry: s.AllowNoExpiry, CacheSize: s.CacheSize, Now: atNoon,
	}
}

func mustNew(tb testing.TB, s setup) *jwt.Authenticator {
	tb.Helper()
	if s.Keys == nil {
		s.Keys = []jwt.KeySource{jwt.Key{Value: secret}}
	}
	return mustOpen(tb, s.options())
}

func mustOpen(tb testing.TB, o jwt.Options) *jwt.Authenticator {
	tb.Helper()
	a, err := jwt.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// sign signs claims, unchecked, with the secret or another key.
func sign(tb testing.TB, claims map[string]any) string {
	tb.Helper()
	return signWith(tb, gojwt.SigningMethodHS256, secret, nil, claims)
}

func signWith(tb testing.TB, method gojwt.SigningMethod, key any, header, claims map[string]any) string {
	tb.Helper()
	token := gojwt.NewWithClaims(method, gojwt.MapClaims(claims))
	for name, value := range header {
		token.Header[name] = value
	}
	text, err := token.SignedString(key)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func show(a *jwt.Authenticator, password string) (*broker.Identity, error) {
	return a.Authenticate(context.Background(), &broker.Credentials{Username: "whoever", Password: []byte(password)})
}

// wantRefusal checks that err is a refusal with the label, and that it does not contain the token.
func wantRefusal(t *testing.T, err error, code byte, label, reason, token string) {
	t.Helper()
	refusal, ok := errors.AsType[*broker.Refusal](err)
	if !ok {
		t.Fatalf("got %v, want a refusal", err)
	}
	if refusal.Label != label || refusal.Code != code || !strings.Contains(refusal.Reason, reason) {
		t.Errorf("got 0x%02X %s: %s\nwant 0x%02X %s: %s", refusal.Code, refusal.Label, refusal.Reason, code, label, reason)
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 10 && strings.Contains(refusal.Reason, part) {
			t.Errorf("the reason shows a part of the token: %s", refusal.Reason)
		}
	}
}

type claims = map[string]any

// valid returns accepted claims with changes; nil removes a claim.
func valid(changes claims) claims {
	c := claims{"sub": "ann", "iat": noon.Unix() - 60, "exp": noon.Unix() + 3600}
	for name, value := range changes {
		c[name] = value
		if value == nil {
			delete(c, name)
		}
	}
	return c
}

func TestIdentity(t *testing.T) {
	a := mustNew(t, setup{})
	id, err := show(a, sign(t, valid(claims{
		"rooms": []string{"lobby", "traders"}, "admin": true, "big": int64(9007199254740993), "half": 0.5,
		"deep": claims{"n": []any{1, "x"}},
	})))
	if err != nil {
		t.Fatal(err)
	}
	if id.User != "ann" || id.Method != jwt.Method {
		t.Errorf("got user %q by %q", id.User, id.Method)
	}
	if want := noon.Add(time.Hour + jwt.DefaultLeeway); !id.Expires.Equal(want) {
		t.Errorf("expires %v, want %v", id.Expires, want)
	}
	if rooms, _ := id.Claims["rooms"].([]any); len(rooms) != 2 || rooms[0] != "lobby" || rooms[1] != "traders" {
		t.Errorf("rooms are %v", id.Claims["rooms"])
	}
	if id.Claims["admin"] != true || id.Claims["big"] != int64(9007199254740993) || id.Claims["half"] != 0.5 {
		t.Errorf("claims are %v", id.Claims)
	}
	if deep, _ := id.Claims["deep"].(claims)["n"].([]any); deep[0] != int64(1) {
		t.Errorf("a number in a list of an object is a %T", deep[0])
	}
}

func TestQuickly(t *testing.T) {
	a := mustNew(t, setup{})
	good, bad := sign(t, valid(nil)), sign(t, valid(claims{"exp": noon.Unix() - 3600}))
	quickly := func(token string) (*broker.Identity, bool) {
		return a.AuthenticateQuickly(&broker.Credentials{Password: []byte(token)})
	}
	for _, token := range []string{good, bad} {
		if id, known := quickly(token); id != nil || known {
			t.Errorf("before it was verified: got %+v, %t", id, known)
		}
	}
	if _, err := show(a, good); err != nil {
		t.Fatal(err)
	}
	if _, err := show(a, bad); err == nil {
		t.Fatal("a token that has expired was accepted")
	}
	if id, known := quickly(good); !known || id == nil || id.User != "ann" {
		t.Errorf("afterwards: got %+v, %t", id, known)
	}
	if id, known := quickly(bad); id != nil || known {
		t.Errorf("one that was refused: got %+v, %t", id, known)
	}
}

func TestOtherOptions(t *testing.T) {
	a := mustNew(t, setup{UserClaim: "email", AllowNoExpiry: true, Leeway: -1})
	id, err := show(a, sign(t, claims{"email": "ann@x.example"}))
	if err != nil || id.User != "ann@x.example" || !id.Expires.IsZero() {
		t.Errorf("got %+v, %v", id, err)
	}
	id, err = show(a, sign(t, valid(claims{"email": "e"})))
	if err != nil || !id.Expires.Equal(noon.Add(time.Hour)) {
		t.Errorf("got %+v, %v", id, err)
	}
}

func TestClaims(t *testing.T) {
	const ok, notAuthorized = 0, broker.CodeNotAuthorized
	now := noon.Unix()
	strict := setup{Issuer: "https://id.example", Audience: []string{"outcry", "mqtt"}}
	parties := func(changes claims) claims {
		c := valid(claims{"iss": "https://id.example", "aud": "mqtt"})
		for name, value := range changes {
			c[name] = value
		}
		return c
	}
	cases := []struct {
		name   string
		o      setup
		claims claims
		label  string // empty: accepted
		reason string
	}{
		{"valid", setup{}, valid(nil), "", ""},
		{"expired", setup{}, valid(claims{"exp": now - 182}), "expired", "token expired 3m2s ago"},
		{"expired within leeway", setup{}, valid(claims{"exp": now - 9}), "", ""},
		{"expired at the leeway", setup{}, valid(claims{"exp": now - 10}), "expired", "token expired 10s ago"},
		{"a leeway of one's own", setup{Leeway: time.Minute}, valid(claims{"exp": now - 59}), "", ""},
		{"expired without leeway", setup{Leeway: -1}, valid(claims{"exp": now}), "expired", "token expired 0s ago"},
		{"expired for a moment", setup{Leeway: -1}, valid(claims{"exp": float64(now) - 0.25}), "expired", "token expired 1s ago"},
		{"no expiry", setup{}, valid(claims{"exp": nil}), "no_expiry", "token has no expiry (exp)"},
		{"no expiry, allowed", setup{AllowNoExpiry: true}, valid(claims{"exp": nil}), "", ""},
		{"expired though none is needed", setup{AllowNoExpiry: true}, valid(claims{"exp": 1}), "expired", "ago"},
		{"expiry as a text", setup{}, valid(claims{"exp": "2040-01-01"}), "bad_claim", "token's exp is not a time"},
		{"expiry as a number in a text", setup{}, valid(claims{"exp": "9999999999"}), "bad_claim", "token's exp is not a time"},
		{"expiry too far", setup{}, valid(claims{"exp": 1e300}), "bad_claim", "token's exp is not a time"},
		{"expiry negative", setup{}, valid(claims{"exp": -5}), "bad_claim", "token's exp is not a time"},
		{"expiry in the year 9999", setup{}, valid(claims{"exp": int64(253402300799)}), "", ""},
		{"not yet valid", setup{}, valid(claims{"nbf": now + 300}), "not_yet_valid", "not valid for another 5m0s (nbf)"},
		{"valid within leeway", setup{}, valid(claims{"nbf": now + 10}), "", ""},
		{"issued in the future", setup{}, valid(claims{"iat": now + 60}), "not_yet_valid", "another 1m0s (iat); are both clocks right?"},
		{"not before a text", setup{}, valid(claims{"nbf": "soon"}), "bad_claim", "token's nbf is not a time"},
		{"issuer and audience", strict, parties(nil), "", ""},
		{"issuer", strict, parties(claims{"iss": "https://other.example"}), "bad_issuer", `token's issuer (iss) is "https://other.example"`},
		{"issuer absent", strict, parties(claims{"iss": nil}), "bad_issuer", `token's issuer (iss) is ""`},
		{"issuer long", strict, parties(claims{"iss": strings.Repeat("x", 99)}), "bad_issuer", strings.Repeat("x", 40) + "…"},
		{"issuer with a slash more", strict, parties(claims{"iss": "https://id.example/"}), "bad_issuer", ""},
		{"audience in a list", strict, parties(claims{"aud": []string{"x", "outcry"}}), "", ""},
		{"audience", strict, parties(claims{"aud": "web"}), "bad_audience", "token is not for this broker (aud)"},
		{"audience absent", strict, parties(claims{"aud": nil}), "bad_audience", ""},
		{"audience empty", strict, parties(claims{"aud": []string{}}), "bad_audience", ""},
		{"audience of numbers", strict, parties(claims{"aud": []any{1, nil}}), "bad_audience", ""},
		{"no user", setup{}, valid(claims{"sub": nil}), "no_user", "token has no user name (sub)"},
		{"empty user", setup{}, valid(claims{"sub": ""}), "no_user", ""},
		{"user is a number", setup{}, valid(claims{"sub": 7}), "", ""},
		{"user is a number that is not whole", setup{}, valid(claims{"sub": 7.5}), "no_user", "neither a string nor a whole number"},
		{"another claim is the user", setup{UserClaim: "email"}, valid(nil), "no_user", "token has no user name (email)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			token := sign(t, c.claims)
			_, err := show(mustNew(t, c.o), token)
			if c.label == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantRefusal(t, err, notAuthorized, c.label, c.reason, token)
		})
	}
}

// The expiry of an identity stays within JSON's range, even with leeway.
func TestExpiryAtTheEndOfTime(t *testing.T) {
	last := time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)
	id, err := show(mustNew(t, setup{Leeway: time.Hour}), sign(t, valid(claims{"exp": last.Unix()})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := id.Expires.MarshalJSON(); err != nil || !id.Expires.Equal(last) {
		t.Errorf("it expires at %v, %v", id.Expires, err)
	}
}

func TestNotConcerned(t *testing.T) {
	a := mustNew(t, setup{})
	for _, password := range []string{
		"", "hunter2", "a.b.c", "my.pass.word", "..", "eyJhbGciOiJIUzI1NiJ9", "e30", "W10.W10.x", "bnVsbA.e30.x", "Im5vIg.e30.x",
		"eyJhbGciOiJIUzI1NiJ9=.e30.x", "\x00.\xff.\n",
	} {
		if id, err := show(a, password); !errors.Is(err, broker.ErrNotConcerned) || id != nil {
			t.Errorf("%q: got %v, %v", password, id, err)
		}
		if id, known := a.AuthenticateQuickly(&broker.Credentials{Password: []byte(password)}); id != nil || !known {
			t.Errorf("%q: quickly: got %v, %t", password, id, known)
		}
	}
	if _, err := a.Authenticate(t.Context(), &broker.Credentials{Username: "ann"}); !errors.Is(err, broker.ErrNotConcerned) {
		t.Errorf("no password: got %v", err)
	}
}

// The password buffer is valid during the call only, so the identity must not refer to it.
func TestPasswordIsNotKept(t *testing.T) {
	a := mustNew(t, setup{})
	password := []byte(sign(t, valid(nil)))
	id, err := a.Authenticate(t.Context(), &broker.Credentials{Password: password})
	if err != nil {
		t.Fatal(err)
	}
	clear(password)
	if id.User != "ann" || id.Claims["sub"] != "ann" {
		t.Error("the identity changed with the password's memory")
	}
}
