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

// ClientAuth says what is asked of a client's certificate.
type ClientAuth uint8

// The ways to ask.
const (
	ClientCertNone    ClientAuth = iota // it is not asked for
	ClientCertRequest                   // it may be missing, but one that is shown must be valid
	ClientCertRequire                   // it must be there and valid
)

// Pair names the files of a server certificate, PEM both of them.
type Pair struct {
	CertFile string // the certificate, and the intermediate ones after it
	KeyFile  string // its private key
}

// CertOptions say what a server shows of itself, and what it asks of its clients. Zero fields mean the defaults given
// with them.
type CertOptions struct {
	// Pairs are the server's certificates, at least one, or else ACME. A client gets the first that is for the name it asks for
	// (SNI) and that it can verify; one that asks for no name, or one that none is for, gets the first of all.
	Pairs []Pair

	// ACME has certificates for more names, which go before those of Pairs; nil: none.
	ACME *ACME

	ClientAuth   ClientAuth    // ClientCertNone
	ClientCAFile string        // PEM, whose client certificates are valid; required unless ClientAuth is ClientCertNone
	CheckEvery   time.Duration // how often the files are looked at, 5 s, as long as clients come
	Logger       *slog.Logger  // nil: discard
}

// CertReloader is a TLS configuration that follows its files. When they change, the next handshake uses what they hold
// now; while one of them is broken or half written, what that one held before.
type CertReloader struct {
	// Static after construction.
	options CertOptions
	log     *slog.Logger

	current   atomic.Pointer[loaded]
	nextCheck atomic.Int64 // Unix nanoseconds

	mu    sync.Mutex // guards what follows; held while files are read
	pairs []*followed[tls.Certificate]
	ca    *followed[*x509.CertPool] // nil: clients are not asked
}

// loaded is what the files held once. It never changes.
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
		return nil, errors.New("there is no certificate to show; name the files of one")
	}
	r := &CertReloader{options: o, log: logger(o.Logger, "tls")}
	for _, p := range o.Pairs {
		r.pairs = append(r.pairs, &followed[tls.Certificate]{names: []string{p.CertFile, p.KeyFile}, load: p.load})
	}
	if o.ClientAuth != ClientCertNone {
		if o.ClientCAFile == "" {
			return nil, errors.New("client certificates are asked for, but no file says which are valid; set the client CA file")
		}
		load := func() (*x509.CertPool, error) { return loadPool(o.ClientCAFile) }
		r.ca = &followed[*x509.CertPool]{names: []string{o.ClientCAFile}, load: load}
	}
	if err := r.Reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// Config returns the configuration for a listener: TLS 1.2 or newer with the cipher suites that the standard library
// chooses, always with what the files hold now.
func (r *CertReloader) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if r.options.ACME != nil && asksForProof(hello) {
				return r.options.ACME.proof(), nil
			}
			r.follow()
			return r.current.Load().config, nil
		},
	}
}

// NotAfter returns when the first of the certificates from files expires; zero if there are none.
func (r *CertReloader) NotAfter() time.Time { return r.current.Load().notAfter }

// Reload reads the files now. If some are broken, it returns why and what they held before stays in use.
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
		r.use()
	}
	return err
}

// follow reads the files that have changed; it looks at most once in CheckEvery, and in one goroutine.
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
		r.use()
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

// reread tells of a file that was read again.
type reread struct {
	file string
	err  error
}

func readChanged[T any](all []reread, f *followed[T]) []reread {
	if !f.changed() {
		return all
	}
	return append(all, reread{f.names[0], f.read()})
}

// use makes a configuration of what is loaded; r.mu is held.
func (r *CertReloader) use() {
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

// askClients makes c ask for certificates. Sessions are then not resumed: each handshake verifies the client anew, so
// an authority that was taken out of the file counts no more.
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
		return cert, fmt.Errorf("certificate %s with key %s: %w", p.CertFile, p.KeyFile, err)
	}
	return cert, nil
}

func loadPool(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("client CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("client CA %s: no certificate in it; it must be PEM", file)
	}
	return pool, nil
}
