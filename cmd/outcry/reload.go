package main

import (
	"errors"
	"strings"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
)

// reloadableKeys are those that a reload takes over. Files that other keys name are read again, too.
var reloadableKeys = map[string]bool{
	"rules": true, "rooms": true, "client_ids": true, "log.level": true,
	"auth.jwt.from": true, "auth.jwt.cookie": true, "auth.jwt.keys": true, "auth.jwt.rooms_claim": true, "auth.jwt.rules_claim": true,
	"auth.jwt.leeway": true, "auth.jwt.require_expiry": true, "auth.jwt.cache": true, "auth.jwt.issuers": true,
}

// reload reads the configuration again and takes over what can be changed while the broker runs. A part that is broken
// is refused and told, and stays as it was.
func (s *server) reload() {
	next, err := config.Load(s.options)
	if err != nil {
		s.refuse("configuration", err)
		return
	}
	s.warnOfReload(next)
	whole := true
	for _, part := range []struct {
		name   string
		reload func(*config.Loaded) error
	}{
		{"limits", s.reloadLimits},
		{"rules", s.reloadRules},
		{"keys", s.reloadKeys},
		{"password file", s.reloadUsers},
		{"deny file", s.reloadDenied},
		{"certificates", s.reloadCertificates},
		{"operator's token", s.reloadOpsToken},
	} {
		if err := part.reload(next); err != nil {
			s.refuse(part.name, err)
			whole = false
		}
	}
	s.config.Log.Level = next.Log.Level
	setLevel(&s.level, &next.Config)
	s.log.Info("reloaded", "whole", whole)
}

// refuse tells of each thing that is wrong.
func (s *server) refuse(part string, err error) {
	for line := range strings.Lines(err.Error()) {
		s.log.Error("not reloaded, the old one stays", "part", part, "error", strings.TrimSpace(line))
	}
}

func (s *server) warnOfReload(next *config.Loaded) {
	for _, w := range next.Warnings {
		s.log.Warn("configuration", "problem", w.String())
	}
	for _, path := range config.Changed(s.config.Config, next.Config) {
		if !reloadableKeys[path] && !config.IsLiveLimit(path) {
			s.log.Warn("changed, but takes effect at the next start only", "key", path, "at", next.Where(path).String())
		}
	}
}

// reloadLimits takes over the limits that can be changed while clients are there.
func (s *server) reloadLimits(next *config.Loaded) error {
	s.config.Limits.TakeLive(&next.Limits)
	l := s.config.Limits.Broker()
	boundConnections(&l, openFiles(), s.log)
	s.broker.SetLimits(l)
	return nil
}

func (s *server) reloadRules(next *config.Loaded) error {
	if err := s.access.rules.Update(next.RuleOptions()); err != nil {
		return err // cannot happen: config.Load has checked them
	}
	s.config.Rules, s.config.Rooms, s.config.ClientIDs = next.Rules, next.Rooms, next.ClientIDs
	s.broker.RulesChanged()
	return nil
}

// reloadKeys takes over everything about tokens but what the tokens of the demo's devices are made of.
func (s *server) reloadKeys(next *config.Loaded) error {
	merged, old := *next, &s.config.Auth.JWT
	j := &merged.Auth.JWT
	j.SecretFile, j.Issuer, j.Audience, j.UserClaim = old.SecretFile, old.Issuer, old.Audience, old.UserClaim
	merged.Data = s.config.Data
	if err := s.access.reloadTokens(&merged); err != nil {
		return err
	}
	*old = *j
	return nil
}

func (s *server) reloadUsers(*config.Loaded) error {
	if s.access.users == nil {
		return nil
	}
	return s.access.users.Reload()
}

func (s *server) reloadDenied(*config.Loaded) error {
	if s.access.denied == nil {
		return nil
	}
	if err := s.access.denied.Reload(); err != nil {
		return err
	}
	s.broker.RulesChanged()
	return nil
}

func (s *server) reloadCertificates(*config.Loaded) error {
	var all []error
	for _, cert := range s.in.certs {
		all = append(all, cert.Reload())
	}
	return errors.Join(all...)
}

func (s *server) reloadOpsToken(*config.Loaded) error {
	if s.ops == nil {
		return nil
	}
	return s.ops.ReloadToken()
}
