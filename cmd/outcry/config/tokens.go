package config

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/hooks/jwt"
	"github.com/outcry-mqtt/outcry/hooks/jwt/jwks"
)

// JWT configures token authentication. SecretFile, Keys, Issuer, Audience and the claim names belong to the broker's
// own issuer, whose tokens outcry token mints.
type JWT struct {
	From          []string      `key:"from"`
	Cookie        string        `key:"cookie"`
	SecretFile    string        `key:"secret_file"` // "": secret in the data folder; SecretNone: no secret
	Keys          []Key         `key:"keys"`
	Issuer        string        `key:"issuer"`
	Audience      []string      `key:"audience"`
	UserClaim     string        `key:"user_claim"`
	RoomsClaim    string        `key:"rooms_claim"`
	RulesClaim    string        `key:"rules_claim"`
	Leeway        time.Duration `key:"leeway" least:"0s"`
	RequireExpiry bool          `key:"require_expiry"`
	Cache         int           `key:"cache" least:"1" none:"no cache"`
	Issuers       []Issuer      `key:"issuers"`
}

// SecretNone in JWT.SecretFile means that there is no secret: other keys sign tokens.
const SecretNone = "none"

// Key is a verification key.
type Key struct {
	File string `key:"file"` // a secret if Alg is HS256, HS384 or HS512; else a PEM file
	Alg  string `key:"alg"`
	KID  string `key:"kid"`
}

// Issuer is a foreign issuer. UserClaim and RoomsClaim default to those of JWT; its tokens have rules only if its own
// RulesClaim is set.
type Issuer struct {
	Issuer     string        `key:"issuer"`
	Audience   []string      `key:"audience"`
	Keys       []Key         `key:"keys"`
	JWKSFile   string        `key:"jwks_file"`
	JWKSURL    string        `key:"jwks_url"`
	Refresh    time.Duration `key:"refresh" least:"1m"` // 0: 15 minutes
	AllowHTTP  bool          `key:"allow_http"`
	UserClaim  string        `key:"user_claim"`
	RoomsClaim string        `key:"rooms_claim"`
	RulesClaim string        `key:"rules_claim"`
}

func defaultJWT() JWT {
	return JWT{
		From: []string{string(jwt.FromPassword), string(jwt.FromBearer)}, Cookie: jwt.DefaultCookie,
		UserClaim: jwt.DefaultUserClaim, RoomsClaim: jwt.DefaultRoomsClaim,
		Leeway: jwt.DefaultLeeway, RequireExpiry: true, Cache: jwt.DefaultCacheSize,
	}
}

// signs reports whether there is any key, so that tokens can be accepted.
func (j *JWT) signs() bool { return j.SecretFile != SecretNone || len(j.Keys)+len(j.Issuers) > 0 }

// tokens checks the section auth.jwt.
func (v *validator) tokens() {
	j := &v.loaded.Auth.JWT
	v.places(j)
	v.keys("auth.jwt.keys", j.Keys)
	if j.UserClaim == "" {
		v.report("auth.jwt.user_claim", "is empty", "write the claim that names the user, such as sub")
	}
	taken := map[string]string{}
	if j.SecretFile != SecretNone || len(j.Keys) > 0 {
		taken[j.Issuer] = "auth.jwt.issuer"
	}
	for i := range j.Issuers {
		v.issuer(Item("auth.jwt.issuers", i), &j.Issuers[i], taken)
	}
}

// places checks the places of tokens.
func (v *validator) places(j *JWT) {
	known := []string{string(jwt.FromPassword), string(jwt.FromUsername), string(jwt.FromBearer), string(jwt.FromCookie)}
	if len(j.From) == 0 {
		v.report("auth.jwt.from", "is empty, so no token would be found", "write [password, bearer]")
	}
	for i, place := range j.From {
		path := Item("auth.jwt.from", i)
		if !slices.Contains(known, place) {
			v.report(path, strconv.Quote(place)+" is not one of its values", "write any of "+strings.Join(known, ", "))
		}
		if place == string(jwt.FromCookie) && v.anyOrigin() {
			v.report(path, "with the origin *, any page on the web could connect as its visitor with the visitor's cookie",
				"name the pages in listeners.ws.origins")
		}
	}
	if (&http.Cookie{Name: j.Cookie}).Valid() != nil {
		v.report("auth.jwt.cookie", strconv.Quote(j.Cookie)+" is not the name of a cookie", "write one such as "+jwt.DefaultCookie)
	}
}

// anyOrigin reports whether a listener accepts every origin.
func (v *validator) anyOrigin() bool {
	l := &v.loaded.Listeners
	return l.WS.Address != "" && slices.Contains(l.WS.Origins, "*") || l.WSS.Address != "" && slices.Contains(l.WSS.Origins, "*")
}

func (v *validator) keys(path string, keys []Key) {
	for i, k := range keys {
		if k.File == "" {
			v.report(Item(path, i)+".file", "is missing", "write the name of a PEM file with a public key")
		}
	}
}

// issuer checks a foreign issuer. taken holds the names of earlier ones, with their paths.
func (v *validator) issuer(path string, i *Issuer, taken map[string]string) {
	if i.Issuer == "" {
		v.report(path+".issuer", "is missing", "write the exact claim iss of its tokens")
	} else if other, found := taken[i.Issuer]; found {
		v.report(path+".issuer", "is the same as "+other, "put all its keys into one")
	}
	taken[i.Issuer] = path + ".issuer"
	v.keys(path+".keys", i.Keys)
	if len(i.Keys) == 0 && i.JWKSFile == "" && i.JWKSURL == "" {
		v.report(path, "has no keys", "set jwks_url, jwks_file or keys")
	}
	if i.JWKSURL != "" {
		if err := jwks.CheckURL(i.JWKSURL, i.AllowHTTP); err != nil {
			v.report(path+".jwks_url", err.Error(), "")
		}
	}
}

// warnOfIssuers warns of issuers without an audience.
func (l *Loaded) warnOfIssuers() {
	for n, i := range l.Auth.JWT.Issuers {
		if len(i.Audience) == 0 {
			l.Warnings = append(l.Warnings, l.Problem(Item("auth.jwt.issuers", n),
				"has no audience, so tokens for other services are accepted too", "set audience to the claim aud of your tokens"))
		}
	}
}
