package acme_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"runtime"
	"testing"
	"time"
)

const name = "mqtt.example.org"

// serve starts the program with certificates of an authority, and further listeners.
func serve(t *testing.T, a *authority, listeners ...string) {
	t.Helper()
	args := []string{"serve", "--open", "--data", t.TempDir(), "--tcp", "", "--ws", "", "--http", ""}
	for _, pair := range append(listeners,
		"acme.names=["+name+"]", "acme.accept_terms=true", "acme.email=operator@example.org",
		"acme.directory="+a.directory(), "acme.directory_ca="+a.ca,
	) {
		args = append(args, "--set", "listeners."+pair)
	}
	run(t, nil, "outcry", args...)
}

// dial does a TLS handshake with a server name. The certificate must be a valid one of the authority.
func (a *authority) dial(address string) (*tls.Conn, error) {
	d := &net.Dialer{Timeout: patience}
	return tls.DialWithDialer(d, "tcp", address, &tls.Config{ServerName: name, RootCAs: a.roots})
}

// wantCertificate waits until an address shows a valid certificate other than old.
func (a *authority) wantCertificate(t *testing.T, address string, old *big.Int) (*tls.Conn, *x509.Certificate) {
	t.Helper()
	var conn *tls.Conn
	eventually(t, "a certificate", func() bool {
		c, err := a.dial(address)
		if err != nil {
			return false
		}
		if old != nil && c.ConnectionState().PeerCertificates[0].SerialNumber.Cmp(old) == 0 {
			c.Close()
			return false
		}
		conn = c
		return true
	})
	t.Cleanup(func() { conn.Close() })
	cert := conn.ConnectionState().PeerCertificates[0]
	t.Logf("certificate %x is valid for %v", cert.SerialNumber, cert.NotAfter.Sub(cert.NotBefore))
	return conn, cert
}

// wantAnswer sends a packet and expects an answer with a prefix.
func wantAnswer(t *testing.T, c net.Conn, packet, answer string) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, packet); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(answer))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, []byte(answer)) {
		t.Fatalf("got % x, %v", got, err)
	}
}

const (
	connect, connack = "\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c", "\x20\x02\x00\x00"
	ping, pong       = "\xc0\x00", "\xd0\x00"
)

// The authority validates at the MQTT listener itself. The certificate is renewed while clients are connected.
func TestPebbleByTLS(t *testing.T) {
	needsLoopback(t)
	t.Parallel()
	a := newAuthority(t, 75*time.Second) // renewed after 50 s, which shows within a minute
	address := fmt.Sprintf("%s:%d", a.address, provePort)
	serve(t, a, "tls.address="+address)
	client, first := a.wantCertificate(t, address, nil)
	wantAnswer(t, client, connect, connack)
	_, second := a.wantCertificate(t, address, first.SerialNumber)
	if !second.NotAfter.After(first.NotAfter) {
		t.Errorf("the first was valid until %v, the second is until %v", first.NotAfter, second.NotAfter)
	}
	wantAnswer(t, client, ping, pong)
}

// If the authority cannot connect by TLS, it validates by HTTP.
func TestPebbleByHTTP(t *testing.T) {
	needsLoopback(t)
	t.Parallel()
	a := newAuthority(t, time.Hour)
	address := a.address + ":8443"
	serve(t, a, "wss.address="+address, "wss.hosts=["+name+"]", fmt.Sprintf("acme.http_address=%s:%d", a.address, provePortHTTP))
	client, _ := a.wantCertificate(t, address, nil)
	wantAnswer(t, client, "GET /mqtt HTTP/1.1\r\nHost: "+name+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
		"HTTP/1.1 101 ")
}

// needsLoopback skips the test if only one loopback address is usable.
func needsLoopback(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs addresses of its own in 127.0.0.0/8, as Linux has them")
	}
}
