package main

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

// access is who clients are and what they may do: the hooks that can be changed while the broker runs. Each but tokens
// and rules is nil if the configuration does without it.
type access struct {
	sets   *keySets
	tokens *jwt.Authenticator
	users  *passwd.Authenticator
	certs  *clientcert.Authenticator
	rules  *rules.Authorizer
	denied *denylist.List
}

// newAccess makes the hooks of a configuration. Its errors are config.Problems: all that is wrong with the files.
func newAccess(c *config.Loaded, log *slog.Logger) (*access, error) {
	a := &access{sets: newKeySets(log)}
	var err error
	options, sets, problems := a.sets.options(c)
	if len(problems) == 0 {
		a.sets.use(sets)
		if a.tokens, err = jwt.New(options); err != nil {
			problems = append(problems, c.Problem("auth.jwt", err.Error(), ""))
		}
	}
	if c.Auth.PasswordFile != "" {
		if a.users, err = passwd.New(passwd.Options{Path: c.Auth.PasswordFile}); err != nil {
			problems = append(problems, c.Problem("auth.password_file", err.Error(), ""))
		}
	}
	if name := c.Auth.ClientCertificate; name != "none" {
		if a.certs, err = clientcert.New(clientcert.Options{User: clientcert.Name(name)}); err != nil { // config.Load has checked it
			problems = append(problems, c.Problem("auth.client_certificate", err.Error(), ""))
		}
	}
	if a.rules, err = rules.New(c.RuleOptions()); err != nil { // config.Load has checked them
		problems = append(problems, c.Problem("rules", err.Error(), ""))
	}
	if c.Auth.DenyFile != "" {
		if a.denied, err = denylist.New(denylist.Options{Path: c.Auth.DenyFile, Logger: log}); err != nil {
			problems = append(problems, c.Problem("auth.deny_file", err.Error(), "write one with outcry deny add, or make an empty file"))
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return a, nil
}

// hooks are all hooks of the broker, in the order in which they are asked: a client that shows a password is judged by
// that, also if it has a certificate.
func (a *access) hooks(c *config.Config) []any {
	hooks := []any{a.tokens}
	if a.users != nil {
		hooks = append(hooks, a.users)
	}
	if a.certs != nil {
		hooks = append(hooks, a.certs)
	}
	if c.Auth.Anonymous {
		hooks = append(hooks, anonymous.Authenticator{OnlyWithoutCredentials: true})
	}
	if a.denied != nil {
		hooks = append(hooks, a.denied)
	}
	return append(hooks, a.rules)
}

// openHooks are the hooks of serve --open: everybody is taken as they come, and nothing asks what they may do.
func openHooks() []any { return []any{anonymous.Authenticator{}} }

// reloadTokens takes over what a configuration says of tokens, and reads all keys again. Those behind URLs follow later.
func (a *access) reloadTokens(c *config.Loaded) error {
	options, sets, problems := a.sets.options(c)
	if len(problems) > 0 {
		return problems
	}
	if err := a.tokens.Update(options); err != nil {
		return c.Problem("auth.jwt", err.Error(), "")
	}
	a.sets.use(sets)
	a.sets.reread()
	return nil
}

// denyStats are the counters of the deny-list, for metrics; nil without one.
func (a *access) denyStats() func() metrics.DenyStats {
	if a.denied == nil {
		return nil
	}
	return func() metrics.DenyStats {
		s := a.denied.Stats()
		out := metrics.DenyStats{Entries: map[string]int{}, Refused: map[string]uint64{}}
		for _, kind := range denylist.Kinds() {
			out.Entries[string(kind)], out.Refused[string(kind)] = s.Entries[kind], s.Refused[kind]
		}
		return out
	}
}

// tokenStats are the counters of tokens, for metrics.
func (a *access) tokenStats() metrics.TokenStats {
	s := a.tokens.Stats()
	return metrics.TokenStats{
		Accepted: s.Accepted, CacheHits: s.CacheHits, Refused: s.Refused, Cached: s.Cached,
		Readings: a.sets.counters.Readings(), Failing: a.sets.failing(),
	}
}
