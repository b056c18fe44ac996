package jwt

import (
	"errors"
	"fmt"
	"strings"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/outcry-mqtt/outcry/broker"
)

// verifier is everything that an Authenticator knows by one set of Options. But for its key rings and its cache it does
// not change.
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
		gojwt.WithoutClaimsValidation(), // ours says by how much a token is late
	)
	var errs []error
	for _, of := range o.Issuers {
		i, err := newIssuer(of.withDefaults())
		if v.issuers[of.Name] != nil {
			err = errors.Join(err, errors.New("is there twice; give all its keys to one"))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("keys of tokens%s: %w", byIssuer(of.Name), err))
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

// live are all sources that change by themselves.
func (v *verifier) live() map[LiveKeys]bool {
	all := map[LiveKeys]bool{}
	for _, i := range v.issuers {
		for _, source := range i.live {
			all[source] = true
		}
	}
	return all
}

// renew takes over the present keys of an issuer's sources.
func (v *verifier) renew(i *issuer) {
	i.renew(v.options.Logger)
	v.cache.clear() // which saves memory; entries of other keys would not be found
}

// verdict is what was found out about a token.
type verdict struct {
	issuer   *issuer  // whose it is; nil if that is not known
	ring     *keyring // the issuer's when the token was verified
	parsed   *gojwt.Token
	keyless  bool // the issuer has no key for it
	identity *broker.Identity
	refusal  *broker.Refusal // nil if identity is there
}

// verify finds out about a token.
func (v *verifier) verify(token shown) (found verdict) {
	if found.refusal = checkHeader(token.header); found.refusal != nil {
		return found
	}
	if strings.ContainsAny(token.text, "\r\n") { // which decoders skip: the same token would have many spellings
		found.refusal = notAToken(labelMalformed, "token has a line break in it; leave it out")
		return found
	}
	found.parsed, found.refusal = v.parse(token.text, &found)
	if found.refusal != nil {
		return found
	}
	found.identity, found.refusal = v.identity(found.issuer, found.parsed.Claims.(gojwt.MapClaims))
	return found
}

// parse verifies the signature, with the keys of the issuer that the token names.
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
	return parsed, notAToken(labelBadSignature, "token's signature does not match; was it signed with another key?")
}

// checkHeader refuses what no key could make good.
func checkHeader(header map[string]any) *broker.Refusal {
	if algorithm, _ := header["alg"].(string); !isAlgorithm(algorithm) {
		return notAToken(labelBadAlgorithm, "no key is for tokens of the algorithm %q", brief(algorithm))
	}
	if _, ok := header["crit"]; ok {
		return notAToken(labelMalformed, "token has extensions that must be understood (crit), and none are") // RFC 7515 4.1.11
	}
	if id, ok := header["kid"]; ok {
		if _, isText := id.(string); !isText {
			return notAToken(labelMalformed, "token's key id (kid) is not a string") // RFC 7515 4.1.4
		}
	}
	return nil
}

// keysFor returns the keys to try on a token, and notes whose they are. The issuer is what the token says; only its own
// keys can confirm that.
func (v *verifier) keysFor(token *gojwt.Token, found *verdict) (any, error) {
	name, _ := token.Claims.(gojwt.MapClaims)["iss"].(string)
	if found.issuer = v.issuerOf(name); found.issuer == nil {
		return nil, notAuthorized(labelBadIssuer, "token's issuer (iss) is %q, not the one expected", brief(name))
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

// issuerOf returns the issuer of that name, or else the one for all others, if there is one.
func (v *verifier) issuerOf(name string) *issuer {
	if i := v.issuers[name]; i != nil {
		return i
	}
	return v.issuers[""]
}
