package listeners

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// Delays between requests for a name: an authority allows only a few failures an hour.
const (
	firstACMERetry = 2 * time.Minute // autocert itself remembers a failure for one
	lastACMERetry  = time.Hour
	acmeLook       = time.Minute      // interval of the checks for a renewed certificate
	acmeTimeout    = 30 * time.Second // for one request to the authority
)

// ACMEOptions configure certificates from an ACME authority (RFC 8555). Names and Folder are required; other zero
// values mean the default in the comment.
type ACMEOptions struct {
	// Names are host names in DNS. Clients without a server name get the certificate of the first.
	Names []string
	// Folder holds the account key, and the certificates with their keys. It is created with mode 0700.
	Folder string
	// AcceptTerms agrees to the authority's terms of service. False is an error.
	AcceptTerms bool

	Email       string       // contact for the authority; "": none
	Directory   string       // Let's Encrypt's
	DirectoryCA string       // PEM file with the CA of the directory's certificate; "": the system's authorities
	Logger      *slog.Logger // nil: discard
}

// ACME obtains and renews certificates. A handshake never waits for the authority: it uses the certificates that are
// present. They have ECDSA keys.
type ACME struct {
	// Static after construction.
	names   []string
	manager *autocert.Manager
	log     *slog.Logger
	cut     func() // cancels requests to the authority

	mu    sync.Mutex                  // guards the fields below
	certs map[string]*tls.Certificate // by host name
}

// NewACME checks the options. It requests nothing before Run.
func NewACME(o ACMEOptions) (*ACME, error) {
	if !o.AcceptTerms {
		return nil, errors.New("the authority's terms of service are not accepted; read them and accept them")
	}
	if o.Directory == "" {
		o.Directory = acme.LetsEncryptURL
	}
	names, err := acmeNames(o.Names)
	if err != nil {
		return nil, err
	}
	ctx, cut := context.WithCancel(context.Background())
	transport, err := directoryTransport(o.DirectoryCA)
	if err != nil {
		cut()
		return nil, err
	}
	return &ACME{
		names: names,
		log:   logger(o.Logger, "acme"),
		cut:   cut,
		certs: map[string]*tls.Certificate{},
		manager: &autocert.Manager{
			Prompt:     autocert.AcceptTOS,
			Cache:      autocert.DirCache(o.Folder),
			HostPolicy: autocert.HostWhitelist(names...),
			Email:      o.Email,
			Client: &acme.Client{ // without Key: autocert keeps one in the folder
				DirectoryURL: o.Directory,
				HTTPClient:   &http.Client{Transport: contextTransport{transport, ctx}, Timeout: acmeTimeout},
				UserAgent:    "outcry",
			},
		},
	}, nil
}

func acmeNames(list []string) ([]string, error) {
	var names []string
	for _, name := range list {
		if !IsACMEName(name) {
			return nil, fmt.Errorf("%q is not a name for a certificate; write one such as mqtt.example.org", name)
		}
		names = append(names, strings.ToLower(name))
	}
	if len(names) == 0 {
		return nil, errors.New("no name to get a certificate for")
	}
	return names, nil
}

// IsACMEName reports whether an authority may issue a certificate for a name with the supported challenges: a host
// name in ASCII with a domain, without wildcards, no address.
func IsACMEName(name string) bool {
	if net.ParseIP(name) != nil || len(name) > 253 {
		return false
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, isNoHostRune) {
			return false
		}
	}
	return len(labels) > 1
}

func isNoHostRune(r rune) bool {
	return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

// directoryTransport returns an HTTP transport to the authority, with the CA of caFile unless that is empty.
func directoryTransport(caFile string) (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true // a few requests in weeks
	if caFile == "" {
		return t, nil
	}
	pool, err := loadPool(caFile)
	if err != nil {
		return nil, fmt.Errorf("CA of the ACME directory: %w", err)
	}
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	return t, nil
}

// contextTransport cancels requests when its context ends. autocert's own context cannot be cancelled from outside.
type contextTransport struct {
	http.RoundTripper
	ctx context.Context
}

// RoundTrip sends a request.
func (t contextTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(t.ctx, cancel)
	done := func() { stop(); cancel() }
	response, err := t.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err != nil {
		done()
		return nil, err
	}
	response.Body = contextBody{response.Body, done}
	return response, nil
}

type contextBody struct {
	io.ReadCloser
	done func()
}

// Close closes the body and releases the request's context.
func (b contextBody) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}

