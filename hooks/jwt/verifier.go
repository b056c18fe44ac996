package jwt

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/outcry-mqtt/outcry/broker"
)

// verifier is the compiled form of one set of Options. Only its key rings and its cache change.
type verifier struct {
	options Options
	issuers map[string]*issuer // by name
	parser  *gojwt.Parser
	cache   *cache
}

// newVerifier asks the key sources, and reports everything that is wrong with them at once.
func newVerifier(o Options) (*verifier, error) {
	v := &verifier{options: o.withDefaults(), issuers: map[string]*issuer{}}
	v.cache = newCache(v.options.CacheSize)
	v.parser = gojwt.NewParser(
		gojwt.WithValidMethods(algorithms),
		gojwt.WithStrictDecoding(),
		gojwt.WithJSONNumber(),
		gojwt.WithoutClaimsValidation(), // checkTimes reports the difference, too
	)
	var errs []error
	for _, of := range o.Issuers {
		i, err := newIssuer(of.withDefaults())
		if v.issuers[of.Name] != nil {
			err = errors.Join(err, errors.New("is configured twice; put all its keys into one"))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("token keys%s: %w", byIssuer(of.Name), err))
			continue
		}
		v.issuers[of.Name] = i
	}
	return v, errors.Join(errs...)
}

func byIssuer(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(" of the issuer %q", name)
}

// live returns all sources that change by themselves.
func (v *verifier) live() map[LiveKeys]bool {
	all := map[LiveKeys]bool{}
	for _, i := range v.issuers {
		for _, source := range i.live {
			all[source] = true
		}
	}
	return all
}

// renew takes the present keys of an issuer's sources.
func (v *verifier) renew(i *issuer) {
	i.renew(v.options.Logger)
	v.cache.clear() // saves memory; entries of other keys are not found anyway
}

// verdict is the result of verifying a token.
type verdict struct {
	issuer   *issuer  // the token's issuer; nil if unknown
	ring     *keyring // the issuer's ring at the time of the check
	parsed   *gojwt.Token
	keyless  bool // none of the issuer's keys fits the token's header
	identity *broker.Identity
	refusal  *broker.Refusal // nil if identity is set
}

// verify verifies a token.
func (v *verifier) verify(token presented) (found verdict) {
	if found.refusal = checkHeader(token.header); found.refusal != nil {
		return found
	}
	if strings.ContainsAny(token.text, "\r\n") { // decoders skip line ends: the same token would have many spellings
		found.refusal = notAToken(labelMalformed, "token has a line break; remove it")
		return found
	}
	found.parsed, found.refusal = v.parse(token.text, &found)
	if found.refusal != nil {
		return found
	}
	if !isOneJSONText(token.text) {
		found.refusal = notAToken(labelMalformed, "token has data after its claims")
		return found
	}
	found.identity, found.refusal = v.identity(found.issuer, found.parsed.Claims.(gojwt.MapClaims))
	return found
}

// isOneJSONText reports whether the claims of a parsed token are one JSON text. The parser reads only the first.
func isOneJSONText(token string) bool {
	_, rest, _ := strings.Cut(token, ".")
	claims, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(claims)
	return err == nil && json.Valid(text)
}

// parse verifies the signature with the keys of the named issuer.
func (v *verifier) parse(token string, found *verdict) (*gojwt.Token, *broker.Refusal) {
	parsed, err := v.parser.ParseWithClaims(token, gojwt.MapClaims{}, func(t *gojwt.Token) (any, error) {
		return v.keysFor(t, found)
	})
	refusal, isRefusal := errors.AsType[*broker.Refusal](err)
	switch {
	case err == nil:
		return parsed, nil
	case isRefusal:
		return parsed, refusal
	case errors.Is(err, gojwt.ErrTokenMalformed):
		return parsed, notAToken(labelMalformed, "token is malformed: not three parts of base64url with JSON in the first two")
	}
	found.keyless = found.ring != nil && !found.ring.names(parsed)
	return parsed, notAToken(labelBadSignature, "token's signature does not match; was it signed with another key?")
}

// checkHeader refuses headers that are invalid with any key.
func checkHeader(header map[string]any) *broker.Refusal {
	if algorithm, _ := header["alg"].(string); !isAlgorithm(algorithm) {
		return notAToken(labelBadAlgorithm, "no key for the token's algorithm %q", truncate(algorithm))
	}
	if _, ok := header["crit"]; ok {
		return notAToken(labelMalformed, "token has critical extensions (crit), and none are supported") // RFC 7515 4.1.11
	}
	if id, ok := header["kid"]; ok {
		if _, isText := id.(string); !isText {
			return notAToken(labelMalformed, "token's key id (kid) is not a string") // RFC 7515 4.1.4
		}
	}
	return nil
}

// keysFor returns the keys to try on a token, and records their issuer. The token names the issuer; only the issuer's
// keys confirm it.
func (v *verifier) keysFor(token *gojwt.Token, found *verdict) (any, error) {
	name, _ := token.Claims.(gojwt.MapClaims)["iss"].(string)
	if found.issuer = v.issuerOf(name); found.issuer == nil {
		refusal := notAuthorized(labelBadIssuer, "token's issuer (iss) is %q, not the one expected", truncate(name))
		refusal.Failed = true // unverified, so counted like a forged token
		return nil, refusal
	}
	found.ring = found.issuer.ring.Load()
	keys, refusal := found.ring.keysFor(token)
	found.keyless = refusal != nil
	if refusal != nil && found.ring.isEmpty() {
		refusal = unavailable("the keys of the token's issuer are not known yet; try again later")
	}
	if refusal != nil {
		return nil, refusal
	}
	set := gojwt.VerificationKeySet{Keys: make([]gojwt.VerificationKey, len(keys))}
	for i, k := range keys {
		set.Keys[i] = k.Value
	}
	return set, nil
}

// issuerOf returns the issuer with that name, or else the one without a name.
func (v *verifier) issuerOf(name string) *issuer {
	if i := v.issuers[name]; i != nil {
		return i
	}
	return v.issuers[""]
}
