package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// askFresh asks a demo for a fresh token, and returns the status and the text of the answer.
func (p *process) askFresh(token string, header http.Header) (int, string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+p.addresses["ws"]+"/token", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header = header
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	response, err := client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if cached := response.Header.Get("Cache-Control"); response.StatusCode == http.StatusOK && cached != "no-store" {
		p.t.Errorf("a token may be cached: %q", cached)
	}
	return response.StatusCode, string(text)
}

// login is the token that the banner prints.
func (p *process) login() string {
	_, token, _ := strings.Cut(p.item("page"), "#token=")
	return token
}

func TestFreshTokens(t *testing.T) {
	p := startServe(t, t.TempDir(), "--demo")
	login := p.login()
	status, fresh := p.askFresh(login, http.Header{})
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
	if status, _, stderr := p.client("pub", fresh, "-i", "fresh", "-t", "chat/lobby/say", "-m", "x", "-q", "1"); status != 0 {
		t.Errorf("the broker does not take it: %s", stderr)
	}

	port := p.addresses["ws"][strings.LastIndex(p.addresses["ws"], ":"):]
	for _, tt := range []struct {
		name, token string
		header      http.Header
		want        int
	}{
		{"its own page", login, http.Header{"Origin": {"http://" + p.addresses["ws"]}, "Sec-Fetch-Site": {"same-origin"}}, 200},
		{"another page", login, http.Header{"Origin": {"https://stranger.example"}, "Sec-Fetch-Site": {"cross-site"}}, 403},
		{"another page of an old browser", login, http.Header{"Origin": {"https://stranger.example"}}, 403},
		{"another name of this machine", login, http.Header{"Origin": {"http://localhost" + port}, "Sec-Fetch-Site": {"same-site"}}, 403},
		{"nothing shown", "", http.Header{}, 401},
		{"nonsense", "letmein", http.Header{}, 401},
		{"a fresh token", fresh, http.Header{}, 401},
		{"a token that the operator made", p.token("--user", "guest", "--rooms", "lobby"), http.Header{}, 401},
		{"another user's", p.token("--user", "ann", "--claim", "login=true"), http.Header{}, 401},
		{"a password", "", http.Header{"Authorization": {"Basic " + login}}, 401},
	} {
		if status, text := p.askFresh(tt.token, tt.header); status != tt.want || status != 200 && strings.Contains(text, "eyJ") {
			t.Errorf("%s: status %d, want %d: %s", tt.name, status, tt.want, text)
		}
	}
	if text := p.stdout.String() + p.stderr.String(); strings.Contains(text, fresh) {
		t.Error("a fresh token stands in the output")
	}
}

func TestFreshTokensEndWithTheLogin(t *testing.T) {
	p := startServe(t, t.TempDir(), "--demo")
	login := p.token("--user", "guest", "--ttl", "2m", "--claim", "login=true")
	status, fresh := p.askFresh(login, http.Header{})
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

// Without a demo that asks for tokens, on loopback, there is nobody who gives them away.
func TestNoFreshTokens(t *testing.T) {
	for name, args := range map[string][]string{
		"no demo":             {},
		"an open broker":      {"--demo", "--open"},
		"for other machines":  {"--demo", "--ws", "0.0.0.0:0"},
		"pages are not there": {"--demo", "--set", "listeners.ws.pages=false"},
	} {
		t.Run(name, func(t *testing.T) {
			p := startServe(t, t.TempDir(), args...)
			p.addresses["ws"] = reachable(strings.Replace(p.addresses["ws"], "[::]", "127.0.0.1", 1))
			token := p.token("--user", "guest", "--claim", "login=true")
			if status, text := p.askFresh(token, http.Header{}); status != http.StatusMethodNotAllowed && status != http.StatusNotFound {
				t.Errorf("status %d: %s", status, text)
			}
		})
	}
}
