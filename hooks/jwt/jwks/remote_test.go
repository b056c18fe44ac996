package jwks_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
	"github.com/outcry-mqtt/outcry/hooks/jwt/jwks"
)

const issuer = "https://id.example"

// waitLimit bounds every wait.
const waitLimit = 30 * time.Second

// recorder keeps the log's lines.
type recorder struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *recorder) logger() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

// lines returns the log lines that contain words.
func (r *recorder) lines(words string) (found []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range strings.Lines(r.text.String()) {
		if strings.Contains(line, words) {
			found = append(found, line)
		}
	}
	return found
}

// source is a server with adjustable responses.
type source struct {
	*httptest.Server
	handler atomic.Pointer[http.HandlerFunc]
	hits    atomic.Int64
}

func newSource(t *testing.T, h http.HandlerFunc) *source {
	t.Helper()
	s := &source{}
	s.handler.Store(&h)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits.Add(1)
		(*s.handler.Load())(w, r)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *source) answer(h http.HandlerFunc) { s.handler.Store(&h) }

// trust returns a TLS configuration that accepts the source's certificate.
func (s *source) trust() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &tls.Config{RootCAs: pool, ServerName: "example.com"}
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

// fixture is an Authenticator with a secret of its own and an issuer whose keys are at a URL.
type fixture struct {
	*jwt.Authenticator
	source   *source
	remote   *jwks.Remote
	counters jwks.Counters
	log      recorder
}

func newFixture(t *testing.T, h http.HandlerFunc, change func(*jwks.Options)) *fixture {
	t.Helper()
	r := &fixture{source: newSource(t, h)}
	o := jwks.Options{
		URL: r.source.URL + "/keys", TLS: r.source.trust(), Counters: &r.counters, Logger: r.log.logger(),
		RereadEvery: 1, // 1 ns: no limit
		Refresh:     time.Hour, Timeout: waitLimit,
	}
	if change != nil {
		change(&o)
	}
	var err error
	if r.remote, err = jwks.NewRemote(o); err != nil {
		t.Fatal(err)
	}
	r.Authenticator, err = jwt.New(jwt.Options{Issuers: []jwt.Issuer{
		{Keys: []jwt.KeySource{jwt.Key{Value: secret}}},
		{Name: issuer, Keys: []jwt.KeySource{r.remote}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs the Authenticator until the test ends.
func (r *fixture) run(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); ended.Wait() })
}

// reread waits until the set was fetched again.
func (r *fixture) reread(t *testing.T) {
	t.Helper()
	done := r.remote.Reread()
	if done == nil {
		t.Fatal("it is not read again")
	}
	select {
	case <-done:
	case <-time.After(waitLimit):
		t.Fatal("it is not read")
	}
}

// until has the set fetched again until a condition holds.
func (r *fixture) until(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(waitLimit); !holds(); {
		if time.Now().After(end) {
			t.Fatal("it does not come about")
		}
		r.reread(t)
	}
}

func accept(t *testing.T, a *jwt.Authenticator, token string) error {
	t.Helper()
	id, err := a.Authenticate(context.Background(), &broker.Credentials{Password: []byte(token)})
	if err == nil && id.User != "ann" {
		t.Errorf("accepted as %q", id.User)
	}
	return err
}

func labelOf(err error) string {
	if refusal, ok := errors.AsType[*broker.Refusal](err); ok {
		return refusal.Label
	}
	return fmt.Sprint(err)
}

// The first client with a rotated key is accepted at once. The old key is invalid from then on, even for cached
// tokens.
func TestRotation(t *testing.T) {
	k := keys()
	r := newFixture(t, says(public(t, k.p256, "old")), nil)
	r.run(t)
	old := mintToken(t, issuer, k.p256, "old")
	for range 2 {
		if err := accept(t, r.Authenticator, old); err != nil {
			t.Fatal(err)
		}
	}
	if hits := r.Stats().CacheHits; hits != 1 {
		t.Errorf("%d hits of the cache", hits)
	}
	r.source.answer(says(public(t, k.p384, "new")))
	if err := accept(t, r.Authenticator, mintToken(t, issuer, k.p384, "new")); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if label := labelOf(accept(t, r.Authenticator, old)); label != "bad_algorithm" {
		t.Errorf("the old key: %s", label)
	}
	if lines := r.log.lines("key set read"); len(lines) != 2 {
		t.Errorf("logged %q", lines)
	}
}

// Until the set was fetched again, a token with an unknown key may be valid and is not counted as forged.
func TestRotationIsNobodysFault(t *testing.T) {
	k := keys()
	failing := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	for _, tt := range []struct {
		name   string
		every  time.Duration // RereadEvery
		answer http.HandlerFunc
		code   byte // expected for a token with an unknown key
	}{
		{"read a moment ago", time.Hour, says(public(t, k.p384, "new")), broker.CodeServerUnavailable},
		{"the source fails", 1, failing, broker.CodeServerUnavailable},
		{"read again, and not there", 1, says(public(t, k.p256, "old")), broker.CodeBadUserOrPassword},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newFixture(t, says(public(t, k.p256, "old")), func(o *jwks.Options) { o.RereadEvery = tt.every })
			r.run(t)
			good := mintToken(t, issuer, k.p256, "old")
			if err := accept(t, r.Authenticator, good); err != nil {
				t.Fatal(err)
			}
			r.source.answer(tt.answer)
			for name, token := range map[string]string{
				"unknown id":             mintToken(t, issuer, k.otherP256, "new"),
				"no id":                  mintToken(t, issuer, k.otherP256, ""),
				"another algorithm":      mintToken(t, issuer, k.p384, "new"),
				"another, without an id": mintToken(t, issuer, k.p384, ""),
			} {
				err := accept(t, r.Authenticator, token)
				if refusal, _ := errors.AsType[*broker.Refusal](err); refusal == nil || refusal.Code != tt.code || refusal.Failed {
					t.Errorf("%s: %v, want 0x%02X", name, err, tt.code)
				}
			}
			if label := labelOf(accept(t, r.Authenticator, mintToken(t, issuer, k.otherP256, "old"))); label != "bad_signature" {
				t.Errorf("a known id and another key: %s", label)
			}
			if err := accept(t, r.Authenticator, good); err != nil {
				t.Error(err)
			}
		})
	}
}

