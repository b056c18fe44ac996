package main

import (
	"sync/atomic"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/outcry-mqtt/outcry/hooks/anonymous"
	"github.com/outcry-mqtt/outcry/hooks/clientcert"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
	"github.com/outcry-mqtt/outcry/hooks/passwd"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

// access is who clients are and what they may do: the hooks that can be changed while the broker runs. Each is nil if
// the configuration does without it.
type access struct {
	keys   *configuredKeys
	tokens *jwt.Authenticator
	users  *passwd.Authenticator
	certs  *clientcert.Authenticator
	rules  *rules.Authorizer
}

// newAccess makes the hooks of a configuration. Its errors are config.Problems: all that is wrong with the files.
func newAccess(c *config.Loaded) (*access, error) {
	a, j := &access{keys: &configuredKeys{}}, &c.Auth.JWT
	var problems config.Problems
	a.keys.config.Store(&c.Config)
	if secretPath(&c.Config) != "" || len(j.Keys) > 0 {
		problems = append(problems, checkKeys(c)...)
	}
	var err error
	if len(problems) == 0 && (secretPath(&c.Config) != "" || len(j.Keys) > 0) {
		if a.tokens, err = jwt.New(tokenOptions(j, a.keys)); err != nil {
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
	if len(problems) > 0 {
		return nil, problems
	}
	return a, nil
}

// hooks are all hooks of the broker, in the order in which they are asked: a client that shows a password is judged by
// that, also if it has a certificate.
func (a *access) hooks(c *config.Config) []any {
	hooks := []any{}
	if a.tokens != nil {
		hooks = append(hooks, a.tokens)
	}
	if a.users != nil {
		hooks = append(hooks, a.users)
	}
	if a.certs != nil {
		hooks = append(hooks, a.certs)
	}
	if c.Auth.Anonymous {
		hooks = append(hooks, anonymous.Authenticator{OnlyWithoutCredentials: true})
	}
	return append(hooks, a.rules)
}

// openHooks are the hooks of serve --open: everybody is taken as they come, and nothing asks what they may do.
func openHooks() []any { return []any{anonymous.Authenticator{}} }

// tokenOptions are those of the configuration.
func tokenOptions(j *config.JWT, keys jwt.KeySource) jwt.Options {
	o := jwt.Options{
		Keys:          []jwt.KeySource{keys},
		Issuer:        j.Issuer,
		Audience:      j.Audience,
		UserClaim:     j.UserClaim,
		Leeway:        j.Leeway,
		AllowNoExpiry: !j.RequireExpiry,
	}
	if o.Leeway == 0 {
		o.Leeway = -1 // not at all
	}
	return o
}

// configuredKeys are the keys of a configuration that may be replaced.
type configuredKeys struct{ config atomic.Pointer[config.Config] }

// Keys reads the files.
func (k *configuredKeys) Keys() ([]jwt.Key, error) {
	var all []jwt.Key
	for _, s := range keySources(k.config.Load()) {
		keys, err := s.source.Keys()
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	return all, nil
}

// keySource is a file with a key, and the key of the configuration that names it.
type keySource struct {
	path   string
	source jwt.KeySource
}

func keySources(c *config.Config) (sources []keySource) {
	if path := secretPath(c); path != "" {
		sources = append(sources, keySource{"auth.jwt.secret_file", jwt.SecretFile{Path: path}})
	}
	for i, k := range c.Auth.JWT.Keys {
		sources = append(sources, keySource{config.Item("auth.jwt.keys", i), jwt.KeyFile{Path: k.File, Algorithm: k.Alg, ID: k.KID}})
	}
	return sources
}

// checkKeys tells what is wrong with each file.
func checkKeys(c *config.Loaded) (problems config.Problems) {
	for _, s := range keySources(&c.Config) {
		if _, err := s.source.Keys(); err != nil {
			problems = append(problems, c.Problem(s.path, err.Error(), ""))
		}
	}
	return problems
}
