package jwt

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
)

// latest is the last second of the year 9999. No date of a token is later, so no arithmetic with it can overflow.
const latest = 253402300799

// identity returns who the claims of a properly signed token are about, or why it is not accepted.
func (v *verifier) identity(i *issuer, claims map[string]any) (*broker.Identity, *broker.Refusal) {
	expires, refusal := v.options.checkTimes(claims)
	if refusal != nil {
		return nil, refusal
	}
	if len(i.Audience) > 0 && !isAmong(claims["aud"], i.Audience) { // RFC 7519 4.1.3
		return nil, notAuthorized(labelBadAudience, "token is not meant for this broker (aud)")
	}
	user, _ := lookup(claims, i.UserClaim).(string)
	if user == "" {
		return nil, notAuthorized(labelNoUser, "token names no user (%s)", i.UserClaim)
	}
	i.rename(claims)
	return &broker.Identity{User: user, Claims: plain(claims), Expires: expires, Method: Method}, nil
}

// The names that claims have in an identity, whatever the issuer calls them.
const (
	claimRooms = "rooms"
	claimRules = "acl"
)

// rename gives the claims of rooms and rules their names. What else has such a name in the token is taken away: it would
// be taken for something that the issuer does not mean.
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

// lookup returns the claim of that name, or else the one at the end of a way through other claims, with dots between
// their names. An empty name is no claim's.
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

// checkTimes checks exp, nbf and iat (RFC 7519 4.1.4 to 4.1.6), and returns when the identity ends.
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
		expires = expires.Add(o.Leeway)
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

// date returns a claim that is a NumericDate (RFC 7519 2), or zero if there is none.
func date(claims map[string]any, name string) (time.Time, *broker.Refusal) {
	claim, ok := claims[name]
	if !ok {
		return time.Time{}, nil
	}
	number, ok := claim.(json.Number)
	at, err := number.Float64()
	if !ok || err != nil || !(at > 0 && at <= latest) {
		return time.Time{}, notAuthorized(labelBadClaim, "token's %s is not a time in seconds since 1970", name)
	}
	whole, fraction := math.Modf(at)
	return time.Unix(int64(whole), int64(fraction*1e9)), nil
}

// isAmong tells whether a claim, a string or a list of strings, has one of the wanted values.
func isAmong(claim any, wanted []string) bool {
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

// plain returns the claims with numbers as int64 where they are whole, and float64 elsewhere: a float64 alone would
// change a number of more than 53 bits, and identifiers are such numbers.
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