// A token with an unknown key causes a fetch as soon as permitted, even if nobody waits for it.
func TestUnknownKeyHasTheSetReadSoon(t *testing.T) {
	k := keys()
	r := newFixture(t, says(public(t, k.p256, "old")), func(o *jwks.Options) { o.RereadEvery = 200 * time.Millisecond })
	r.run(t)
	if err := accept(t, r.Authenticator, mintToken(t, issuer, k.p256, "old")); err != nil {
		t.Fatal(err)
	}
	r.source.answer(says(public(t, k.p384, "new")))
	token := mintToken(t, issuer, k.p384, "new")
	_ = accept(t, r.Authenticator, token) // refused, unless the machine is slow
	for end := time.Now().Add(waitLimit); r.source.hits.Load() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not read again")
		}
	}
	if err := accept(t, r.Authenticator, token); err != nil && labelOf(err) != "keys_unavailable" {
		t.Error(err)
	}
}

// Keys verify tokens of their own issuer only.
func TestIssuersAreApart(t *testing.T) {
	k := keys()
	r := newFixture(t, says(public(t, k.p256, "k")), nil)
	r.run(t)
	for _, c := range []struct {
		name, issuer string
		key          any
		id, label    string
	}{
		{"its own", issuer, k.p256, "k", "<nil>"},
		{"the secret's own", "", secret, "", "<nil>"},
		{"the secret's, by another name", "https://other.example", secret, "", "<nil>"},
		{"the secret in the name of the other", issuer, secret, "", "bad_algorithm"},
		{"the other's key in no name", "", k.p256, "k", "bad_algorithm"},
		{"the other's key by a name that is almost its own", issuer + "/", k.p256, "k", "bad_algorithm"},
	} {
		if label := labelOf(accept(t, r.Authenticator, mintToken(t, c.issuer, c.key, c.id))); label != c.label {
			t.Errorf("%s: %s, want %s", c.name, label, c.label)
		}
	}
}

