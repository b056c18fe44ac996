package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

// TestProcessThatStoodStill stops the broker for more than one and a half keep alives. Meanwhile all clients but one
// send PINGREQ. Their number exceeds the events that a shard gets at once.
func TestProcessThatStoodStill(t *testing.T) {
	const (
		plain, overTLS = 600, 20
		keepAlive      = 2 * time.Second
	)
	cert, key := selfSigned(t)
	p := outcrytest.StartServe(t, t.TempDir(), "--open", "--set", "listeners.tls.address=127.0.0.1:0",
		"--set", "listeners.tls.certificate.file="+cert, "--set", "listeners.tls.certificate.key="+key)
	clients := make([]net.Conn, plain+overTLS)
	var all sync.WaitGroup
	for first := range 20 {
		all.Go(func() {
			for i := first; i < len(clients); i += 20 {
				clients[i] = connectAs(t, p, i >= plain, fmt.Sprint("c", i), byte(keepAlive/time.Second))
			}
		})
	}
	silent := connectAs(t, p, false, "silent", byte(keepAlive/time.Second))
	all.Wait()
	if t.Failed() {
		return
	}
	p.Signal(syscall.SIGSTOP)
	p.Until("it stands still", func() bool { return state(p) == 'T' })
	stopped := time.Now()
	pingreq, pingresp := []byte{0xc0, 0}, []byte{0xd0, 0}
	for _, c := range clients {
		if _, err := c.Write(pingreq); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Until(stopped.Add(keepAlive*3/2 + 200*time.Millisecond))) // this test is about elapsed time
	p.Signal(syscall.SIGCONT)
	lost := 0
	for _, c := range clients {
		answer := make([]byte, 2)
		c.SetReadDeadline(time.Now().Add(outcrytest.WaitLimit))
		if _, err := io.ReadFull(c, answer); err != nil || !bytes.Equal(answer, pingresp) {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d clients were closed", lost, len(clients))
	}
	silent.SetReadDeadline(time.Now().Add(outcrytest.WaitLimit))
	if n, err := silent.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the client that was silent read %d bytes, %v", n, err)
	}
}

// connectAs connects a client of MQTT 3.1.1 and waits for CONNACK.
func connectAs(t *testing.T, p *outcrytest.Process, overTLS bool, id string, keepAlive byte) net.Conn {
	dial := func() (net.Conn, error) { return net.Dial("tcp", p.Addresses["tcp"]) }
	if overTLS {
		dial = func() (net.Conn, error) {
			return tls.Dial("tcp", p.Addresses["tls"], &tls.Config{InsecureSkipVerify: true})
		}
	}
	c, err := dial()
	if err != nil {
		t.Error(err)
		return nil
	}
	t.Cleanup(func() { c.Close() })
	body := append([]byte{0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, keepAlive, 0, byte(len(id))}, id...)
	c.Write(append([]byte{0x10, byte(len(body))}, body...))
	connack := make([]byte, 4)
	c.SetReadDeadline(time.Now().Add(outcrytest.WaitLimit))
	if _, err := io.ReadFull(c, connack); err != nil || connack[3] != 0 {
		t.Errorf("CONNACK %x, %v", connack, err)
	}
	return c
}

// state returns the process's state as in ps.
func state(p *outcrytest.Process) byte {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Cmd.Process.Pid))
	if i := bytes.LastIndex(text, []byte(") ")); i >= 0 && i+2 < len(text) {
		return text[i+2]
	}
	return 0
}

// selfSigned writes a certificate and its key, and returns their paths.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
