package jwt

import (
	"errors"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
)

// Inspection is a token's unverified content. Only an Authenticator verifies tokens.
type Inspection struct {
	Algorithm string
	KeyID     string         // empty if absent
	Header    map[string]any // the whole header
	Claims    map[string]any // all claims
	User      string         // claim "sub"; empty if absent
	Issued    time.Time      // zero if absent, like those below
	NotBefore time.Time
	Expires   time.Time
}

// Inspect reads a token without verifying it. Its error does not show the token.
func Inspect(token string) (*Inspection, error) {
	parser := gojwt.NewParser(gojwt.WithStrictDecoding(), gojwt.WithJSONNumber())
	parsed, _, err := parser.ParseUnverified(token, gojwt.MapClaims{})
	if parsed == nil || parsed.Claims == nil || errors.Is(err, gojwt.ErrTokenMalformed) {
		return nil, errors.New("inspect token: it is not three parts of base64url with JSON in the first two")
	}
	claims := map[string]any(parsed.Claims.(gojwt.MapClaims))
	i := &Inspection{Header: parsed.Header}
	i.Algorithm, _ = parsed.Header["alg"].(string)
	i.KeyID, _ = parsed.Header["kid"].(string)
	i.User, _ = asText(claims[DefaultUserClaim])
	i.Issued, _ = date(claims, "iat")
	i.NotBefore, _ = date(claims, "nbf")
	i.Expires, _ = date(claims, "exp")
	i.Claims = plain(claims)
	return i, nil
}
