package listeners_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/listeners"
)

const acmeName = "mqtt.example.org"

func newACME(t *testing.T, o listeners.ACMEOptions) *listeners.ACME {
	t.Helper()
	o.AcceptTerms = true
	if o.Names == nil {
		o.Names = []string{"MQTT.example.org"}
	}
	if o.Folder == "" {
		o.Folder = filepath.Join(t.TempDir(), "acme")
	}
	a, err := listeners.NewACME(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// runACME runs a until the end of the test.
func runACME(t *testing.T, a *listeners.ACME) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// wantIssued waits until a handshake for host shows a certificate of ca.
func wantIssued(t *testing.T, l listeners.Listener, ca *authority, host string, pairs ...tls.Certificate) {
	t.Helper()
	var err error
	for end := time.Now().Add(3 * waitLimit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		c := tls.Client(dial(t, l), &tls.Config{RootCAs: ca.pool, ServerName: host, Certificates: pairs})
		if err = c.HandshakeContext(t.Context()); err == nil {
			c.Close()
			return
		}
		c.NetConn().Close()
	}
	t.Fatalf("no certificate for %s: %v", host, err)
}

// The authority validates at the TLS listener, even if that requires client certificates.
func TestACMEOverTLS(t *testing.T) {
	d, clients := newDirectory(t, "tls-alpn-01"), newAuthority(t)
	folder := filepath.Join(t.TempDir(), "data", "acme")
	o := listeners.ACMEOptions{Folder: folder, Directory: d.URL + "/directory"}
	for round, want := range []int{1, 1} { // the second process finds the first one's certificate
		a := newACME(t, o)
		ca := filepath.Join(t.TempDir(), "ca.pem")
		writeFile(t, ca, clients.pem())
		files := newAuthority(t)
		certs := files.files(t, t.TempDir(), "server")
		certs.ACME, certs.ClientAuth, certs.ClientCAFile = a, listeners.ClientCertRequire, ca
		to := newTestAttacher()
		l := listenTCP(t, listeners.TCPOptions{Attacher: to, TLS: newReloader(t, certs).Config()})
		d.at = l.Addr().String()
		runACME(t, a)
		wantIssued(t, l, d.ca, acmeName, clients.pair(t, "device"))
		if got := nameFor(t, l, "other.example.org"); got != "server" {
			t.Errorf("for another name it showed %q", got)
		}
		if names, accounts := d.asked(); len(names) != want || names[0] != acmeName || accounts != 1 {
			t.Errorf("round %d: asked for %v, %d accounts", round, names, accounts)
		}
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", info.Mode(), err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) < 2 {
		t.Errorf("it keeps %v, %v", files, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v, %v", file, info.Mode(), err)
		}
	}
}

func TestACMEOverWSS(t *testing.T) {
	d := newDirectory(t, "tls-alpn-01")
	a := newACME(t, listeners.ACMEOptions{Directory: d.URL + "/directory"})
	to := newTestAttacher()
	l := listenWS(t, listeners.WebSocketOptions{Attacher: to, TLS: newReloader(t, listeners.CertOptions{ACME: a}).Config()})
	d.at = l.Addr().String()
	if err := tls.Client(dial(t, l), &tls.Config{ServerName: acmeName, RootCAs: d.ca.pool}).HandshakeContext(t.Context()); err == nil {
		t.Error("before there was a certificate, a handshake succeeded")
	}
	runACME(t, a)
	wantIssued(t, l, d.ca, acmeName)
	c := dialWS(t, "wss://"+l.Addr().String()+"/mqtt", &tls.Config{RootCAs: d.ca.pool, ServerName: acmeName})
	wantFrames(t, c.(*webSocketConn).ws, to.next(t).Conn)
	if got := nameFor(t, l, ""); got != "" { // its certificate has no common name
		t.Errorf("without a name it showed %q", got)
	}
}

func TestACMEOverHTTP(t *testing.T) {
	d := newDirectory(t, "http-01")
	a := newACME(t, listeners.ACMEOptions{Directory: d.URL + "/directory"})
	web, err := listeners.ListenACME("127.0.0.1:0", a, nil)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, web)
	d.at = web.Addr().String()
	if answer, _ := ask(t, web, "/", nil); answer.StatusCode != http.StatusNotFound {
		t.Errorf("another path gets %d", answer.StatusCode)
	}
	l := listenTCP(t, listeners.TCPOptions{Attacher: newTestAttacher(), TLS: newReloader(t, listeners.CertOptions{ACME: a}).Config()})
	runACME(t, a)
	wantIssued(t, l, d.ca, acmeName)
}

// Names from strangers never reach the authority.
func TestACMEAsksForItsNamesOnly(t *testing.T) {
	d := newDirectory(t, "tls-alpn-01")
	a := newACME(t, listeners.ACMEOptions{Directory: d.URL + "/directory"})
	l := listenTCP(t, listeners.TCPOptions{Attacher: newTestAttacher(), TLS: newReloader(t, listeners.CertOptions{ACME: a}).Config()})
	d.at = l.Addr().String()
	runACME(t, a)
	for _, name := range []string{"evil.example.org", "sub." + acmeName, "localhost"} {
		c := tls.Client(dial(t, l), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err := c.HandshakeContext(t.Context()); err == nil {
			t.Errorf("there is a certificate for %s", name)
		}
	}
	wantIssued(t, l, d.ca, acmeName)
	if names, _ := d.asked(); !slices.Equal(names, []string{acmeName}) {
		t.Errorf("asked for %v", names)
	}
}

// A hanging authority delays no client, and Run ends with its context.
func TestACMEAuthorityHangs(t *testing.T) {
	asked := make(chan struct{}, 1)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-r.Context().Done()
	}))
	t.Cleanup(hanging.Close)
	ca := newAuthority(t)
	certs := ca.files(t, t.TempDir(), "server")
	certs.ACME = newACME(t, listeners.ACMEOptions{Directory: hanging.URL})
	l := listenTCP(t, listeners.TCPOptions{Attacher: newTestAttacher(), TLS: newReloader(t, certs).Config()})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- certs.ACME.Run(ctx) }()
	<-asked
	if got := nameFor(t, l, acmeName); got != "server" {
		t.Errorf("it showed %q", got)
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(waitLimit):
		t.Error("Run does not end")
	}
}