// Tokens with forged key ids cause no more fetches than RereadEvery permits.
func TestForgedIDsDoNotFloodTheSource(t *testing.T) {
	k := keys()
	r := newFixture(t, says(public(t, k.p256, "k")), func(o *jwks.Options) { o.RereadEvery = time.Hour })
	r.run(t)
	if err := accept(t, r.Authenticator, mintToken(t, issuer, k.p256, "k")); err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			for i := range 20 {
				token := mintToken(t, issuer, k.p384, fmt.Sprint("forged ", c, i))
				if label := labelOf(accept(t, r.Authenticator, token)); label != "keys_unavailable" {
					t.Error(label)
				}
			}
		})
	}
	clients.Wait()
	if hits := r.source.hits.Load(); hits != 1 {
		t.Errorf("the source was asked %d times", hits)
	}
}

// While a source hangs, one client waits for it. Clients with known keys are accepted, and other clients of the
// source are asked to come back.
func TestSourceThatHangs(t *testing.T) {
	k := keys()
	r := newFixture(t, says(public(t, k.p256, "k")), nil)
	r.run(t)
	if err := accept(t, r.Authenticator, mintToken(t, issuer, k.p256, "k")); err != nil {
		t.Fatal(err)
	}
	asked, release := make(chan struct{}, 1), make(chan struct{})
	r.source.answer(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	})
	var waiting sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	forged := mintToken(t, issuer, k.p256, "unknown")
	waiting.Go(func() {
		_, err := r.Authenticate(ctx, &broker.Credentials{Password: []byte(forged)})
		if label := labelOf(err); label != "keys_unavailable" {
			t.Errorf("who waited: %s", label)
		}
	})
	<-asked
	for _, token := range []string{mintToken(t, issuer, k.p256, "k"), mintToken(t, "", secret, "")} {
		if err := accept(t, r.Authenticator, token); err != nil {
			t.Errorf("a key that is known: %v", err)
		}
	}
	if label := labelOf(accept(t, r.Authenticator, forged)); label != "keys_unavailable" {
		t.Errorf("a second one that would have to wait: %s", label)
	}
	cancel() // the broker's limit for a CONNECT
	waiting.Wait()
	close(release)
}

// A source that was never read causes no permanent refusals, and affects no other issuer.
func TestSourceThatWasNeverThere(t *testing.T) {
	r := newFixture(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, nil)
	r.run(t)
	_, err := r.Authenticate(t.Context(), &broker.Credentials{Password: []byte(mintToken(t, issuer, keys().p256, "k"))})
	if refusal, _ := errors.AsType[*broker.Refusal](err); refusal == nil || refusal.Code != broker.CodeServerUnavailable {
		t.Errorf("got %v", err)
	}
	if err := accept(t, r.Authenticator, mintToken(t, "", secret, "")); err != nil {
		t.Error(err)
	}
	r.source.answer(says(public(t, keys().p256, "k")))
	if err := accept(t, r.Authenticator, mintToken(t, issuer, keys().p256, "k")); err != nil {
		t.Errorf("when it is there: %v", err)
	}
}

