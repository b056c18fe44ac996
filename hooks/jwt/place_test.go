package jwt_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

func TestPlaces(t *testing.T) {
	good := sign(t, valid(nil))
	expired := sign(t, valid(claims{"exp": 1}))
	all := []jwt.Place{jwt.FromPassword, jwt.FromUsername, jwt.FromBearer, jwt.FromCookie}
	const none = "not concerned"
	header := func(lines ...string) http.Header {
		h := http.Header{}
		for _, line := range lines {
			name, value, _ := strings.Cut(line, ": ")
			h.Add(name, value)
		}
		return h
	}
	cases := []struct {
		name     string
		from     []jwt.Place
		username string
		password string
		header   http.Header
		label    string // empty: accepted
	}{
		{"password", nil, "ann", good, nil, ""},
		{"bearer", nil, "", "", header("Authorization: Bearer " + good), ""},
		{"bearer in small letters", nil, "", "", header("Authorization: bearer " + good), ""},
		{"bearer with spaces", nil, "", "", header("Authorization: Bearer   " + good + "  "), ""},
		{"bearer and a user name", nil, "ann", "", header("Authorization: Bearer " + good), ""},
		{"user name by default", nil, good, "", nil, none},
		{"cookie by default", nil, "", "", header("Cookie: outcry_token=" + good), none},
		{"password when it is off", []jwt.Place{jwt.FromBearer}, "", good, nil, none},
		{"bearer when it is off", []jwt.Place{jwt.FromPassword}, "", "", header("Authorization: Bearer " + good), none},
		{"nowhere", []jwt.Place{}, good, good, header("Authorization: Bearer "+good, "Cookie: outcry_token="+good), none},
		{"user name", all, good, "", nil, ""},
		{"user name and some password", all, good, "x", nil, ""},
		{"cookie", all, "", "", header("Cookie: a=b; outcry_token=" + good + "; c=d"), ""},
		{"cookie in quotes", all, "", "", header(`Cookie: outcry_token="` + good + `"`), ""},
		{"cookie in the second header", all, "", "", header("Cookie: a=b", "Cookie: outcry_token="+good), ""},
		{"cookie of another name", all, "", "", header("Cookie: Outcry_Token=" + good), none},

		{"the password decides before the bearer", all, "", expired, header("Authorization: Bearer " + good), "expired"},
		{"the password decides before the user name", all, good, expired, nil, "expired"},
		{"the bearer decides before the cookie", all, "", "", header("Authorization: Bearer "+expired, "Cookie: outcry_token="+good), "expired"},
		{"a password of somebody else's kind", all, "ann", "hunter2", header("Authorization: Bearer "+good, "Cookie: outcry_token="+good), none},

		{"nothing", all, "", "", nil, none},
		{"bearer of nothing", all, "", "", header("Authorization: Bearer "), none},
		{"bearer alone", all, "", "", header("Authorization: Bearer"), none},
		{"bearer without a space", all, "", "", header("Authorization: Bearer" + good), none},
		{"no scheme", all, "", "", header("Authorization: " + good), none},
		{"another scheme", all, "", "", header("Authorization: Basic " + good), none},
		{"an opaque token", all, "", "", header("Authorization: Bearer 2YotnFZFEjr1zCsicMWpAA"), none},
		{"bearer with more", all, "", "", header("Authorization: Bearer " + good + " x"), "malformed"},
		{"two bearers in one", all, "", "", header("Authorization: Bearer " + good + ", Bearer " + good), "malformed"},
		{"two headers", all, "", "", header("Authorization: Bearer "+good, "Authorization: Bearer "+good), "malformed"},
		{"two cookies", all, "", "", header("Cookie: outcry_token=" + good + "; outcry_token=" + expired), "malformed"},
		{"two cookies in two headers", all, "", "", header("Cookie: outcry_token="+good, "Cookie: outcry_token=x"), "malformed"},
		{"the same cookie twice", all, "", "", header("Cookie: outcry_token=" + good + "; outcry_token=" + good), ""},
		{"an empty cookie", all, "", "", header("Cookie: outcry_token="), none},
		{"a cookie without a value", all, "", "", header("Cookie: outcry_token"), none},
		{"a cookie with bad bytes beside it", all, "", "", header("Cookie: \x00=\x01; ;;=; outcry_token=" + good), ""},
		{"a cookie with bad bytes in it", all, "", "", header("Cookie: outcry_token=" + good[:20] + "\x01" + good[20:]), none},
		{"a forged cookie", all, "", "", header("Cookie: outcry_token=" + good + "x"), "bad_signature"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := mustNew(t, setup{From: c.from})
			id, err := a.Authenticate(t.Context(), &broker.Credentials{
				Username: c.username, Password: []byte(c.password), Header: c.header,
			})
			switch {
			case c.label == none:
				if !errors.Is(err, broker.ErrNotConcerned) {
					t.Errorf("got %v, %v", id, err)
				}
			case c.label != "":
				refusal, _ := errors.AsType[*broker.Refusal](err)
				if refusal == nil || refusal.Label != c.label || strings.Contains(refusal.Reason, good[:20]) {
					t.Errorf("got %v, %v", id, err)
				}
			case err != nil || id.User != "ann":
				t.Errorf("got %v, %v", id, err)
			}
		})
	}
}

func TestCookieOfAnotherName(t *testing.T) {
	o := setup{Keys: []jwt.KeySource{jwt.Key{Value: secret}}, From: []jwt.Place{jwt.FromCookie}}.options()
	o.Cookie = "__Host-token"
	a := mustOpen(t, o)
	h := http.Header{"Cookie": {"outcry_token=x; __Host-token=" + sign(t, valid(nil))}}
	if id, err := a.Authenticate(t.Context(), &broker.Credentials{Header: h}); err != nil || id.User != "ann" {
		t.Errorf("got %+v, %v", id, err)
	}
}

// FuzzHeaders checks that no upgrade headers are accepted without a signed token.
func FuzzHeaders(f *testing.F) {
	addCorpus(f)
	good := sign(f, valid(nil))
	f.Add("Bearer "+good, "outcry_token="+good, "")
	f.Add("bearer  "+good+",x", `a=b; outcry_token="`+good+`"; outcry_token=`, "user")
	f.Add("Bearer", ";;=;\x00", good)
	a := mustNew(f, setup{From: []jwt.Place{jwt.FromPassword, jwt.FromUsername, jwt.FromBearer, jwt.FromCookie}})
	f.Fuzz(func(t *testing.T, authorization, cookie, username string) {
		id, err := a.Authenticate(t.Context(), &broker.Credentials{
			Username: username, Header: http.Header{"Authorization": {authorization}, "Cookie": {cookie}},
		})
		if err == nil && (id.User != "ann" || !strings.Contains(authorization+cookie+username, good)) {
			t.Errorf("accepted as %q", id.User)
		}
	})
}
