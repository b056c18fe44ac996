package listeners_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/acme"
)

// directory is a small ACME authority (RFC 8555). It accepts every signature, and validates by one kind of challenge
// at the address in at. Each name is in one order at a time.
type directory struct {
	*httptest.Server
	t     *testing.T
	ca    *authority
	kind  string // of the challenge
	prove func(address, name, token string) error
	at    string // address to validate

	mu       sync.Mutex // guards the fields below
	orders   []*acmeOrder
	accounts int
}

type acmeOrder struct {
	name   string
	status string // of the authorization: pending, valid or invalid
	chain  []byte
}

// token is the token of every challenge.
const token = "a-token-of-the-authority"

func newDirectory(t *testing.T, kind string) *directory {
	t.Helper()
	d := &directory{t: t, ca: newAuthority(t), kind: kind}
	d.prove = map[string]func(string, string, string) error{"tls-alpn-01": proveTLS, "http-01": proveHTTP}[kind]
	mux := http.NewServeMux()
	mux.HandleFunc("GET /directory", d.directory)
	mux.HandleFunc("HEAD /nonce", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /account", d.account)
	mux.HandleFunc("POST /order", d.newOrder)
	mux.HandleFunc("POST /order/{id}", d.withOrder(d.order))
	mux.HandleFunc("POST /authorization/{id}", d.withOrder(d.authorization))
	mux.HandleFunc("POST /challenge/{id}", d.withOrder(d.challenge))
	mux.HandleFunc("POST /finalize/{id}", d.withOrder(d.finalize))
	mux.HandleFunc("POST /certificate/{id}", d.withOrder(func(w http.ResponseWriter, _ *http.Request, o *acmeOrder, _ string) {
		w.Write(o.chain)
	}))
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Replay-Nonce", rand.Text())
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(d.Close)
	return d
}

// asked returns the names of all orders, and the number of new accounts.
func (d *directory) asked() (names []string, accounts int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range d.orders {
		names = append(names, o.name)
	}
	return names, d.accounts
}

func (d *directory) directory(w http.ResponseWriter, _ *http.Request) {
	d.answer(w, 200, map[string]any{
		"newNonce": d.URL + "/nonce", "newAccount": d.URL + "/account", "newOrder": d.URL + "/order",
		"meta": map[string]string{"termsOfService": d.URL + "/terms"},
	})
}

func (d *directory) account(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	d.accounts++
	d.mu.Unlock()
	w.Header().Set("Location", d.URL+"/account/1")
	d.answer(w, 201, map[string]string{"status": "valid"})
}

func (d *directory) newOrder(w http.ResponseWriter, r *http.Request) {
	var ask struct{ Identifiers []struct{ Value string } }
	d.payload(r, &ask)
	o := &acmeOrder{name: ask.Identifiers[0].Value, status: "pending"}
	d.mu.Lock()
	d.orders = append(d.orders, o)
	id := strconv.Itoa(len(d.orders) - 1)
	d.mu.Unlock()
	d.respond(w, 201, o, id)
}

// withOrder looks up the order of a request.
func (d *directory) withOrder(h func(http.ResponseWriter, *http.Request, *acmeOrder, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		i, err := strconv.Atoi(id)
		d.mu.Lock()
		defer d.mu.Unlock()
		if err != nil || i >= len(d.orders) {
			http.NotFound(w, r)
			return
		}
		h(w, r, d.orders[i], id)
	}
}

func (d *directory) order(w http.ResponseWriter, _ *http.Request, o *acmeOrder, id string) {
	d.respond(w, 200, o, id)
}

func (d *directory) respond(w http.ResponseWriter, code int, o *acmeOrder, id string) {
	status := map[string]string{"pending": "pending", "valid": "ready", "invalid": "invalid"}[o.status]
	if o.chain != nil {
		status = "valid"
	}
	w.Header().Set("Location", d.URL+"/order/"+id)
	d.answer(w, code, map[string]any{
		"status": status, "identifiers": []any{identifier(o.name)}, "authorizations": []string{d.URL + "/authorization/" + id},
		"finalize": d.URL + "/finalize/" + id, "certificate": d.URL + "/certificate/" + id,
	})
}

func identifier(name string) map[string]string {
	return map[string]string{"type": "dns", "value": name}
}

func (d *directory) authorization(w http.ResponseWriter, _ *http.Request, o *acmeOrder, id string) {
	d.answer(w, 200, map[string]any{
		"status": o.status, "identifier": identifier(o.name), "challenges": []any{d.challengeOf(o, id)},
	})
}

func (d *directory) challengeOf(o *acmeOrder, id string) map[string]string {
	return map[string]string{"type": d.kind, "url": d.URL + "/challenge/" + id, "token": token, "status": o.status}
}

// challenge validates at once.
func (d *directory) challenge(w http.ResponseWriter, _ *http.Request, o *acmeOrder, id string) {
	o.status = "valid"
	if err := d.prove(d.at, o.name, token); err != nil {
		d.t.Logf("no proof: %v", err)
		o.status = "invalid"
	}
	d.answer(w, 200, d.challengeOf(o, id))
}

func (d *directory) finalize(w http.ResponseWriter, r *http.Request, o *acmeOrder, id string) {
	var ask struct{ CSR string }
	d.payload(r, &ask)
	der, err := base64.RawURLEncoding.DecodeString(ask.CSR)
	if err != nil {
		d.t.Error(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		d.t.Error(err)
		return
	}
	o.chain = d.ca.sign(d.t, csr)
	d.order(w, r, o, id)
}

// sign issues a certificate.
func (a *authority) sign(t *testing.T, csr *x509.CertificateRequest) []byte {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Error(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		DNSNames:     csr.DNSNames,
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, csr.PublicKey, a.key)
	if err != nil {
		t.Error(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), a.pem()...)
}

func (d *directory) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		d.t.Error(err)
	}
}

