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
