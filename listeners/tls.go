package listeners

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
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

// CertOptions name the files of a server certificate, PEM all of them. Zero fields mean the defaults given with them.
type CertOptions struct {
	CertFile string // the certificate, and the intermediate ones after it
	KeyFile  string // its private key

	ClientAuth   ClientAuth    // ClientCertNone
	ClientCAFile string        // whose client certificates are valid; required unless ClientAuth is ClientCertNone
	CheckEvery   time.Duration // how often the files are looked at, 5 s, as long as clients come
	Logger       *slog.Logger  // nil: discard
}

// CertReloader is a TLS configuration that follows its files. When they change, the next handshake uses what they hold
// now; while they are broken or half written, what they held before.
type CertReloader struct {
	// Static after construction.
	options CertOptions
	log     *slog.Logger

	current   atomic.Pointer[loaded]
	nextCheck atomic.Int64 // Unix nanoseconds

	mu   sync.Mutex    // guards what follows; held while files are read
	seen []fs.FileInfo // of the files when they were last read, whether that succeeded or not
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
	if o.ClientAuth != ClientCertNone && o.ClientCAFile == "" {
		return nil, errors.New("client certificates are asked for, but no file says which are valid; set the client CA file")
	}
	r := &CertReloader{options: o, log: logger(o.Logger, "tls")}
	if err := r.Reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// Config returns the configuration for a listener: TLS 1.2 or newer, always with what the files hold now.
func (r *CertReloader) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// To choose among several certificates by the name that the client asks for (SNI), put them all in the
		// Certificates of what load makes.
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			r.follow()
			return r.current.Load().config, nil
		},
	}
}

// NotAfter returns when the certificate in use expires.
func (r *CertReloader) NotAfter() time.Time { return r.current.Load().notAfter }

// Reload reads the files now. If they are broken, it returns why and what they held before stays in use.
func (r *CertReloader) Reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read(r.stat())
}

// follow reads the files if they have changed; it looks at most once in CheckEvery, and in one goroutine.
func (r *CertReloader) follow() {
	now, due := time.Now(), r.nextCheck.Load()
	if now.UnixNano() < due || !r.nextCheck.CompareAndSwap(due, now.Add(r.options.CheckEvery).UnixNano()) {
		return
	}
	changed, err := r.readIfChanged()
	switch {
	case err != nil:
		r.log.Error("certificate not reloaded, the old one stays", "file", r.options.CertFile, "error", err)
	case changed:
		r.log.Info("certificate reloaded", "file", r.options.CertFile, "not_after", r.NotAfter())
	}
}

func (r *CertReloader) readIfChanged() (changed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	files := r.stat()
	if slices.EqualFunc(files, r.seen, sameFile) {
		return false, nil
	}
	return true, r.read(files)
}

// read loads the files and notes what they looked like before, so that a change in between is found the next time.
func (r *CertReloader) read(files []fs.FileInfo) error {
	r.seen = files
	next, err := load(r.options)
	if err != nil {
		return err
	}
	r.current.Store(next)
	return nil
}

// stat describes the files; nil stands for one that is missing.
func (r *CertReloader) stat() []fs.FileInfo {
	var files []fs.FileInfo
	for _, name := range []string{r.options.CertFile, r.options.KeyFile, r.options.ClientCAFile} {
		info, err := os.Stat(name)
		if err != nil {
			info = nil
		}
		files = append(files, info)
	}
	return files
}

func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// load reads a configuration from its files.
func load(o CertOptions) (*loaded, error) {
	cert, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", o.CertFile, o.KeyFile, err)
	}
	next := &loaded{
		notAfter: cert.Leaf.NotAfter,
		config:   &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}},
	}
	if o.ClientAuth == ClientCertNone {
		return next, nil
	}
	next.config.ClientAuth = tls.VerifyClientCertIfGiven
	if o.ClientAuth == ClientCertRequire {
		next.config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	next.config.ClientCAs, err = loadPool(o.ClientCAFile)
	return next, err
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