// Run obtains the certificates one by one, and renews them until ctx ends. The listeners must be serving: the
// authority connects to them for proof. Errors are logged, and the request is repeated.
func (a *ACME) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, a.cut)
	defer stop()
	due, wait := make([]time.Time, len(a.names)), make([]time.Duration, len(a.names))
	for ctx.Err() == nil {
		next := time.Now().Add(acmeLook)
		for i, name := range a.names {
			if now := time.Now(); now.After(due[i]) {
				if a.obtain(ctx, name) {
					due[i], wait[i] = now.Add(acmeLook), 0
				} else {
					wait[i] = min(max(2*wait[i], firstACMERetry), lastACMERetry)
					due[i] = time.Now().Add(wait[i])
				}
			}
		}
		sleepUntil(ctx, next)
	}
	return nil
}

func sleepUntil(ctx context.Context, t time.Time) {
	ctx, cancel := context.WithDeadline(ctx, t)
	defer cancel()
	<-ctx.Done()
}

// obtain obtains a currently valid certificate for name, from the folder or the authority.
func (a *ACME) obtain(ctx context.Context, name string) bool {
	cert, err := a.manager.GetCertificate(&tls.ClientHelloInfo{
		ServerName:       name,
		CipherSuites:     []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, // selects an ECDSA key
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
	})
	if err != nil {
		if ctx.Err() == nil {
			a.log.Error("no certificate from the authority, trying again later", "name", name, "error", err,
				"hint", "the authority must reach this name at port 443 by TLS, or at port 80 by listeners.acme.http_address")
		}
		return false
	}
	if a.store(name, cert) {
		a.log.Info("certificate in use", "name", name, "not_after", cert.Leaf.NotAfter)
	}
	return true
}

// store stores a certificate, and reports whether it is new.
func (a *ACME) store(name string, cert *tls.Certificate) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.certs[name]
	a.certs[name] = cert
	return before == nil || !slices.EqualFunc(before.Certificate, cert.Certificate, slices.Equal[[]byte])
}

// Certificate returns the certificate for a handshake: nil if the server name is another one, or there is none yet.
func (a *ACME) Certificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if name == "" {
		name = a.names[0]
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.certs[name]
}

// validationConfig returns the configuration for an authority that validates the host (TLS-ALPN-01, RFC 8737). It requests no
// client certificate.
func (a *ACME) validationConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{acme.ALPNProto},
		GetCertificate: a.manager.GetCertificate,
	}
}

// isValidation reports whether a handshake is a validation by an authority.
func isValidation(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto
}

// ACMEHTTP is a listener that answers only HTTP challenges of an authority (HTTP-01, RFC 8555 8.3).
type ACMEHTTP struct{ *httpListener }

var _ Listener = (*ACMEHTTP)(nil)

// ListenACME binds the address, host:port, which the authority must reach as port 80. A failure is a *BindError. Call
// it before Run.
func ListenACME(address string, a *ACME, log *slog.Logger) (*ACMEHTTP, error) {
	const name, key = "acme", "listeners.acme.http_address"
	l, err := bindTCP(address, key, 0)
	if err != nil {
		return nil, err
	}
	h := withoutPort(a.manager.HTTPHandler(http.NotFoundHandler()))
	return &ACMEHTTP{newHTTPListener(name, l, httpLimits{}, h, logger(log, name))}, nil
}

// withoutPort removes the port from a request's host, which autocert compares with the names. Test authorities use
// other ports than 80, and include them.
func withoutPort(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := *r
		asked.Host = hostname(r.Host)
		next.ServeHTTP(w, &asked)
	})
}
