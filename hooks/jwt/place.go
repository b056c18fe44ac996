package jwt

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/outcry-mqtt/outcry/broker"
)

// Place is a place for a token. It is never a URL's query, which appears in logs and histories.
type Place string

// The places, in order of precedence; the first one with a token decides. The headers of the upgrade count only if
// CONNECT has no password, since a browser sends cookies whether the page means them or not.
const (
	FromPassword Place = "password" // MQTT's
	FromUsername Place = "username" // MQTT's
	FromBearer   Place = "bearer"   // "Authorization: Bearer" of the WebSocket upgrade (RFC 6750 2.1)
	FromCookie   Place = "cookie"   // a cookie of the WebSocket upgrade; every page that may connect gets its visitors' cookies
)

// presented is an unverified token.
type presented struct {
	text   string
	header map[string]any
}

// find returns a client's token. It returns broker.ErrNotConcerned if there is none, and a *broker.Refusal if there
// are conflicting ones.
func (v *verifier) find(c *broker.Credentials) (presented, error) {
	if v.looksAt(FromPassword) {
		if t, ok := read(string(c.Password)); ok {
			return t, nil
		}
	}
	if v.looksAt(FromUsername) {
		if t, ok := read(c.Username); ok {
			return t, nil
		}
	}
	if len(c.Password) > 0 {
		return presented{}, broker.ErrNotConcerned
	}
	if v.looksAt(FromBearer) {
		if t, err := fromBearer(c.Header); err != broker.ErrNotConcerned {
			return t, err
		}
	}
	if v.looksAt(FromCookie) {
		return fromCookie(c.Header, v.options.Cookie)
	}
	return presented{}, broker.ErrNotConcerned
}

func (v *verifier) looksAt(p Place) bool { return slices.Contains(v.options.From, p) }

// read parses a text as a token: up to the first dot it must be a JSON object in base64url. No password looks like
// that by accident.
func read(text string) (presented, bool) {
	first, _, found := strings.Cut(text, ".")
	if !found {
		return presented{}, false
	}
	decoded, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return presented{}, false
	}
	var header map[string]any
	if err := json.Unmarshal(decoded, &header); err != nil || header == nil {
		return presented{}, false
	}
	return presented{text, header}, true
}

func fromBearer(h http.Header) (presented, error) {
	values := h["Authorization"]
	if len(values) > 1 {
		return presented{}, notAToken(labelMalformed, "the request has %d Authorization headers; send one", len(values))
	}
	if len(values) == 0 {
		return presented{}, broker.ErrNotConcerned
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return presented{}, broker.ErrNotConcerned
	}
	if t, ok := read(strings.Trim(rest, " ")); ok {
		return t, nil
	}
	return presented{}, broker.ErrNotConcerned
}

// fromCookie refuses two cookies of the name with different values: another site of the same domain can add one.
func fromCookie(h http.Header, name string) (presented, error) {
	cookies := (&http.Request{Header: h}).CookiesNamed(name)
	if len(cookies) == 0 {
		return presented{}, broker.ErrNotConcerned
	}
	for _, other := range cookies[1:] {
		if other.Value != cookies[0].Value {
			return presented{}, notAToken(labelMalformed, "the request has %d cookies %s; send one", len(cookies), name)
		}
	}
	if t, ok := read(cookies[0].Value); ok {
		return t, nil
	}
	return presented{}, broker.ErrNotConcerned
}
