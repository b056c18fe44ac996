package listeners_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/listeners"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// waitLimit bounds every wait of a test.
const waitLimit = 60 * time.Second

// dropTime is the timeout of listeners that must drop a silent peer and serve others meanwhile, within the same
// timeout: it is longer than a handshake on a busy machine. Tests that wait for its end run in parallel.
const dropTime = 3 * time.Second

// testAttacher is an Attacher that passes links to the test.
type testAttacher struct{ links chan broker.Conn }

func newTestAttacher() *testAttacher { return &testAttacher{make(chan broker.Conn, 16)} }

func (*testAttacher) Admit(string) (*broker.Ticket, error) { return nil, nil }

func (a *testAttacher) Attach(l broker.Conn) error {
	a.links <- l
	return nil
}

// next returns the next link with a Conn, and closes its connection at the end of the test.
func (a *testAttacher) next(t *testing.T) broker.Conn {
	t.Helper()
	l := a.nextRaw(t)
	if l.Conn == nil {
		f := os.NewFile(uintptr(l.FD), "socket")
		defer f.Close()
		var err error
		if l.Conn, err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { l.Conn.Close() })
	return l
}

// nextRaw returns the next link unchanged.
func (a *testAttacher) nextRaw(t *testing.T) broker.Conn {
	t.Helper()
	select {
	case l := <-a.links:
		return l
	case <-time.After(waitLimit):
		t.Fatal("no connection was attached")
		panic("unreachable")
	}
}

// wantNone fails if a connection was attached.
func (a *testAttacher) wantNone(t *testing.T) {
	t.Helper()
	select {
	case l := <-a.links:
		l.Conn.Close()
		t.Error("a connection was attached")
	default:
	}
}

// serve runs a listener until the end of the test, and checks Serve's error.
func serve(t *testing.T, l listeners.Listener) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- l.Serve() }()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-done; !errors.Is(err, listeners.ErrServerClosed) {
			t.Errorf("Serve returned %v, want ErrServerClosed", err)
		}
	})
}

// socketPath returns a short path for a unix socket: that of t.TempDir may be too long.
func socketPath(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "oc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return filepath.Join(folder, "mqtt.sock")
}

func dial(t *testing.T, l listeners.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(waitLimit))
	return c
}

// wantClosed fails unless the peer closes c, perhaps after some data.
func wantClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection was not closed")
	}
}

// Packets of MQTT 3.1.1.
var (
	connect = []byte{0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 2, 'm', 'e'}
	connack = []byte{0x20, 2, 0, 0}
)

// wantTalk fails unless data passes between client and server in both directions.
func wantTalk(t *testing.T, client, server net.Conn) {
	t.Helper()
	for _, way := range []struct {
		from, to net.Conn
		bytes    []byte
	}{{client, server, connect}, {server, client, connack}} {
		if _, err := way.from.Write(way.bytes); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(way.bytes))
		if _, err := io.ReadFull(way.to, got); err != nil || !bytes.Equal(got, way.bytes) {
			t.Fatalf("got % x, %v; want % x", got, err, way.bytes)
		}
	}
}

// logs is the output of a slog.Logger.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t), pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test authority"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue returns a certificate for name, valid at 127.0.0.1 and at hosts, and its key, both as PEM.
func (a *authority) issue(t *testing.T, name string, hosts ...string) (cert, key []byte) {
	t.Helper()
	private := newKey(t)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:     hosts,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// pem returns the authority's own certificate.
func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// pair is issue for a client.
func (a *authority) pair(t *testing.T, name string) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(a.issue(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// files writes a certificate for name into a folder and returns options with its files.
func (a *authority) files(t *testing.T, folder, name string) listeners.CertOptions {
	t.Helper()
	pair := listeners.Pair{CertFile: filepath.Join(folder, "cert.pem"), KeyFile: filepath.Join(folder, "key.pem")}
	cert, key := a.issue(t, name)
	writeFile(t, pair.CertFile, cert)
	writeFile(t, pair.KeyFile, key)
	return listeners.CertOptions{Pairs: []listeners.Pair{pair}}
}

// writeFile replaces a file atomically.
func writeFile(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// serverTLS returns a server's configuration with a new certificate, and its client's.
func serverTLS(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	ca := newAuthority(t)
	r, err := listeners.NewCertReloader(ca.files(t, t.TempDir(), "server"))
	if err != nil {
		t.Fatal(err)
	}
	return r.Config(), &tls.Config{RootCAs: ca.pool, ServerName: "127.0.0.1"}
}

// within returns a context that ends after d or with the test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
