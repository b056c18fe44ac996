package listeners

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const defaultCheckEvery = 5 * time.Second

// ClientAuth is the policy for client certificates.
type ClientAuth uint8

// The policies.
const (
	ClientCertNone    ClientAuth = iota // not requested
	ClientCertRequest                   // optional, but a given one must be valid
	ClientCertRequire                   // required and must be valid
)

// Pair names the files of a server certificate, both in PEM.
type Pair struct {
	CertFile string // the certificate, followed by intermediate ones
	KeyFile  string // its private key
}

// CertOptions configure the server's certificates and the policy for clients'. Zero values mean the default in the
// comment.
type CertOptions struct {
	// Pairs are the server's certificates. At least one is required without ACME. A client gets the first one for its
	// server name (SNI) that it can verify; without a match, or without a server name, it gets the first of all.
	Pairs []Pair

	// ACME has further certificates, which take precedence over Pairs; nil: none.
	ACME *ACME

	ClientAuth   ClientAuth    // ClientCertNone
	ClientCAFile string        // PEM file of the clients' authorities; required unless ClientAuth is ClientCertNone
	CheckEvery   time.Duration // interval of checks of the files, 5 s, made at handshakes
	Logger       *slog.Logger  // nil: discard
}

// CertReloader is a TLS configuration that follows its files. After a change the next handshake uses the new content.
// While a file is broken or half written, its last valid content applies.
type CertReloader struct {
	// Static after construction.
	options CertOptions
	log     *slog.Logger

	current   atomic.Pointer[loaded]
	nextCheck atomic.Int64 // Unix nanoseconds

	mu    sync.Mutex // guards the fields below; held while files are read
	pairs []*watchedFiles[tls.Certificate]
	ca    *watchedFiles[*x509.CertPool] // nil: client certificates are not requested
}

// loaded is one version of the files' content. It never changes.
type loaded struct {
	config   *tls.Config
	notAfter time.Time
}

// NewCertReloader reads the files.
func NewCertReloader(o CertOptions) (*CertReloader, error) {
	if o.CheckEvery <= 0 {
		o.CheckEvery = defaultCheckEvery
	}
	if len(o.Pairs) == 0 && o.ACME == nil {
		return nil, errors.New("no certificate; configure the files of one")
	}
	r := &CertReloader{options: o, log: logger(o.Logger, "tls")}
	for _, p := range o.Pairs {
		r.pairs = append(r.pairs, &watchedFiles[tls.Certificate]{names: []string{p.CertFile, p.KeyFile}, load: p.load})
	}
	if o.ClientAuth != ClientCertNone {
		if o.ClientCAFile == "" {
			return nil, errors.New("client certificates are requested without a client CA; set the client CA file")
		}
		load := func() (*x509.CertPool, error) { return loadPool(o.ClientCAFile) }
		r.ca = &watchedFiles[*x509.CertPool]{names: []string{o.ClientCAFile}, load: load}
	}
	if err := r.Reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// Config returns a listener's configuration: TLS 1.2 or newer with the standard library's cipher suites. It always
// uses the files' current content.
func (r *CertReloader) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if r.options.ACME != nil && isValidation(hello) {
				return r.options.ACME.validationConfig(), nil
			}
			r.follow()
			return r.current.Load().config, nil
		},
	}
}

// NotAfter returns the earliest expiry of the certificates from files; zero without any.
func (r *CertReloader) NotAfter() time.Time { return r.current.Load().notAfter }

// Reload reads the files now. For broken files it returns their errors, and their last valid content applies.
func (r *CertReloader) Reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []error
	for _, p := range r.pairs {
		all = append(all, p.read())
	}
	if r.ca != nil {
		all = append(all, r.ca.read())
	}
	err := errors.Join(all...)
	if err == nil || r.current.Load() != nil {
		r.rebuild()
	}
	return err
}

// follow reads changed files, at most once in CheckEvery, and in one goroutine.
func (r *CertReloader) follow() {
	now, due := time.Now(), r.nextCheck.Load()
	if now.UnixNano() < due || !r.nextCheck.CompareAndSwap(due, now.Add(r.options.CheckEvery).UnixNano()) {
		return
	}
	r.mu.Lock()
	var all []reread
	for _, p := range r.pairs {
		all = readChanged(all, p)
	}
	if r.ca != nil {
		all = readChanged(all, r.ca)
	}
	if len(all) > 0 {
		r.rebuild()
	}
	r.mu.Unlock()
	for _, f := range all {
		if f.err != nil {
			r.log.Error("certificate not reloaded, the old one stays", "file", f.file, "error", f.err)
			continue
		}
		r.log.Info("certificate reloaded", "file", f.file, "not_after", r.NotAfter())
	}
}

// reread describes a file that was read again.
type reread struct {
	file string
	err  error
}

func readChanged[T any](all []reread, f *watchedFiles[T]) []reread {
	if !f.changed() {
		return all
	}
	return append(all, reread{f.names[0], f.read()})
}

// rebuild builds a configuration of the loaded content; r.mu is held.
func (r *CertReloader) rebuild() {
	next := &loaded{config: &tls.Config{MinVersion: tls.VersionTLS12}}
	for _, p := range r.pairs {
		next.config.Certificates = append(next.config.Certificates, p.value)
		if end := p.value.Leaf.NotAfter; next.notAfter.IsZero() || end.Before(next.notAfter) {
			next.notAfter = end
		}
	}
	if acme := r.options.ACME; acme != nil {
		next.config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return acme.Certificate(hello), nil // nil: one of the others
		}
	}
	if r.ca != nil {
		r.askClients(next.config)
	}
	r.current.Store(next)
}

// askClients makes c request client certificates. It disables session resumption: each handshake verifies the client
// again, so that an authority removed from the file no longer counts.
func (r *CertReloader) askClients(c *tls.Config) {
	c.ClientAuth = tls.VerifyClientCertIfGiven
	if r.options.ClientAuth == ClientCertRequire {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	c.ClientCAs = r.ca.value
	c.SessionTicketsDisabled = true
}

func (p Pair) load() (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile)
	if err != nil {
		for _, file := range [...]string{p.CertFile, p.KeyFile} {
			if why := pemProblem(file); why != nil {
				err = why
			}
		}
		return cert, fmt.Errorf("certificate %s with key %s: %w", p.CertFile, p.KeyFile, err)
	}
	return cert, nil
}

func loadPool(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("client CA: %w", err)
	}
	if why := pemProblem(file); why != nil {
		return nil, fmt.Errorf("client CA: %w", why)
	}
	pool, err := poolOf(text)
	if err != nil {
		return nil, fmt.Errorf("client CA %s: %w", file, err)
	}
	return pool, nil
}