// Whatever the source sends, the last valid keys stay in use. Each failure is counted, the first is logged.
func TestSourceThatLies(t *testing.T) {
	k := keys()
	plain := httptest.NewServer(says(public(t, k.p384, "attacker")))
	t.Cleanup(plain.Close)
	hang := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	for _, c := range []struct {
		name, result string
		lie          http.HandlerFunc
		timeout      time.Duration
	}{
		{"a page", "no_keys", says("<html>sign in</html>"), 0},
		{"nothing", "no_keys", says(""), 0},
		{"no keys", "no_keys", says(`{"keys":[]}`), 0},
		{"only secrets", "no_keys", says(set(t, member(t, secret, "s", "HS256", nil))), 0},
		{"only weak keys", "no_keys", says(set(t, member(t, &k.weak.PublicKey, "w", "RS256", nil))), 0},
		{"an error", "status", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, public(t, k.p384, "attacker"))
		}, 0},
		{"not modified though nobody asked", "status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }, 0},
		{"a huge answer", "too_large", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, public(t, k.p384, "attacker"))
			_, _ = io.Copy(w, io.LimitReader(spaces{}, 8<<20))
		}, 0},
		{"huge headers", "connect", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }, 0},
		{"to http", "redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) }, 0},
		{"to a file", "redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, 0},
		{"in a circle", "redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/keys", http.StatusFound) }, 0},
		{"no answer", "timeout", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, time.Second},
		{"half an answer", "timeout", hang, time.Second},
		{"a broken connection", "connect", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newFixture(t, says(public(t, k.p256, "k")), func(o *jwks.Options) {
				if c.timeout > 0 {
					o.Timeout = c.timeout
				}
			})
			r.run(t)
			good := mintToken(t, issuer, k.p256, "k")
			r.until(t, func() bool { return accept(t, r.Authenticator, good) == nil })
			failedBefore := len(r.log.lines("key set cannot be read")) // more than one on a machine too slow for the time limit
			r.source.answer(c.lie)
			r.reread(t)
			r.reread(t)
			if !r.remote.Failing() {
				t.Error("it is not said to fail")
			}
			if n := r.counters.Readings()[c.result]; n < 2 {
				t.Errorf("readings are %v, want %s", r.counters.Readings(), c.result)
			}
			if lines := r.log.lines("key set cannot be read"); len(lines) != 1+failedBefore {
				t.Errorf("logged %q", lines)
			}
			if err := accept(t, r.Authenticator, mintToken(t, issuer, k.p256, "k")); err != nil {
				t.Errorf("the last good key: %v", err)
			}
			if accept(t, r.Authenticator, mintToken(t, issuer, k.p384, "attacker")) == nil {
				t.Error("the attacker's key is good")
			}
			r.source.answer(says(public(t, k.p256, "k")))
			r.until(t, func() bool { return !r.remote.Failing() })
			if lines := r.log.lines("can be read again"); len(lines) == 0 {
				t.Error("it is not logged that it can be read again")
			}
		})
	}
}

// spaces is an endless response.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestCertificateOfNobody(t *testing.T) {
	r := newFixture(t, says(public(t, keys().p256, "k")), func(o *jwks.Options) { o.TLS = nil })
	r.run(t)
	r.reread(t)
	if keys, _ := r.remote.Keys(); len(keys) > 0 || r.counters.Readings()["connect"] == 0 {
		t.Errorf("%d keys, readings are %v", len(keys), r.counters.Readings())
	}
}

func TestRedirectsToHTTPS(t *testing.T) {
	k := keys()
	r := newFixture(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			http.Redirect(w, r, "/moved", http.StatusMovedPermanently)
			return
		}
		fmt.Fprint(w, public(t, k.p256, "k"))
	}, nil)
	r.run(t)
	if err := accept(t, r.Authenticator, mintToken(t, issuer, k.p256, "k")); err != nil {
		t.Error(err)
	}
}

// An unchanged set is not sent again, and cached tokens stay cached.
func TestNotModified(t *testing.T) {
	k := keys()
	r := newFixture(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(w, public(t, k.p256, "k"))
	}, nil)
	r.run(t)
	token := mintToken(t, issuer, k.p256, "k")
	for range 3 {
		if err := accept(t, r.Authenticator, token); err != nil {
			t.Fatal(err)
		}
		r.reread(t)
	}
	if n := r.counters.Readings(); n["ok"] != 1 || n["unchanged"] < 2 {
		t.Errorf("readings are %v", n)
	}
	if hits := r.Stats().CacheHits; hits != 2 {
		t.Errorf("%d hits of the cache", hits)
	}
}

