package listeners_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/listeners"
)

// servedName does a handshake and returns the name in the server's certificate.
func servedName(t *testing.T, l listeners.Listener, ca *authority) string {
	t.Helper()
	c := tls.Client(dial(t, l), &tls.Config{RootCAs: ca.pool, ServerName: "127.0.0.1"})
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func newReloader(t *testing.T, o listeners.CertOptions) *listeners.CertReloader {
	t.Helper()
	r, err := listeners.NewCertReloader(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCertificateFollowsItsFiles(t *testing.T) {
	ca, folder := newAuthority(t), t.TempDir()
	var log logs
	o := ca.files(t, folder, "first")
	o.CheckEvery, o.Logger = time.Nanosecond, log.logger()
	l := listenTCP(t, listeners.TCPOptions{Attacher: newTestAttacher(), TLS: newReloader(t, o).Config()})
	if got := servedName(t, l, ca); got != "first" {
		t.Errorf("served %q", got)
	}

	writeFile(t, o.Pairs[0].CertFile, []byte("half a cert"))
	for range 3 {
		if got := servedName(t, l, ca); got != "first" {
			t.Errorf("while the file is broken it served %q", got)
		}
	}
	if n := strings.Count(log.String(), "certificate not reloaded"); n != 1 {
		t.Errorf("the broken file was told of %d times: %s", n, log.String())
	}
	if err := os.Remove(o.Pairs[0].CertFile); err != nil {
		t.Fatal(err)
	}
	if got := servedName(t, l, ca); got != "first" {
		t.Errorf("without the file it served %q", got)
	}

	ca.files(t, folder, "second")
	if got := servedName(t, l, ca); got != "second" {
		t.Errorf("after the change it served %q", got)
	}
	if !strings.Contains(log.String(), "certificate reloaded") {
		t.Errorf("the log does not say so: %s", log.String())
	}
}

// A certificate is not used before its key is written.
func TestCertificateWaitsForItsKey(t *testing.T) {
	ca, folder := newAuthority(t), t.TempDir()
	o := ca.files(t, folder, "first")
	o.CheckEvery = time.Nanosecond
	l := listenTCP(t, listeners.TCPOptions{Attacher: newTestAttacher(), TLS: newReloader(t, o).Config()})
	cert, key := ca.issue(t, "second")
	writeFile(t, o.Pairs[0].CertFile, cert)
	if got := servedName(t, l, ca); got != "first" {
		t.Errorf("with the old key it served %q", got)
	}
	writeFile(t, o.Pairs[0].KeyFile, key)
	if got := servedName(t, l, ca); got != "second" {
		t.Errorf("with its key it served %q", got)
	}
}

func TestCertificateReload(t *testing.T) {
	ca, folder := newAuthority(t), t.TempDir()
	o := ca.files(t, folder, "first")
	o.CheckEvery = time.Hour
	r := newReloader(t, o)
	l := listenTCP(t, listeners.TCPOptions{Attacher: newTestAttacher(), TLS: r.Config()})
	if got := servedName(t, l, ca); got != "first" { // the check of this hour, too
		t.Errorf("served %q", got)
	}
	ca.files(t, folder, "second")
	if got := servedName(t, l, ca); got != "first" {
		t.Errorf("before the hour is over it served %q", got)
	}
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := servedName(t, l, ca); got != "second" {
		t.Errorf("after Reload it served %q", got)
	}
	writeFile(t, o.Pairs[0].KeyFile, nil)
	if err := r.Reload(); err == nil || !strings.Contains(err.Error(), o.Pairs[0].KeyFile) {
		t.Errorf("Reload of a broken key: %v", err)
	}
	if got := servedName(t, l, ca); got != "second" {
		t.Errorf("after a refused Reload it served %q", got)
	}
	if left := time.Until(r.NotAfter()); left < 50*time.Minute || left > time.Hour {
		t.Errorf("it expires in %v", left)
	}
}

func TestClientCertificates(t *testing.T) {
	ours, strange := newAuthority(t), newAuthority(t)
	folder := t.TempDir()
	o := ours.files(t, folder, "server")
	o.ClientCAFile = filepath.Join(folder, "ca.pem")
	writeFile(t, o.ClientCAFile, ours.pem())
	for name, test := range map[string]struct {
		auth listeners.ClientAuth
		from *authority // issuer of the client's certificate; nil: none
		want string     // the client's name that the broker gets, or "refused"
	}{
		"not asked":          {listeners.ClientCertNone, ours, ""},
		"requested, none":    {listeners.ClientCertRequest, nil, ""},
		"requested, valid":   {listeners.ClientCertRequest, ours, "device"},
		"requested, strange": {listeners.ClientCertRequest, strange, "refused"},
		"required, none":     {listeners.ClientCertRequire, nil, "refused"},
		"required, valid":    {listeners.ClientCertRequire, ours, "device"},
		"required, strange":  {listeners.ClientCertRequire, strange, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			to := newTestAttacher()
			o := o
			o.ClientAuth = test.auth
			l := listenTCP(t, listeners.TCPOptions{Attacher: to, TLS: newReloader(t, o).Config()})
			config := &tls.Config{RootCAs: ours.pool, ServerName: "127.0.0.1"}
			if test.from != nil {
				config.Certificates = []tls.Certificate{test.from.pair(t, "device")}
			}
			c := tls.Client(dial(t, l), config)
			err := c.HandshakeContext(t.Context())
			if test.want == "refused" { // with TLS 1.3 the client learns this at its first read
				wantClosed(t, c)
				to.wantNone(t)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if chain := to.next(t).TLS.PeerCertificates; len(chain) > 0 {
				got = chain[0].Subject.CommonName
			}
			if got != test.want {
				t.Errorf("the client is %q, want %q", got, test.want)
			}
		})
	}
}

// Errors of damaged or wrong certificate files describe the damage. An omitted client CA would refuse its clients.
func TestDegenerateCertFiles(t *testing.T) {
	ca, folder := newAuthority(t), t.TempDir()
	good := ca.files(t, folder, "server")
	read := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	cert, key, pool := read(good.Pairs[0].CertFile), read(good.Pairs[0].KeyFile), string(ca.pem())
	encrypted := "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
	old := "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
	for _, tt := range []struct{ name, cert, key, pool, want string }{
		{"good", cert, key, pool, ""},
		{"two authorities", cert, key, pool + cert, ""},
		{"empty key", cert, "", pool, "key.pem is empty"},
		{"key of zeros", cert, strings.Repeat("\x00", 100), pool, "key.pem has null characters"},
		{"encrypted key", cert, encrypted, pool, "key.pem is encrypted"},
		{"key encrypted the old way", cert, old, pool, "key.pem is encrypted"},
		{"certificate with a mark", "\xef\xbb\xbf" + cert, key, pool, "cert.pem begins with a byte order mark"},
		{"key cut off", cert, key[:len(key)/2], pool, "key.pem"},
		{"authority with a mark", cert, key, "\xef\xbb\xbf" + pool, "pool.pem begins with a byte order mark"},
		{"authority and half of another", cert, key, pool + cert[:len(cert)/2], "truncated or damaged"},
		{"authority and no numbers", cert, key, pool + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 2"},
		{"authority and a key", cert, key, pool + key, "not a certificate"},
		{"no authority", cert, key, "letters", "no certificate in PEM form"},
	} {
		o := listeners.CertOptions{ClientAuth: listeners.ClientCertRequire, ClientCAFile: filepath.Join(folder, "pool.pem")}
		o.Pairs = []listeners.Pair{{CertFile: filepath.Join(folder, "cert.pem"), KeyFile: filepath.Join(folder, "key.pem")}}
		writeFile(t, o.Pairs[0].CertFile, []byte(tt.cert))
		writeFile(t, o.Pairs[0].KeyFile, []byte(tt.key))
		writeFile(t, o.ClientCAFile, []byte(tt.pool))
		_, err := listeners.NewCertReloader(o)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestBadCertOptions(t *testing.T) {
	ca, folder := newAuthority(t), t.TempDir()
	good := ca.files(t, folder, "server")
	empty := filepath.Join(folder, "empty.pem")
	writeFile(t, empty, nil)
	for name, test := range map[string]struct {
		change func(o *listeners.CertOptions)
		want   string
	}{
		"nothing": {func(o *listeners.CertOptions) { o.Pairs = nil }, "no certificate; configure"},
		"no certificate": {func(o *listeners.CertOptions) {
			o.Pairs = []listeners.Pair{{CertFile: "missing.pem", KeyFile: good.Pairs[0].KeyFile}}
		}, "missing.pem"},
		"no key": {func(o *listeners.CertOptions) {
			o.Pairs = []listeners.Pair{{CertFile: good.Pairs[0].CertFile, KeyFile: "missing.pem"}}
		}, "missing.pem"},
		"no client CA": {func(o *listeners.CertOptions) { o.ClientAuth = listeners.ClientCertRequest }, "set the client CA file"},
		"empty client CA": {func(o *listeners.CertOptions) {
			o.ClientAuth, o.ClientCAFile = listeners.ClientCertRequire, empty
		}, "is empty"},
		"missing client CA": {func(o *listeners.CertOptions) {
			o.ClientAuth, o.ClientCAFile = listeners.ClientCertRequire, "missing.pem"
		}, "missing.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			test.change(&o)
			if _, err := listeners.NewCertReloader(o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %s", err, test.want)
			}
		})
	}
}

// pairFor writes a certificate named after its first host into a folder of its own.
func (a *authority) pairFor(t *testing.T, folder string, hosts ...string) listeners.Pair {
	t.Helper()
	folder = filepath.Join(folder, hosts[0])
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	pair := listeners.Pair{CertFile: filepath.Join(folder, "cert.pem"), KeyFile: filepath.Join(folder, "key.pem")}
	cert, key := a.issue(t, hosts[0], hosts...)
	writeFile(t, pair.CertFile, cert)
	writeFile(t, pair.KeyFile, key)
	return pair
}

// nameFor connects with or without a server name, and returns the name in the server's certificate.
func nameFor(t *testing.T, l listeners.Listener, host string) string {
	t.Helper()
	c := tls.Client(dial(t, l), &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestCertificateByName(t *testing.T) {
	ca, folder := newAuthority(t), t.TempDir()
	l := listenTCP(t, listeners.TCPOptions{Attacher: newTestAttacher(), TLS: newReloader(t, listeners.CertOptions{
		Pairs: []listeners.Pair{
			ca.pairFor(t, folder, "mqtt.example"),
			ca.pairFor(t, folder, "b.example", "c.example"),
			ca.pairFor(t, folder, "*.wild.example"),
		},
	}).Config()})
	for host, want := range map[string]string{
		"":                 "mqtt.example",
		"mqtt.example":     "mqtt.example",
		"b.example":        "b.example",
		"c.example":        "b.example",
		"C.Example":        "b.example",
		"any.wild.example": "*.wild.example",
		"a.b.wild.example": "mqtt.example",
		"stranger.example": "mqtt.example",
	} {
		if got := nameFor(t, l, host); got != want {
			t.Errorf("for %q it showed %q, want %q", host, got, want)
		}
	}
}

// Each certificate is followed separately: a broken file does not delay the others.
func TestCertificatesAreFollowedEach(t *testing.T) {
	ca, folder := newAuthority(t), t.TempDir()
	pairs := []listeners.Pair{ca.pairFor(t, folder, "a.example"), ca.pairFor(t, folder, "b.example")}
	var log logs
	r := newReloader(t, listeners.CertOptions{Pairs: pairs, CheckEvery: time.Nanosecond, Logger: log.logger()})
	l := listenTCP(t, listeners.TCPOptions{Attacher: newTestAttacher(), TLS: r.Config()})
	writeFile(t, pairs[0].CertFile, []byte("half a cert"))
	cert, key := ca.issue(t, "renewed", "b.example")
	writeFile(t, pairs[1].KeyFile, key)
	writeFile(t, pairs[1].CertFile, cert)
	for host, want := range map[string]string{"a.example": "a.example", "b.example": "renewed"} {
		if got := nameFor(t, l, host); got != want {
			t.Errorf("for %s it showed %q, want %q", host, got, want)
		}
	}
	for _, want := range []string{"certificate not reloaded", pairs[0].CertFile, "certificate reloaded", pairs[1].CertFile} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %q: %s", want, log.String())
		}
	}
	if err := r.Reload(); err == nil || !strings.Contains(err.Error(), pairs[0].CertFile) {
		t.Errorf("Reload says %v", err)
	}
	if got := nameFor(t, l, "b.example"); got != "renewed" {
		t.Errorf("after Reload it showed %q", got)
	}
}

// After an authority is removed from the file, its clients are refused, even with a session to resume.
func TestClientAuthorityTakenOut(t *testing.T) {
	ours, theirs, folder := newAuthority(t), newAuthority(t), t.TempDir()
	o := ours.files(t, folder, "server")
	o.ClientAuth, o.ClientCAFile = listeners.ClientCertRequire, filepath.Join(folder, "ca.pem")
	writeFile(t, o.ClientCAFile, append(ours.pem(), theirs.pem()...))
	r := newReloader(t, o)
	to := newTestAttacher()
	l := listenTCP(t, listeners.TCPOptions{Attacher: to, TLS: r.Config()})
	config := &tls.Config{
		RootCAs: ours.pool, ServerName: "127.0.0.1",
		Certificates:       []tls.Certificate{theirs.pair(t, "device")},
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
	for range 2 { // the second would resume
		c := tls.Client(dial(t, l), config)
		if err := c.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantTalk(t, c, to.next(t).Conn)
		if c.ConnectionState().DidResume {
			t.Error("a session was resumed")
		}
		c.Close()
	}
	writeFile(t, o.ClientCAFile, ours.pem())
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, tls.Client(dial(t, l), config))
	to.wantNone(t)
}

// Versions before TLS 1.2, and its broken cipher suites, are refused.
func TestOldTLSIsRefused(t *testing.T) {
	server, client := serverTLS(t)
	l := listenTCP(t, listeners.TCPOptions{Attacher: newTestAttacher(), TLS: server})
	for name, change := range map[string]func(c *tls.Config){
		"TLS 1.0": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 },
		"TLS 1.1": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 },
		"3DES": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA}
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := client.Clone()
			change(config)
			if err := tls.Client(dial(t, l), config).HandshakeContext(t.Context()); err == nil {
				t.Error("the handshake succeeded")
			}
		})
	}
	if err := tls.Client(dial(t, l), client).HandshakeContext(t.Context()); err != nil {
		t.Error(err)
	}
}
