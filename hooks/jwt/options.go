package jwt

import "time"

// Defaults of Options and MintOptions.
const (
	DefaultUserClaim = "sub"
	DefaultLeeway    = 10 * time.Second
	DefaultTTL       = time.Hour
)

// Options say which tokens an Authenticator accepts.
type Options struct {
	Keys      []KeySource   // at least one
	Issuer    string        // what "iss" must be; empty: anything
	Audience  []string      // one of these must be in "aud"; empty: anything
	UserClaim string        // the claim that names the user; empty: DefaultUserClaim
	Leeway    time.Duration // by how much clocks may differ; 0: DefaultLeeway, negative: not at all
	// AllowNoExpiry accepts tokens without "exp", whose connections never end by themselves.
	AllowNoExpiry bool
	Now           func() time.Time // nil: time.Now
}

func (o Options) withDefaults() Options {
	if o.UserClaim == "" {
		o.UserClaim = DefaultUserClaim
	}
	if o.Leeway == 0 {
		o.Leeway = DefaultLeeway
	}
	o.Leeway = max(o.Leeway, 0)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}
