package config

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// validator collects what is wrong with values that are well-formed each for itself.
type validator struct {
	loaded   *Loaded
	problems Problems
}

func (v *validator) report(path, message, hint string) {
	v.problems = append(v.problems, v.loaded.Problem(path, message, hint))
}

// validate checks the values against each other and the world's rules. Paths in known have a problem already.
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
	taken := map[string]string{}
	for _, a := range v.loaded.addresses() {
		if a.address != "" {
			v.address(a.path, a.address, taken)
		}
	}
	v.certificate("listeners.tls", l.TLS.Address, l.TLS.Certificate, l.TLS.Certificates)
	v.certificate("listeners.wss", l.WSS.Address, l.WSS.Certificate, l.WSS.Certificates)
	v.proxies()
	v.acme()
	v.paths("listeners.ws.paths", l.WS.Paths)
	v.paths("listeners.wss.paths", l.WSS.Paths)
	if l.TCP.Address+l.TLS.Address+l.WS.Address+l.WSS.Address+l.Unix.Address == "" {
		v.report("listeners", "no listener has an address: nobody could connect", "set listeners.tcp.address, such as 127.0.0.1:1883")
	}
}

// address is one that is listened on, and its path.
type address struct{ path, address string }

// addresses are those of the network, on or off.
func (c *Config) addresses() []address {
	return []address{
		{"listeners.tcp.address", c.Listeners.TCP.Address},
		{"listeners.tls.address", c.Listeners.TLS.Address},
		{"listeners.ws.address", c.Listeners.WS.Address},
		{"listeners.wss.address", c.Listeners.WSS.Address},
		{"http.address", c.HTTP.Address},
		{"listeners.acme.http_address", c.Listeners.ACME.HTTPAddress},
	}
}

func (v *validator) address(path, text string, taken map[string]string) {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		v.report(path, strconv.Quote(text)+" is not an address", "write host:port, such as 127.0.0.1:1883, or :1883 for all interfaces")
		return
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		v.report(path, fmt.Sprintf("%q is not a port", port), "write one from 1 to 65535, or 0 for any that is free")
		return
	}
	if other, found := taken[text]; found {
		v.report(path, text+" is the address of "+other+", too", "change one of the two")
	}
	if port != "0" {
		taken[text] = path
	}
}

func (v *validator) certificate(path, address string, c Certificate, more []Pair) {
	if c.Clients != "none" && c.ClientCA == "" {
		v.report(path+".certificate.clients", "client certificates are asked for, but nothing says which are valid",
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
		v.report(path+".address", "there is no certificate for it", "set "+path+".certificate.file to a PEM file")
	}
	if c.Key == "" {
		v.report(path+".address", "there is no key for its certificate", "set "+path+".certificate.key to a PEM file")
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
		v.report("auth.jwt.secret_file", "without a secret, keys, issuers, a password file, client certificates and anonymous clients nobody could connect",
			"leave it empty for one that is made in the data folder")
	}
	l := &v.loaded.Listeners
	if a.ClientCertificate != "none" && l.TLS.Certificate.Clients == "none" && l.WSS.Certificate.Clients == "none" {
		v.report("auth.client_certificate", "no listener asks clients for a certificate",
			"set listeners.tls.certificate.clients or listeners.wss.certificate.clients to request or require")
	}
}

// warn notes what works but should be looked at.
func (l *Loaded) warn(unknownEnv []string) {
	for _, name := range unknownEnv {
		if w, wanted := unknownVariable(name); wanted {
			l.Warnings = append(l.Warnings, w)
		}
	}
	l.warnOfIssuers()
	for _, a := range l.addresses()[:3:3] {
		if a.path != "listeners.tls.address" && a.address != "" && !isLoopback(a.address) {
			l.Warnings = append(l.Warnings, l.Problem(a.path, a.address+" is open to other machines, and passwords and tokens cross it in the clear",
				"use "+strings.NewReplacer("tcp", "tls", "ws", "wss").Replace(a.path)+", or a proxy that does TLS"))
		}
	}
}

// isLoopback reports whether only this machine can reach an address, as far as can be told without asking for names.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// otherVariables begin the names of variables that are none of ours: of clients, of tests, and those that Kubernetes
// makes for a service called outcry.
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
	return Problem{Position{Source: name}, "", "stands for no key of the configuration", hint}, true
}
