package server

import (
	"errors"
	"strings"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
)

// reloadableKeys can change with a reload. It also reads the files that other keys name.
var reloadableKeys = map[string]bool{
	"rules": true, "rooms": true, "client_ids": true, "log.level": true,
	"auth.jwt.from": true, "auth.jwt.cookie": true, "auth.jwt.keys": true, "auth.jwt.rooms_claim": true, "auth.jwt.rules_claim": true,
	"auth.anonymous_sessions": true, "auth.jwt.leeway": true, "auth.jwt.require_expiry": true, "auth.jwt.cache": true, "auth.jwt.issuers": true,
}

// reload reads the configuration again and applies the reloadable part. A broken part is refused and logged, and its
// old version applies.
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
		{"anonymous sessions", s.reloadTakeOver},
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

// refuse logs every error of a part.
func (s *server) refuse(part string, err error) {
	for line := range strings.Lines(err.Error()) {
		s.log.Error("reload refused, the old one stays in use", "part", part, "error", strings.TrimSpace(line))
	}
}

func (s *server) warnOfReload(next *config.Loaded) {
	for _, w := range next.Warnings {
		s.log.Warn("configuration", "problem", w.String())
	}
	for _, path := range config.Changed(s.config.Config, next.Config) {
		if !reloadableKeys[path] && !config.IsLiveLimit(path) {
			s.log.Warn("change takes effect at the next start", "key", path, "at", next.Where(path).String())
		}
	}
}

// reloadLimits applies the live limits.
func (s *server) reloadLimits(next *config.Loaded) error {
	s.config.Limits.TakeLive(&next.Limits)
	l := s.config.Limits.Broker()
	boundConnections(&l, openFiles(), s.log)
	boundMemory(&l, s.log)
	s.broker.SetLimits(l)
	return nil
}

func (s *server) reloadRules(next *config.Loaded) error {
	if err := s.access.Rules.Update(next.RuleOptions()); err != nil {
		return err // cannot happen: config.Load has checked them
	}
	s.config.Rules, s.config.Rooms, s.config.ClientIDs = next.Rules, next.Rooms, next.ClientIDs
	s.broker.RulesChanged()
	return nil
}

func (s *server) reloadTakeOver(next *config.Loaded) error {
	s.config.Auth.AnonymousSessions = next.Auth.AnonymousSessions
	s.broker.SetTakeOverAnonymous(next.Auth.TakesOver())
	return nil
}

// reloadKeys applies all token settings except those of the demo devices' tokens.
func (s *server) reloadKeys(next *config.Loaded) error {
	merged, old := *next, &s.config.Auth.JWT
	j := &merged.Auth.JWT
	j.SecretFile, j.Issuer, j.Audience, j.UserClaim = old.SecretFile, old.Issuer, old.Audience, old.UserClaim
	merged.Data = s.config.Data
	if err := s.access.ReloadTokens(&merged); err != nil {
		return err
	}
	*old = *j
	return nil
}

func (s *server) reloadUsers(*config.Loaded) error {
	if s.access.Users == nil {
		return nil
	}
	return s.access.Users.Reload()
}

func (s *server) reloadDenied(*config.Loaded) error {
	if s.access.Denied == nil {
		return nil
	}
	if err := s.access.Denied.Reload(); err != nil {
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
