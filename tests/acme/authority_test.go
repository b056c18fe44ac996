package acme_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// Ports at an address that only this test has. An authority is configured with the ports for its validations.
const (
	directoryPort  = "14000"
	managementPort = "15000"
	dnsPort        = "8053"
	provePort      = 5001 // TLS-ALPN-01
	provePortHTTP  = 5002 // HTTP-01
)

// authority is a Pebble, with a name server that resolves every name to the same address.
type authority struct {
	address string
	ca      string         // file with the CA of its directory
	roots   *x509.CertPool // of the certificates that it issues
}

var addresses atomic.Uint32

// newAuthority starts an authority whose certificates have that validity.
func newAuthority(t *testing.T, validity time.Duration) *authority {
	t.Helper()
	pid := os.Getpid()
	n := int(addresses.Add(1))
	a := &authority{address: fmt.Sprintf("127.%d.%d.%d", 80+n%100, pid>>7&255, 1+pid&127)}
	cert, key := certificate(t, a.address)
	a.ca = cert
	config := map[string]any{"pebble": map[string]any{
		"listenAddress":           net.JoinHostPort(a.address, directoryPort),
		"managementListenAddress": net.JoinHostPort(a.address, managementPort),
		"certificate":             cert, "privateKey": key, "keyAlgorithm": "ecdsa",
		"tlsPort": provePort, "httpPort": provePortHTTP,
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{
			"default": map[string]any{"description": "short", "validityPeriod": int(validity.Seconds())},
		},
	}}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pebble.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	dns := net.JoinHostPort(a.address, dnsPort)
	run(t, nil, "challtestsrv", "-dnsserver", dns, "-defaultIPv4", a.address, "-defaultIPv6", "",
		"-management", net.JoinHostPort(a.address, "8055"), "-http01", "", "-https01", "", "-doh", "", "-tlsalpn01", "")
	run(t, []string{"PEBBLE_VA_NOSLEEP=1"}, "pebble", "-config", file, "-dnsserver", dns, "-strict")
	a.waitForRoots(t)
	return a
}

func (a *authority) directory() string {
	return "https://" + net.JoinHostPort(a.address, directoryPort) + "/dir"
}

// waitForRoots waits for the authority and reads its root certificate.
func (a *authority) waitForRoots(t *testing.T) {
	t.Helper()
	trust := x509.NewCertPool()
	text, err := os.ReadFile(a.ca)
	if err != nil || !trust.AppendCertsFromPEM(text) {
		t.Fatal("the authority's own certificate: ", err)
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, DisableKeepAlives: true}}
	a.roots = x509.NewCertPool()
	eventually(t, "the authority answers", func() bool {
		answer, err := client.Get("https://" + net.JoinHostPort(a.address, managementPort) + "/roots/0")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		root, err := io.ReadAll(answer.Body)
		return err == nil && a.roots.AppendCertsFromPEM(root)
	})
	eventually(t, "its directory answers", func() bool {
		answer, err := client.Get(a.directory())
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// certificate writes a self-signed certificate for an address, and its key, to files.
func certificate(t *testing.T, address string) (cert, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(address)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, "CERTIFICATE", der), writePEM(t, "PRIVATE KEY", keyDER)
}

func writePEM(t *testing.T, kind string, der []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
