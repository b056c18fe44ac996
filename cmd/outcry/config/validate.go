package config

import (
	"net"
	"strconv"
	"strings"
)

// validator collects problems across values.
type validator struct {
	loaded   *Loaded
	problems Problems
}

func (v *validator) report(path, message, hint string) {
	v.problems = append(v.problems, v.loaded.Problem(path, message, hint))
}

// validate checks the values against each other. Paths in known have a problem already.
func (l *Loaded) validate(known Problems) Problems {
	v := &validator{loaded: l}
	if l.Data == "" {
		v.report("data", "is empty", "write a folder, such as ./data")
	}
	v.listeners()
	v.auth()
	v.rules()
	v.limits()
	v.runtime()
	reported := map[string]bool{}
	for _, p := range known {
		reported[p.Path] = true
	}
	var fresh Problems
	for _, p := range v.problems {
		if !reported[p.Path] {
			fresh = append(fresh, p)
		}
	}
	return fresh
}

func (v *validator) listeners() {
	l := &v.loaded.Listeners
	v.addresses()
	v.certificate("listeners.tls", l.TLS.Address, l.TLS.Certificate, l.TLS.Certificates)
	v.certificate("listeners.wss", l.WSS.Address, l.WSS.Certificate, l.WSS.Certificates)
	v.proxies()
	v.acme()
	v.paths("listeners.ws.paths", l.WS.Paths)
	v.paths("listeners.wss.paths", l.WSS.Paths)
	if l.TCP.Address+l.TLS.Address+l.WS.Address+l.WSS.Address+l.Unix.Address == "" {
		v.report("listeners", "no listener has an address, so no client could connect", "set listeners.tcp.address, such as 127.0.0.1:1883")
	}
}

func (v *validator) certificate(path, address string, c Certificate, more []Pair) {
	if c.Clients != "none" && c.ClientCA == "" {
		v.report(path+".certificate.clients", "client certificates are requested without an authority for them",
			"set "+path+".certificate.client_ca to a PEM file")
	}
	for i, p := range more {
		if p.File == "" || p.Key == "" {
			v.report(Item(path+".certificates", i), "has no file or no key", "write {file: cert.pem, key: key.pem}")
		}
	}
	elsewhere := len(more) > 0 || len(v.loaded.Listeners.ACME.Names) > 0
	if address == "" || c.File == "" && c.Key == "" && elsewhere {
		return
	}
	if c.File == "" {
		v.report(path+".address", "has no certificate", "set "+path+".certificate.file to a PEM file")
	}
	if c.Key == "" {
		v.report(path+".address", "has no key for its certificate", "set "+path+".certificate.key to a PEM file")
	}
}

func (v *validator) paths(path string, list []string) {
	if len(list) == 0 {
		v.report(path, "is empty", "write [/mqtt]")
	}
	for i, p := range list {
		if !strings.HasPrefix(p, "/") || strings.ContainsAny(p, "?#") {
			v.report(Item(path, i), strconv.Quote(p)+" is not a path", "write one such as /mqtt")
		}
	}
}

func (v *validator) auth() {
	a := &v.loaded.Auth
	v.tokens()
	if !a.JWT.signs() && a.PasswordFile == "" && a.ClientCertificate == "none" && !a.Anonymous {
		v.report("auth.jwt.secret_file", "no client could connect without a secret, keys, issuers, a password file, client certificates or anonymous clients",
			"leave it empty: the broker then makes a secret in the data folder")
	}
	l := &v.loaded.Listeners
	if a.ClientCertificate != "none" && l.TLS.Certificate.Clients == "none" && l.WSS.Certificate.Clients == "none" {
		v.report("auth.client_certificate", "no listener asks clients for a certificate",
			"set listeners.tls.certificate.clients or listeners.wss.certificate.clients to request or require")
	}
}

// warn reports valid but suspicious settings.
func (l *Loaded) warn(unknownEnv []string) {
	for _, name := range unknownEnv {
		if w, wanted := unknownVariable(name); wanted {
			l.Warnings = append(l.Warnings, w)
		}
	}
	l.warnOfIssuers()
	if l.Auth.Anonymous && l.Listeners.WS.Address != "" && len(l.Listeners.WS.Hosts) == 0 {
		l.Warnings = append(l.Warnings, l.Problem("listeners.ws.hosts", "with auth.anonymous, only requests for localhost and this machine's names are accepted",
			"list the names that clients use, and loopback"))
	}
	for _, a := range l.Addresses()[:3:3] {
		if a.Path != "listeners.tls.address" && a.Address != "" && !isLoopback(a.Address) {
			l.Warnings = append(l.Warnings, l.Problem(a.Path, a.Address+" is open to other machines, and passwords and tokens are not encrypted",
				"use "+strings.NewReplacer("tcp", "tls", "ws", "wss").Replace(a.Path)+", or a proxy that terminates TLS"))
		}
	}
}

// isLoopback reports whether an address is reachable from this machine only, without resolving names.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// otherVariables are prefixes of variables that are no keys: of clients, of tests, and those that Kubernetes sets for
// a service called outcry.
var otherVariables = []string{"OUTCRY_TOKEN", "OUTCRY_BIN", "OUTCRY_TEST", "OUTCRY_PORT", "OUTCRY_SERVICE_"}

func unknownVariable(name string) (Problem, bool) {
	for _, other := range otherVariables {
		if strings.HasPrefix(name, other) {
			return Problem{}, false
		}
	}
	names := []string{}
	for _, path := range Paths() {
		names = append(names, strings.ToLower(envName(path)))
	}
	hint := "it has no effect"
	if meant := Suggest(name, names); meant != "" {
		hint = "did you mean " + strings.ToUpper(meant) + "?"
	}
	return Problem{Position{Source: name}, "", "is not a key of the configuration", hint}, true
}
