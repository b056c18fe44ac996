package config

import (
	"net/url"
	"strconv"

	"github.com/outcry-mqtt/outcry/listeners"
)

// acme checks the section listeners.acme, if it is used.
func (v *validator) acme() {
	a, l := &v.loaded.Listeners.ACME, &v.loaded.Listeners
	if len(a.Names) == 0 {
		if a.HTTPAddress != "" {
			v.report("listeners.acme.http_address", "has no effect without names", "set listeners.acme.names")
		}
		return
	}
	for i, name := range a.Names {
		if !listeners.IsACMEName(name) {
			v.report(Item("listeners.acme.names", i), strconv.Quote(name)+" is not a name for a certificate",
				"write one such as mqtt.example.org, without wildcards and in ASCII")
		}
	}
	if !a.AcceptTerms {
		v.report("listeners.acme.accept_terms", "the authority's terms of service are not accepted", "read them and write true")
	}
	if u, err := url.Parse(a.Directory); err != nil || u.Host == "" || u.Scheme != "https" {
		v.report("listeners.acme.directory", strconv.Quote(a.Directory)+" is not the URL of a directory",
			"write one such as https://acme-v02.api.letsencrypt.org/directory")
	}
	if l.TLS.Address+l.WSS.Address == "" {
		v.report("listeners.acme.names", "no listener would use the certificates", "set listeners.tls.address or listeners.wss.address")
	}
}