// payload decodes the payload of a signed request (RFC 7515).
func (d *directory) payload(r *http.Request, v any) {
	var signed struct{ Payload string }
	if err := json.NewDecoder(r.Body).Decode(&signed); err != nil {
		d.t.Error(err)
	}
	text, err := base64.RawURLEncoding.DecodeString(signed.Payload)
	if err != nil {
		d.t.Error(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		d.t.Error(err)
	}
}

// proveTLS validates at a TLS listener (RFC 8737 3).
func proveTLS(address, name, _ string) error {
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{ServerName: name, NextProtos: []string{acme.ALPNProto}, InsecureSkipVerify: true}}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	state := c.(*tls.Conn).ConnectionState()
	leaf := state.PeerCertificates[0]
	hasProof := slices.ContainsFunc(leaf.Extensions, func(e pkix.Extension) bool { return e.Id.String() == "1.3.6.1.5.5.7.1.31" })
	if state.NegotiatedProtocol != acme.ALPNProto || !hasProof || !slices.Equal(leaf.DNSNames, []string{name}) {
		return fmt.Errorf("protocol %q, certificate for %v", state.NegotiatedProtocol, leaf.DNSNames)
	}
	c.SetReadDeadline(time.Now().Add(waitLimit))
	if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		return fmt.Errorf("the connection was not closed: %v", err)
	}
	return nil
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// proveHTTP validates at an HTTP listener (RFC 8555 8.3).
func proveHTTP(address, name, token string) error {
	r, err := http.NewRequest("GET", "http://"+address+"/.well-known/acme-challenge/"+token, nil)
	if err != nil {
		return err
	}
	r.Host = name
	client := http.Client{Timeout: waitLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 || !strings.HasPrefix(string(text), token+".") {
		return fmt.Errorf("%s: %s, %v", response.Status, text, err)
	}
	return nil
}
