package jwt

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/outcry-mqtt/outcry/broker"
)

// maxDate is the last second of the year 9999. It bounds every date of a token and the expiry of an identity: JSON has
// no later times.
const maxDate = 253402300799

// identity returns the identity in the claims of a properly signed token, or the reason to refuse it.
func (v *verifier) identity(i *issuer, claims map[string]any) (*broker.Identity, *broker.Refusal) {
	expires, refusal := v.options.checkTimes(claims)
	if refusal != nil {
		return nil, refusal
	}
	if len(i.Audience) > 0 && !containsAny(claims["aud"], i.Audience) { // RFC 7519 4.1.3
		return nil, notAuthorized(labelBadAudience, "token is not for this broker (aud)")
	}
	user, refusal := i.user(claims)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := checkID(claims); refusal != nil {
		return nil, refusal
	}
	i.rename(claims)
	return &broker.Identity{User: user, Claims: plain(claims), Expires: expires, Method: Method}, nil
}

// user returns the user name. A whole number is used as written: many providers number their users.
func (i *issuer) user(claims map[string]any) (string, *broker.Refusal) {
	claim := lookup(claims, i.UserClaim)
	user, ok := asText(claim)
	switch {
	case claim == nil || ok && user == "":
		return "", notAuthorized(labelNoUser, "token has no user name (%s)", i.UserClaim)
	case !ok:
		return "", notAuthorized(labelNoUser, "token's claim for the user (%s) is neither a string nor a whole number", i.UserClaim)
	case !isName(user):
		return "", notAuthorized(labelNoUser, "token's claim for the user (%s) has a control or replacement character, or more than %d bytes",
			i.UserClaim, maxNameBytes)
	}
	return user, nil
}

// checkID converts the token's id to a string, by which it can be denied (RFC 7519 4.1.7), or refuses it.
func checkID(claims map[string]any) *broker.Refusal {
	claim, ok := claims["jti"]
	if !ok {
		return nil
	}
	id, ok := asText(claim)
	if !ok || id != "" && !isName(id) {
		return notAuthorized(labelBadClaim, "token's id (jti) is neither a string of up to %d bytes without control characters nor a whole number",
			maxNameBytes)
	}
	claims["jti"] = id
	return nil
}

// asText returns a string, or a whole number as written.
func asText(claim any) (text string, ok bool) {
	switch c := claim.(type) {
	case string:
		return c, true
	case json.Number:
		digits := strings.TrimPrefix(c.String(), "-")
		return c.String(), strings.Trim(digits, "0123456789") == ""
	}
	return "", false
}

// maxNameBytes bounds a user name and a token id.
const maxNameBytes = 1024

// isName reports whether a text can be a name: without control characters and without the replacement characters of
// decoders.
func isName(s string) bool {
	return len(s) <= maxNameBytes && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == unicode.ReplacementChar
	})
}

// Names of claims in an identity, independent of the issuer.
const (
	claimRooms = "rooms"
	claimRules = "acl"
)

// rename gives the claims of rooms and rules their standard names. It removes other claims with these names, which
// the issuer means differently.
func (i *issuer) rename(claims map[string]any) {
	rooms, rules := lookup(claims, i.RoomsClaim), lookup(claims, i.RulesClaim)
	set(claims, claimRooms, rooms)
	set(claims, claimRules, rules)
}

func set(claims map[string]any, name string, value any) {
	if value == nil {
		delete(claims, name)
		return
	}
	claims[name] = value
}

// lookup returns the claim with a name, or else the one at a path through nested claims, joined by dots. An empty
// name finds nothing.
func lookup(claims map[string]any, name string) any {
	if name == "" {
		return nil
	}
	if value, ok := claims[name]; ok {
		return value
	}
	first, rest, found := strings.Cut(name, ".")
	inner, ok := claims[first].(map[string]any)
	if !found || !ok {
		return nil
	}
	return lookup(inner, rest)
}

// checkTimes checks exp, nbf and iat (RFC 7519 4.1.4 to 4.1.6), and returns the identity's expiry.
func (o *Options) checkTimes(claims map[string]any) (expires time.Time, refusal *broker.Refusal) {
	now := o.Now()
	expires, refusal = date(claims, "exp")
	if refusal != nil {
		return time.Time{}, refusal
	}
	if expires.IsZero() && !o.AllowNoExpiry {
		return time.Time{}, notAuthorized(labelNoExpiry, "token has no expiry (exp)")
	}
	if !expires.IsZero() {
		if late := now.Sub(expires); late >= o.Leeway {
			return time.Time{}, notAuthorized(labelExpired, "token expired %s ago", seconds(late))
		}
		expires = earlier(expires.Add(o.Leeway), time.Unix(maxDate, 0))
	}
	for _, name := range [...]string{"nbf", "iat"} {
		from, refusal := date(claims, name)
		if refusal != nil {
			return time.Time{}, refusal
		}
		if early := from.Sub(now); !from.IsZero() && early > o.Leeway {
			return time.Time{}, notAuthorized(labelNotYetValid, "token is not valid for another %s (%s); are both clocks right?",
				seconds(early), name)
		}
	}
	return expires, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// date returns a NumericDate claim (RFC 7519 2), or zero if it is absent.
func date(claims map[string]any, name string) (time.Time, *broker.Refusal) {
	claim, ok := claims[name]
	if !ok {
		return time.Time{}, nil
	}
	number, ok := claim.(json.Number)
	at, err := number.Float64()
	if !ok || err != nil || !(at > 0 && at <= maxDate) {
		return time.Time{}, notAuthorized(labelBadClaim, "token's %s is not a time in seconds since 1970", name)
	}
	whole, fraction := math.Modf(at)
	return time.Unix(int64(whole), int64(fraction*1e9)), nil
}

// containsAny reports whether a claim, a string or a list of strings, has one of the wanted values.
func containsAny(claim any, wanted []string) bool {
	switch c := claim.(type) {
	case string:
		return slices.Contains(wanted, c)
	case []any:
		return slices.ContainsFunc(c, func(member any) bool {
			text, ok := member.(string)
			return ok && slices.Contains(wanted, text)
		})
	}
	return false
}

// plain converts whole numbers to int64 and others to float64: identifiers may need more than a float64's 53 bits.
func plain(claims map[string]any) map[string]any {
	for name, value := range claims {
		claims[name] = plainValue(value)
	}
	return claims
}

func plainValue(value any) any {
	switch v := value.(type) {
	case json.Number:
		if whole, err := v.Int64(); err == nil {
			return whole
		}
		fraction, _ := v.Float64()
		return fraction
	case []any:
		for i := range v {
			v[i] = plainValue(v[i])
		}
	case map[string]any:
		return plain(v)
	}
	return value
}
