package jwt

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/outcry-mqtt/outcry/broker"
)

// Place is where a client may show a token. It is never the query of a URL, which ends up in logs and histories.
type Place string

// The places, in the order in which they are looked at; the first that has a token decides. The headers of the upgrade
// count only if CONNECT has no password, since a browser sends cookies whether the page means them or not.
const (
	FromPassword Place = "password" // MQTT's
	FromUsername Place = "username" // MQTT's
	FromBearer   Place = "bearer"   // "Authorization: Bearer" of the WebSocket upgrade (RFC 6750 2.1)
	FromCookie   Place = "cookie"   // a cookie of the WebSocket upgrade; any page that may connect has its visitors' cookies
)

// shown is a token as it was found, not verified.
type shown struct {
	text   string
	header map[string]any
}

// find returns the token that a client shows. It returns broker.ErrNotConcerned if there is none, and a *broker.Refusal
// if it is not clear which it is.
func (v *verifier) find(c *broker.Credentials) (shown, error) {
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
		return shown{}, broker.ErrNotConcerned
	}
	if v.looksAt(FromBearer) {
		if t, err := fromBearer(c.Header); err != broker.ErrNotConcerned {
			return t, err
		}
	}
	if v.looksAt(FromCookie) {
		return fromCookie(c.Header, v.options.Cookie)
	}
	return shown{}, broker.ErrNotConcerned
}

func (v *verifier) looksAt(p Place) bool { return slices.Contains(v.options.From, p) }

// read takes a text apart that looks like a token: up to a dot it is a JSON object in base64url. No password of a person
// is that by accident.
func read(text string) (shown, bool) {
	first, _, found := strings.Cut(text, ".")
	if !found {
		return shown{}, false
	}
	decoded, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return shown{}, false
	}
	var header map[string]any
	if err := json.Unmarshal(decoded, &header); err != nil || header == nil {
		return shown{}, false
	}
	return shown{text, header}, true
}

func fromBearer(h http.Header) (shown, error) {
	values := h["Authorization"]
	if len(values) > 1 {
		return shown{}, notAToken(labelMalformed, "there are %d headers Authorization; send one", len(values))
	}
	if len(values) == 0 {
		return shown{}, broker.ErrNotConcerned
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return shown{}, broker.ErrNotConcerned
	}
	if t, ok := read(strings.Trim(rest, " ")); ok {
		return t, nil
	}
	return shown{}, broker.ErrNotConcerned
}

// fromCookie refuses two cookies of the name with different values: another site of the same domain can add one.
func fromCookie(h http.Header, name string) (shown, error) {
	cookies := (&http.Request{Header: h}).CookiesNamed(name)
	if len(cookies) == 0 {
		return shown{}, broker.ErrNotConcerned
	}
	for _, other := range cookies[1:] {
		if other.Value != cookies[0].Value {
			return shown{}, notAToken(labelMalformed, "there are %d cookies %s; send one", len(cookies), name)
		}
	}
	if t, ok := read(cookies[0].Value); ok {
		return t, nil
	}
	return shown{}, broker.ErrNotConcerned
}
