package clientcert_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/clientcert"
)

var ends = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// certificateWith returns a certificate with a name of each kind.
func certificateWith(commonName string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{
			CommonName: commonName, Organization: []string{"Example"}, OrganizationalUnit: []string{"pumps", "cellar"},
		},
		DNSNames:       []string{"pump.example", "other.example"},
		EmailAddresses: []string{"pump@example.org"},
		URIs:           []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/pump"}},
		NotAfter:       ends,
	}
}

func verified(cert *x509.Certificate) *tls.ConnectionState {
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
}

func TestAuthenticate(t *testing.T) {
	pump := certificateWith("pump-7")
	for _, test := range []struct {
		name string
		user clientcert.Name
		c    broker.Credentials
		want string // user, "not concerned", or the label of a refusal
	}{
		{"no TLS", "", broker.Credentials{}, "not concerned"},
		{"no certificate", "", broker.Credentials{TLS: &tls.ConnectionState{}}, "not concerned"},
		{"one that nobody verified", "", broker.Credentials{TLS: &tls.ConnectionState{
			PeerCertificates: []*x509.Certificate{pump},
		}}, "not concerned"},
		{"an empty chain", "", broker.Credentials{TLS: &tls.ConnectionState{
			PeerCertificates: []*x509.Certificate{pump}, VerifiedChains: [][]*x509.Certificate{{}},
		}}, "not concerned"},
		{"by default the common name", "", broker.Credentials{TLS: verified(pump)}, "pump-7"},
		{"common name", clientcert.CommonName, broker.Credentials{TLS: verified(pump)}, "pump-7"},
		{"host", clientcert.DNS, broker.Credentials{TLS: verified(pump)}, "pump.example"},
		{"mail", clientcert.Email, broker.Credentials{TLS: verified(pump)}, "pump@example.org"},
		{"URI", clientcert.URI, broker.Credentials{TLS: verified(pump)}, "spiffe://example.org/pump"},
		{"its own user name", "", broker.Credentials{TLS: verified(pump), Username: "pump-7"}, "pump-7"},
		{"another user name", "", broker.Credentials{TLS: verified(pump), Username: "admin"}, "other_user"},
		{"a password", "", broker.Credentials{TLS: verified(pump), Username: "pump-7", Password: []byte("x")}, "not concerned"},
		{"an empty password", "", broker.Credentials{TLS: verified(pump), Password: []byte{}}, "not concerned"},
		{"no common name", "", broker.Credentials{TLS: verified(certificateWith(""))}, "no_user"},
		{"a line end", "", broker.Credentials{TLS: verified(certificateWith("a\nb"))}, "no_user"},
		{"not UTF-8", "", broker.Credentials{TLS: verified(certificateWith("\xff"))}, "no_user"},
		{"a replacement character", "", broker.Credentials{TLS: verified(certificateWith("a\ufffd"))}, "no_user"},
		{"too long", "", broker.Credentials{TLS: verified(certificateWith(strings.Repeat("x", 2000)))}, "no_user"},
		{"no host", clientcert.DNS, broker.Credentials{TLS: verified(&x509.Certificate{})}, "no_user"},
		{"no mail", clientcert.Email, broker.Credentials{TLS: verified(&x509.Certificate{})}, "no_user"},
		{"no URI", clientcert.URI, broker.Credentials{TLS: verified(&x509.Certificate{})}, "no_user"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := clientcert.New(clientcert.Options{User: test.user})
			if err != nil {
				t.Fatal(err)
			}
			id, err := a.Authenticate(t.Context(), &test.c)
			if got := result(id, err); got != test.want {
				t.Errorf("got %s (%v), want %s", got, err, test.want)
			}
			if id, known := a.AuthenticateQuickly(&test.c); id != nil || known != (test.want == "not concerned") {
				t.Errorf("quickly: got %+v, %t", id, known)
			}
		})
	}
}

func result(id *broker.Identity, err error) string {
	if refusal, ok := errors.AsType[*broker.Refusal](err); ok && id == nil {
		return refusal.Label
	}
	if errors.Is(err, broker.ErrNotConcerned) && id == nil {
		return "not concerned"
	}
	return id.User
}

// Rules may refer to the certificate's fields, and the identity expires with the certificate.
func TestIdentity(t *testing.T) {
	a, err := clientcert.New(clientcert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	id, err := a.Authenticate(t.Context(), &broker.Credentials{TLS: verified(certificateWith("pump-7"))})
	if err != nil {
		t.Fatal(err)
	}
	units, _ := id.Claims["ou"].([]string)
	if id.Method != "clientcert" || !id.Expires.Equal(ends) || id.Claims["cn"] != "pump-7" || strings.Join(units, " ") != "pumps cellar" {
		t.Errorf("identity is %+v", id)
	}
}

func TestUnknownName(t *testing.T) {
	if _, err := clientcert.New(clientcert.Options{User: "serial"}); err == nil || !strings.Contains(err.Error(), "use cn, dns, email or uri") {
		t.Errorf("error is %v", err)
	}
}