// Omitted keys are logged once as long as they stay.
func TestLeftOutIsLogged(t *testing.T) {
	k := keys()
	text := set(t, member(t, &k.p256.PublicKey, "k", "", nil), member(t, &k.rsa.PublicKey, "e", "", changes{"use": "enc"}))
	r := newFixture(t, says(text), nil)
	r.run(t)
	r.reread(t)
	r.reread(t)
	if lines := r.log.lines("key of a key set ignored"); len(lines) != 1 || !strings.Contains(lines[0], "is not for signatures") {
		t.Errorf("logged %q", lines)
	}
}

// Update starts and stops sources; a common one keeps its keys.
func TestUpdate(t *testing.T) {
	k := keys()
	r := newFixture(t, says(public(t, k.p256, "k")), nil)
	r.run(t)
	if err := accept(t, r.Authenticator, mintToken(t, issuer, k.p256, "k")); err != nil {
		t.Fatal(err)
	}
	second := newSource(t, says(public(t, k.p384, "k")))
	other, err := jwks.NewRemote(jwks.Options{URL: second.URL, TLS: second.trust(), RereadEvery: 1})
	if err != nil {
		t.Fatal(err)
	}
	first := jwt.Issuer{Name: issuer, Keys: []jwt.KeySource{r.remote}}
	added := jwt.Issuer{Name: "https://other.example", Keys: []jwt.KeySource{other}}
	before := r.source.hits.Load()
	if err := r.Update(jwt.Options{Issuers: []jwt.Issuer{first, added}}); err != nil {
		t.Fatal(err)
	}
	if err := accept(t, r.Authenticator, mintToken(t, issuer, k.p256, "k")); err != nil {
		t.Errorf("the issuer that stays: %v", err)
	}
	if err := accept(t, r.Authenticator, mintToken(t, added.Name, k.p384, "k")); err != nil {
		t.Errorf("the issuer that is new: %v", err)
	}
	if label := labelOf(accept(t, r.Authenticator, mintToken(t, "", secret, ""))); label != "bad_issuer" {
		t.Errorf("the issuer that went: %s", label)
	}
	if r.source.hits.Load() != before {
		t.Error("the source that stays was read again")
	}
	if err := r.Update(jwt.Options{}); err != nil {
		t.Fatal(err)
	}
	if label := labelOf(accept(t, r.Authenticator, mintToken(t, issuer, k.p256, "k"))); label != "bad_issuer" {
		t.Errorf("without issuers: %s", label)
	}
}

func TestURLs(t *testing.T) {
	for _, c := range []struct {
		url       string
		allowHTTP bool
		want      string
	}{
		{"https://id.example/keys", false, ""},
		{"HTTPS://id.example/keys", false, ""},
		{"http://127.0.0.1:8080/keys", false, ""},
		{"http://[::1]/keys", false, ""},
		{"http://localhost/keys", false, ""},
		{"http://id.example/keys", true, ""},
		{"http://id.example/keys", false, "uses http, so a man in the middle could forge tokens; use https"},
		{"http://localhost.evil.example/keys", false, "use https"},
		{"http://127.0.0.1.evil.example/keys", false, "use https"},
		{"https://user:password@id.example/keys", false, "has a user name or password"},
		{"file:///etc/keys", false, "is not a URL such as"},
		{"ftp://id.example/keys", false, `is "ftp"; use https`},
		{"id.example/keys", false, "is not a URL such as"},
		{"", false, "is not a URL such as"},
		{"https://%zz", false, "is not a URL such as"},
	} {
		err := jwks.CheckURL(c.url, c.allowHTTP)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.url, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "password@") {
			t.Error("the error shows the password")
		}
	}
}
