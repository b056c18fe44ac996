// Package access creates the authentication and authorization hooks of a configuration. It also holds the commands
// token, acl, passwd and deny. It starts no broker.
package access

import (
	"log/slog"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/anonymous"
	"github.com/outcry-mqtt/outcry/hooks/clientcert"
	"github.com/outcry-mqtt/outcry/hooks/denylist"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
	"github.com/outcry-mqtt/outcry/hooks/metrics"
	"github.com/outcry-mqtt/outcry/hooks/passwd"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

// Access holds the hooks that can be changed while the broker runs. Each but tokens and rules is nil if the
// configuration does not use it.
type Access struct {
	sets   *keySets
	Tokens *jwt.Authenticator
	Users  *passwd.Authenticator
	certs  *clientcert.Authenticator
	Rules  *rules.Authorizer
	Denied *denylist.List
}

// New creates the hooks of a configuration. Its errors are config.Problems: everything wrong with the files.
func New(c *config.Loaded, log *slog.Logger) (*Access, error) {
	a := &Access{sets: newKeySets(log)}
	var err error
	options, sets, problems := a.sets.options(c)
	if len(problems) == 0 {
		a.sets.use(sets)
		if a.Tokens, err = jwt.New(options); err != nil {
			problems = append(problems, c.Problem("auth.jwt", err.Error(), ""))
		}
	}
	if c.Auth.PasswordFile != "" {
		if a.Users, err = passwd.New(passwd.Options{Path: c.Auth.PasswordFile}); err != nil {
			problems = append(problems, c.Problem("auth.password_file", err.Error(), ""))
		}
	}
	if name := c.Auth.ClientCertificate; name != "none" {
		if a.certs, err = clientcert.New(clientcert.Options{User: clientcert.Name(name)}); err != nil { // config.Load has checked it
			problems = append(problems, c.Problem("auth.client_certificate", err.Error(), ""))
		}
	}
	if a.Rules, err = rules.New(c.RuleOptions()); err != nil { // config.Load has checked them
		problems = append(problems, c.Problem("rules", err.Error(), ""))
	}
	if c.Auth.DenyFile != "" {
		if a.Denied, err = denylist.New(denylist.Options{Path: c.Auth.DenyFile, Logger: log}); err != nil {
			problems = append(problems, c.Problem("auth.deny_file", err.Error(), "write one with outcry deny add, or make an empty file"))
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return a, nil
}

// Hooks returns all hooks of the broker, in the order in which they are asked. A client with a password is
// authenticated by it, even if it has a certificate.
func (a *Access) Hooks(c *config.Config) []any {
	hooks := []any{a.Tokens}
	if a.Users != nil {
		hooks = append(hooks, a.Users)
	}
	if a.certs != nil {
		hooks = append(hooks, a.certs)
	}
	if c.Auth.Anonymous {
		hooks = append(hooks, anonymous.Authenticator{OnlyWithoutCredentials: true})
	}
	if a.Denied != nil {
		hooks = append(hooks, a.Denied)
	}
	return append(hooks, a.Rules)
}

// OpenHooks returns the hooks of serve --open: they accept everybody, without authorization.
func OpenHooks() []any { return []any{anonymous.Authenticator{}} }

// ReloadTokens applies a configuration's token settings, and reads all keys again. Those at URLs follow later.
func (a *Access) ReloadTokens(c *config.Loaded) error {
	options, sets, problems := a.sets.options(c)
	if len(problems) > 0 {
		return problems
	}
	if err := a.Tokens.Update(options); err != nil {
		return c.Problem("auth.jwt", err.Error(), "")
	}
	a.sets.use(sets)
	a.sets.reread()
	return nil
}

// DenyStats returns the deny list's counters for metrics; nil without a list.
func (a *Access) DenyStats() func() metrics.DenyStats {
	if a.Denied == nil {
		return nil
	}
	return func() metrics.DenyStats {
		s := a.Denied.Stats()
		out := metrics.DenyStats{Entries: map[string]int{}, Refused: map[string]uint64{}}
		for _, kind := range denylist.Kinds() {
			out.Entries[string(kind)], out.Refused[string(kind)] = s.Entries[kind], s.Refused[kind]
		}
		return out
	}
}

// TokenStats returns the token counters for metrics.
func (a *Access) TokenStats() metrics.TokenStats {
	s := a.Tokens.Stats()
	return metrics.TokenStats{
		Accepted: s.Accepted, CacheHits: s.CacheHits, Refused: s.Refused, Cached: s.Cached,
		Readings: a.sets.counters.Readings(), Failing: a.sets.failing(),
	}
}
