package server

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/cmd/outcry/access"
	"github.com/outcry-mqtt/outcry/hooks/jwt"
)

// With serve --demo the page connects as a real page should: with short-lived tokens, renewed in time. The banner
// prints the page's login: a token of the guest with the claim below, which freshTokenPath exchanges for short ones.
// Those lack the claim: they cannot be renewed, and none outlives the login.
const (
	freshTokenPath = "/token"
	loginClaim     = "login"

	freshTokensAllowed = 120 // in freshTokensWindow, for all clients together
	freshTokensWindow  = time.Minute
)

// notLoggedIn is the answer without a valid login. It does not reveal which check failed.
const notLoggedIn = "send the token from the banner as Authorization: Bearer; if it has expired, start the demo again"

// freshTokens answers POST /token with a short-lived token for the user of a login. It never reads the body.
type freshTokens struct {
	minter *access.Minter
	tokens *jwt.Authenticator
	ttl    time.Duration
	log    *slog.Logger
	rate   window
}

// freshTokens returns the demo's token handler; nil: none.
func (s *server) freshTokens() http.Handler {
	if !s.hasLogins() {
		return nil
	}
	f := &freshTokens{minter: access.NewMinter(&s.config.Config), tokens: s.access.Tokens, ttl: s.config.Demo.TokenTTL, log: s.log}
	// This refuses other sites' pages before any other check.
	return http.NewCrossOriginProtection().Handler(f)
}

// hasLogins reports whether the guest's token is a login: in a demo that requires and signs tokens.
func (s *server) hasLogins() bool {
	return s.flags.demo && s.flags.open == 0 && access.SecretPath(&s.config.Config) != ""
}

// loginClaims returns the additional claims of the guest's token.
func (s *server) loginClaims() map[string]any {
	if !s.hasLogins() {
		return nil
	}
	return map[string]any{loginClaim: true}
}

// withFreshTokens adds a token handler to pages.
func withFreshTokens(source, pages http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+freshTokenPath, source)
	mux.Handle("/", pages)
	return mux
}

// ServeHTTP answers with a token as text, or an error.
func (f *freshTokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !f.rate.take(time.Now()) {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many token requests; try again later", http.StatusTooManyRequests)
		return
	}
	login := f.login(r)
	if login == nil {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, notLoggedIn, http.StatusUnauthorized)
		return
	}
	token, err := f.mint(login)
	if err != nil {
		f.log.Error("cannot make a token for the page", "error", err)
		http.Error(w, "the token could not be made; see the broker's log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(token)) // the reader may have gone away
}

// login returns the identity of a valid login, or nil.
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

// remaining returns the time to a login's expiry, without leeway; 0 if it has none.
func remaining(login *broker.Identity) time.Duration {
	expires, _ := login.Claims["exp"].(int64)
	return time.Until(time.Unix(expires, 0))
}

// mint mints a token with the login's claims that does not outlive it.
func (f *freshTokens) mint(login *broker.Identity) (string, error) {
	// At least 1 ns: 0 and less mean something else to a Minter.
	ttl := max(min(f.ttl, remaining(login)), time.Nanosecond)
	return f.minter.Token(login.User, nil, map[string]any{"rooms": login.Claims["rooms"]}, ttl)
}

// window allows a number of requests in each freshTokensWindow.
type window struct {
	mu    sync.Mutex // guards the fields below
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
