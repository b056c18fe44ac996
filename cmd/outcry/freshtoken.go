package main

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// With serve --demo the page connects as a page of yours should: with tokens that live for minutes, and a fresh one in
// time. What the banner prints is the page's login. It is no more than a token of the guest with the claim below, which
// may be shown at freshTokenPath for short ones. Those lack the claim: none of them can be renewed by itself, and none
// outlives the login.
const (
	freshTokenPath = "/token"
	loginClaim     = "login"

	freshTokensAllowed = 120 // in freshTokensWindow, to all together
	freshTokensWindow  = time.Minute
)

// notLoggedIn is told to who shows anything but a login. Which check failed is not their business.
const notLoggedIn = "show the token of the banner as Authorization: Bearer; if it is too old, start the demo again"

// freshTokens answers POST /token with a short-lived token of who shows a login. It never looks at the body.
type freshTokens struct {
	mint   *mint
	tokens *jwt.Authenticator
	ttl    time.Duration
	log    *slog.Logger
	rate   window
}

// freshTokens returns the demo's source of tokens; nil: there is none.
func (s *server) freshTokens() http.Handler {
	if !s.hasLogins() {
		return nil
	}
	f := &freshTokens{mint: newMint(&s.config.Config), tokens: s.access.tokens, ttl: s.config.Demo.TokenTTL, log: s.log}
	// Pages of other hosts are refused before anything is looked at.
	return http.NewCrossOriginProtection().Handler(f)
}

// hasLogins tells whether the guest's token is a login: in a demo that asks for tokens and signs them.
func (s *server) hasLogins() bool {
	return s.flags.demo && s.flags.open == 0 && secretPath(&s.config.Config) != ""
}

// loginClaims are the further claims of the guest's token.
func (s *server) loginClaims() map[string]any {
	if !s.hasLogins() {
		return nil
	}
	return map[string]any{loginClaim: true}
}

// withFreshTokens puts a source of tokens beside pages.
func withFreshTokens(source, pages http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+freshTokenPath, source)
	mux.Handle("/", pages)
	return mux
}

// ServeHTTP answers with a token as text, or says why not.
func (f *freshTokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !f.rate.take(time.Now()) {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many tokens were asked for; try again later", http.StatusTooManyRequests)
		return
	}
	login := f.login(r)
	if login == nil {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, notLoggedIn, http.StatusUnauthorized)
		return
	}
	token, err := f.fresh(login)
	if err != nil {
		f.log.Error("token for the page not minted", "error", err)
		http.Error(w, "the token could not be made; see the broker's log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(token)) // a reader that went away is no news
}

// login returns who shows a login, and nil for all else.
func (f *freshTokens) login(r *http.Request) *broker.Identity {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	id, err := f.tokens.Authenticate(r.Context(), &broker.Credentials{Password: []byte(token)})
	if err != nil || id == nil || id.User != guestUser || id.Claims[loginClaim] != true {
		return nil
	}
	if remaining(id) <= 0 {
		return nil
	}
	return id
}

// remaining is how long a login lasts, without the leeway that clocks are given; 0 if it does not say so.
func remaining(login *broker.Identity) time.Duration {
	expires, _ := login.Claims["exp"].(int64)
	return time.Until(time.Unix(expires, 0))
}

// fresh mints a token that says what the login says, and does not end after it.
func (f *freshTokens) fresh(login *broker.Identity) (string, error) {
	// A little more than nothing: 0 and less mean something else to the mint.
	ttl := max(min(f.ttl, remaining(login)), time.Nanosecond)
	return f.mint.token(login.User, nil, map[string]any{"rooms": login.Claims["rooms"]}, ttl)
}

// window lets so many through in each freshTokensWindow.
type window struct {
	mu    sync.Mutex // guards all below
	ends  time.Time
	taken int
}

func (w *window) take(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.After(w.ends) {
		w.ends, w.taken = now.Add(freshTokensWindow), 0
	}
	w.taken++
	return w.taken <= freshTokensAllowed
}
