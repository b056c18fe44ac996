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

// How long a name waits until it is asked for again: an authority allows only a few failures an hour.
const (
	firstACMERetry = 2 * time.Minute // autocert itself remembers a failure for one
	lastACMERetry  = time.Hour
	acmeLook       = time.Minute      // how often a certificate that was renewed is looked for
	acmeTimeout    = 30 * time.Second // for one request to the authority
)

// ACMEOptions say which certificates to get from an authority that speaks ACME (RFC 8555). Names and Folder are
// required; zero fields mean the defaults given with them.
type ACMEOptions struct {
	// Names are the hosts, as they stand in DNS; the first is shown to clients that ask for none.
	Names []string
	// Folder keeps the account's key, and the certificates with theirs. It is made with the mode 0700.
	Folder string
	// AcceptTerms says that the operator agrees to the authority's terms of service; it is an error if it does not.
	AcceptTerms bool

	Email       string       // where the authority may write to; "": nowhere
	Directory   string       // Let's Encrypt's
	DirectoryCA string       // PEM file of who vouches for the directory's certificate; "": the system's authorities
	Logger      *slog.Logger // nil: discard
}

// ACME gets certificates from an authority and renews them. A handshake never waits for the authority: it is shown what
// there is. Certificates have ECDSA keys.
type ACME struct {
	// Static after construction.
	names   []string
	manager *autocert.Manager
	log     *slog.Logger
	cut     func() // ends the requests to the authority

	mu    sync.Mutex                  // guards what follows
	certs map[string]*tls.Certificate // by name
}

// NewACME checks the options. Nothing is asked for until Run.
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
			Client: &acme.Client{ // Key is nil: autocert keeps one in the folder
				DirectoryURL: o.Directory,
				HTTPClient:   &http.Client{Transport: cutTransport{transport, ctx}, Timeout: acmeTimeout},
				UserAgent:    "outcry",
			},
		},
	}, nil
}

func acmeNames(list []string) ([]string, error) {
	var names []string
	for _, name := range list {
		if !IsACMEName(name) {
			return nil, fmt.Errorf("%q is not a name that an authority gives certificates for; write one such as mqtt.example.org", name)
		}
		names = append(names, strings.ToLower(name))
	}
	if len(names) == 0 {
		return nil, errors.New("there is no name to get a certificate for")
	}
	return names, nil
}

// IsACMEName reports whether an authority might give a certificate for a name by the challenges that are answered here:
// a host in a domain, in ASCII, without wildcards, and no address.
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

// directoryTransport is HTTP to the authority, which caFile vouches for if it is not empty.
func directoryTransport(caFile string) (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true // a few requests in weeks
	if caFile == "" {
		return t, nil
	}
	pool, err := loadPool(caFile)
	if err != nil {
		return nil, fmt.Errorf("the directory's authority: %w", err)
	}
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	return t, nil
}

// cutTransport refuses requests once its context has ended. autocert's own context cannot be ended from outside.
type cutTransport struct {
	http.RoundTripper
	ctx context.Context
}

// RoundTrip sends a request.
func (t cutTransport) RoundTrip(r *http.Request) (*http.Response, error) {
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
	response.Body = cutBody{response.Body, done}
	return response, nil
}

type cutBody struct {
	io.ReadCloser
	done func()
}

// Close ends the request.
func (b cutBody) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}

// Run gets the certificates, one after the other, and follows their renewal until ctx ends. The listeners must serve by
// then: the authority asks them for proof. Errors are logged, and tried again.
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

// obtain gets the certificate for a name that is valid now, from the folder or the authority.
func (a *ACME) obtain(ctx context.Context, name string) bool {
	cert, err := a.manager.GetCertificate(&tls.ClientHelloInfo{
		ServerName:       name,
		CipherSuites:     []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, // makes it an ECDSA key
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
	})
	if err != nil {
		if ctx.Err() == nil {
			a.log.Error("no certificate from the authority, trying again later", "name", name, "error", err,
				"hint", "the authority must reach this name at port 443 by TLS, or at port 80 by listeners.acme.http_address")
		}
		return false
	}
	if a.keep(name, cert) {
		a.log.Info("certificate in use", "name", name, "not_after", cert.Leaf.NotAfter)
	}
	return true
}

// keep reports whether the certificate is another one than before.
func (a *ACME) keep(name string, cert *tls.Certificate) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.certs[name]
	a.certs[name] = cert
	return before == nil || !slices.EqualFunc(before.Certificate, cert.Certificate, slices.Equal[[]byte])
}

// Certificate returns what to show a client: nil if it asks for another name, or if the certificate is not there yet.
func (a *ACME) Certificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if name == "" {
		name = a.names[0]
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.certs[name]
}

// proof is the configuration for an authority that asks for proof (TLS-ALPN-01, RFC 8737). It is asked for no
// certificate of its own.
func (a *ACME) proof() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{acme.ALPNProto},
		GetCertificate: a.manager.GetCertificate,
	}
}

// asksForProof reports whether a handshake is an authority's, and nothing else.
func asksForProof(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto
}

// ACMEHTTP is a listener that answers an authority's questions over HTTP (HTTP-01, RFC 8555 8.3), and nothing else.
type ACMEHTTP struct{ *httpListener }

var _ Listener = (*ACMEHTTP)(nil)

// ListenACME binds the address, host:port, which the authority must reach as port 80; the error of a failure is a
// *BindError. It is called before Run.
func ListenACME(address string, a *ACME, log *slog.Logger) (*ACMEHTTP, error) {
	const name, key = "acme", "listeners.acme.http_address"
	l, err := bindTCP(address, key, 0)
	if err != nil {
		return nil, err
	}
	h := withoutPort(a.manager.HTTPHandler(http.NotFoundHandler()))
	return &ACMEHTTP{newHTTPListener(name, l, httpLimits{}, h, logger(log, name))}, nil
}

// withoutPort takes the port off a request's host, which autocert compares with the names. Authorities for tests ask at
// other ports than 80, and say so.
func withoutPort(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := *r
		asked.Host = hostname(r.Host)
		next.ServeHTTP(w, &asked)
	})
}
