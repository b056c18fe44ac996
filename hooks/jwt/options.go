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

// Options say which tokens an Authenticator accepts.
type Options struct {
	Issuers []Issuer      // who may sign tokens; none: no token is accepted
	From    []Place       // where a token may stand; nil: the password and the header Authorization
	Cookie  string        // the name of the cookie that FromCookie looks at; empty: DefaultCookie
	Leeway  time.Duration // by how much clocks may differ; 0: DefaultLeeway, negative: not at all
	// AllowNoExpiry accepts tokens without "exp", whose connections never end by themselves.
	AllowNoExpiry bool
	// CacheSize is how many tokens are remembered once they were verified, of at most 4 KiB each; 0: DefaultCacheSize,
	// negative: none.
	CacheSize int
	Now       func() time.Time // nil: time.Now
	Logger    *slog.Logger     // nil: nothing is logged
}

// Issuer is somebody who signs tokens. A token is verified with the keys of the issuer that it names, and no others.
type Issuer struct {
	Name     string      // what "iss" must be; empty: anything that is not the name of another issuer
	Keys     []KeySource // at least one
	Audience []string    // one of these must be in "aud"; empty: anything, tokens for other services too
	// UserClaim names the user; empty: DefaultUserClaim. It is the name of a claim, or else the way to one inside of
	// others: "realm_access.roles". So are those that follow.
	UserClaim  string
	RoomsClaim string // becomes the claim "rooms" of the identity; empty: DefaultRoomsClaim
	RulesClaim string // becomes the claim "acl" of the identity; empty: there is none, even if the token has one
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
