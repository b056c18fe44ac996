package server

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// requestToken requests a fresh token from a demo, and returns the response's status and text.
func requestToken(p *outcrytest.Process, token string, header http.Header) (int, string) {
	p.T.Helper()
	r, err := http.NewRequestWithContext(p.T.Context(), http.MethodPost, "http://"+p.Addresses["ws"]+"/token", nil)
	if err != nil {
		p.T.Fatal(err)
	}
	r.Header = header
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Timeout: outcrytest.WaitLimit}
	defer client.CloseIdleConnections()
	response, err := client.Do(r)
	if err != nil {
		p.T.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.T.Fatal(err)
	}
	if cached := response.Header.Get("Cache-Control"); response.StatusCode == http.StatusOK && cached != "no-store" {
		p.T.Errorf("a token may be cached: %q", cached)
	}
	return response.StatusCode, string(text)
}

// guestToken returns the banner's token.
func guestToken(p *outcrytest.Process) string {
	_, token, _ := strings.Cut(item(p, "page"), "#token=")
	return token
}

func TestFreshTokens(t *testing.T) {
	p := outcrytest.StartServe(t, t.TempDir(), "--demo")
	login := guestToken(p)
	status, fresh := requestToken(p, login, http.Header{})
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, fresh)
	}
	said, err := jwt.Inspect(fresh)
	if err != nil {
		t.Fatal(err)
	}
	if ttl := said.Expires.Sub(said.Issued); said.User != "guest" || ttl != 5*time.Minute || len(said.Claims["rooms"].([]any)) != 2 {
		t.Errorf("it says %v for %v", said.Claims, ttl)
	}
	if status, _, stderr := p.Client("pub", fresh, "-i", "fresh", "-t", "chat/lobby/say", "-m", "x", "-q", "1"); status != 0 {
		t.Errorf("the broker does not take it: %s", stderr)
	}

	port := p.Addresses["ws"][strings.LastIndex(p.Addresses["ws"], ":"):]
	for _, tt := range []struct {
		name, token string
		header      http.Header
		want        int
	}{
		{"its own page", login, http.Header{"Origin": {"http://" + p.Addresses["ws"]}, "Sec-Fetch-Site": {"same-origin"}}, 200},
		{"another page", login, http.Header{"Origin": {"https://stranger.example"}, "Sec-Fetch-Site": {"cross-site"}}, 403},
		{"another page of an old browser", login, http.Header{"Origin": {"https://stranger.example"}}, 403},
		{"another name of this machine", login, http.Header{"Origin": {"http://localhost" + port}, "Sec-Fetch-Site": {"same-site"}}, 403},
		{"nothing shown", "", http.Header{}, 401},
		{"nonsense", "letmein", http.Header{}, 401},
		{"a fresh token", fresh, http.Header{}, 401},
		{"a token that the operator made", p.Token("--user", "guest", "--rooms", "lobby"), http.Header{}, 401},
		{"another user's", p.Token("--user", "ann", "--claim", "login=true"), http.Header{}, 401},
		{"a password", "", http.Header{"Authorization": {"Basic " + login}}, 401},
	} {
		if status, text := requestToken(p, tt.token, tt.header); status != tt.want || status != 200 && strings.Contains(text, "eyJ") {
			t.Errorf("%s: status %d, want %d: %s", tt.name, status, tt.want, text)
		}
	}
	if text := p.Stdout.String() + p.Stderr.String(); strings.Contains(text, fresh) {
		t.Error("a fresh token stands in the output")
	}
}

func TestFreshTokensEndWithTheLogin(t *testing.T) {
	p := outcrytest.StartServe(t, t.TempDir(), "--demo")
	login := p.Token("--user", "guest", "--ttl", "2m", "--claim", "login=true")
	status, fresh := requestToken(p, login, http.Header{})
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, fresh)
	}
	said, err := jwt.Inspect(fresh)
	if err != nil {
		t.Fatal(err)
	}
	first, err := jwt.Inspect(login)
	if err != nil {
		t.Fatal(err)
	}
	if said.Expires.After(first.Expires) {
		t.Errorf("it ends at %v, the login at %v", said.Expires, first.Expires)
	}
}

func TestFreshTokensAreRationed(t *testing.T) {
	t.Parallel()
	var w window
	now := time.Now()
	for range freshTokensAllowed {
		if !w.take(now) {
			t.Fatal("refused too early")
		}
	}
	if w.take(now) || !w.take(now.Add(freshTokensWindow+time.Second)) {
		t.Error("no end of tokens, or no new beginning")
	}
}

// Only a demo on loopback that requires tokens gives them away.
func TestNoFreshTokens(t *testing.T) {
	for name, args := range map[string][]string{
		"no demo":             {},
		"an open broker":      {"--demo", "--open"},
		"for other machines":  {"--demo", "--ws", "0.0.0.0:0"},
		"pages are not there": {"--demo", "--set", "listeners.ws.pages=false"},
	} {
		t.Run(name, func(t *testing.T) {
			p := outcrytest.StartServe(t, t.TempDir(), args...)
			p.Addresses["ws"] = reachable(strings.Replace(p.Addresses["ws"], "[::]", "127.0.0.1", 1))
			token := p.Token("--user", "guest", "--claim", "login=true")
			if status, text := requestToken(p, token, http.Header{}); status != http.StatusMethodNotAllowed && status != http.StatusNotFound {
				t.Errorf("status %d: %s", status, text)
			}
		})
	}
}
