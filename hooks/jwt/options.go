package jwt

import (
	"log/slog"
	"time"
)

// Defaults of Options, Issuer and MintOptions.
const (
	DefaultUserClaim  = "sub"
	DefaultRoomsClaim = "rooms"
	DefaultCookie     = "outcry_token"
	DefaultLeeway     = 10 * time.Second
	DefaultTTL        = time.Hour
	DefaultCacheSize  = 10_000
)

// Options configure an Authenticator.
type Options struct {
	Issuers []Issuer      // trusted issuers; none: no token is accepted
	From    []Place       // places of a token; nil: the password and the header Authorization
	Cookie  string        // cookie name for FromCookie; empty: DefaultCookie
	Leeway  time.Duration // tolerated clock difference; 0: DefaultLeeway, negative: none
	// AllowNoExpiry accepts tokens without "exp", whose connections never expire.
	AllowNoExpiry bool
	// CacheSize is the number of verified tokens to cache, of at most 4 KiB each; 0: DefaultCacheSize, negative: no
	// cache.
	CacheSize int
	Now       func() time.Time // nil: time.Now
	Logger    *slog.Logger     // nil: no log
}

// Issuer signs tokens. Only the keys of the issuer that a token names verify it.
type Issuer struct {
	Name     string      // required "iss"; empty: any but the names of other issuers
	Keys     []KeySource // at least one
	Audience []string    // one of these must be in "aud"; empty: any audience, so tokens for other services pass too
	// UserClaim holds the user name; empty: DefaultUserClaim. It is the name of a claim, or else the path of a nested
	// one: "realm_access.roles". The same holds for the next two.
	UserClaim  string
	RoomsClaim string // becomes the claim "rooms" of the identity; empty: DefaultRoomsClaim
	RulesClaim string // becomes the claim "acl" of the identity; empty: none, even if the token has one
}

func (o Options) withDefaults() Options {
	if o.From == nil {
		o.From = []Place{FromPassword, FromBearer}
	}
	if o.Cookie == "" {
		o.Cookie = DefaultCookie
	}
	if o.Leeway == 0 {
		o.Leeway = DefaultLeeway
	}
	o.Leeway = max(o.Leeway, 0)
	if o.CacheSize == 0 {
		o.CacheSize = DefaultCacheSize
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (i Issuer) withDefaults() Issuer {
	if i.UserClaim == "" {
		i.UserClaim = DefaultUserClaim
	}
	if i.RoomsClaim == "" {
		i.RoomsClaim = DefaultRoomsClaim
	}
	return i
}