// An authority's refusal is logged, and the request is repeated later, not at once.
func TestACMEAuthorityRefuses(t *testing.T) {
	var log logs
	d := newDirectory(t, "tls-alpn-01") // without an address for the validation
	a := newACME(t, listeners.ACMEOptions{Directory: d.URL + "/directory", Logger: log.logger()})
	runACME(t, a)
	for end := time.Now().Add(3 * waitLimit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(log.String(), "no certificate from the authority, trying again later") {
			break
		}
	}
	if text := log.String(); strings.Count(text, "no certificate from the authority") != 1 || !strings.Contains(text, "name="+acmeName) {
		t.Errorf("the log is %q", text)
	}
}

func TestBadACMEOptions(t *testing.T) {
	for name, test := range map[string]struct {
		o    listeners.ACMEOptions
		want string
	}{
		"terms":        {listeners.ACMEOptions{Names: []string{acmeName}}, "terms of service are not accepted"},
		"no names":     {listeners.ACMEOptions{AcceptTerms: true}, "no name"},
		"address":      {listeners.ACMEOptions{AcceptTerms: true, Names: []string{"192.0.2.1"}}, "not a name"},
		"wildcard":     {listeners.ACMEOptions{AcceptTerms: true, Names: []string{"*.example.org"}}, "not a name"},
		"one label":    {listeners.ACMEOptions{AcceptTerms: true, Names: []string{"localhost"}}, "not a name"},
		"not ASCII":    {listeners.ACMEOptions{AcceptTerms: true, Names: []string{"bücher.example"}}, "not a name"},
		"a path":       {listeners.ACMEOptions{AcceptTerms: true, Names: []string{"../example.org"}}, "not a name"},
		"directory CA": {listeners.ACMEOptions{AcceptTerms: true, Names: []string{acmeName}, DirectoryCA: "missing.pem"}, "missing.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := listeners.NewACME(test.o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %s", err, test.want)
			}
		})
	}
}
