// Package jwt authenticates clients by a JSON Web Token (RFC 7519), sent as MQTT password. It also creates and
// inspects tokens, and creates the secret that signs them.
//
// A token never chooses its verification: each key is bound to one algorithm, "none" is no algorithm, and keys that a
// token carries or points to are ignored. Tokens and keys never appear in an error or a log.
package jwt

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
)

// Method is the Identity.Method of clients with a token.
const Method = "jwt"

// maxKeyWait bounds the wait of a client for keys that are being read.
const maxKeyWait = 5 * time.Second

// forgetInterval is the interval at which Run removes expired tokens from the cache.
const forgetInterval = 10 * time.Second

// Authenticator accepts a client with a valid token and identifies it by the token's claims. It is a
// broker.Authenticator.
type Authenticator struct {
	current atomic.Pointer[verifier]
	updated chan struct{} // closed when current has been replaced
	waiting chan struct{} // holds a value while a client waits for keys
	counts  *counters

	mu sync.Mutex // held while key rings are replaced
}

var (
	_ broker.QuickAuthenticator     = (*Authenticator)(nil)
	_ broker.GuessableAuthenticator = (*Authenticator)(nil)
)

// New returns an Authenticator, or an error that lists everything wrong with the keys. If a source is LiveKeys, call
// Run.
func New(o Options) (*Authenticator, error) {
	a := &Authenticator{updated: make(chan struct{}, 1), waiting: make(chan struct{}, 1), counts: newCounters()}
	if err := a.Update(o); err != nil {
		return nil, err
	}
	return a, nil
}

// Update replaces all options and asks the key sources. After an error the old ones apply.
func (a *Authenticator) Update(o Options) error {
	v, err := newVerifier(o)
	if err != nil {
		return err
	}
	a.mu.Lock()
	for _, i := range v.issuers {
		v.renew(i)
	}
	a.current.Store(v)
	a.mu.Unlock()
	select {
	case a.updated <- struct{}{}:
	default: // Run has not read the previous signal yet
	}
	return nil
}

// Reload asks the key sources again. After an error the old keys apply.
func (a *Authenticator) Reload() error { return a.Update(a.current.Load().options) }

// Run keeps the keys of LiveKeys up to date until ctx ends, also those of later Updates, and removes expired tokens
// from the cache. It returns nil after everything it started has ended. Call it once only.
func (a *Authenticator) Run(ctx context.Context) error {
	var sources sync.WaitGroup
	defer sources.Wait()
	running := map[LiveKeys]context.CancelFunc{}
	ticker := time.NewTicker(forgetInterval)
	defer ticker.Stop()
	for {
		wanted := a.current.Load().live()
		for source, stop := range running {
			if !wanted[source] {
				stop()
				delete(running, source)
			}
		}
		for source := range wanted {
			if running[source] == nil {
				inner, stop := context.WithCancel(ctx)
				running[source] = stop
				sources.Go(func() { source.Run(inner, a.renewIssuers) })
			}
		}
		select {
		case <-ctx.Done():
			for _, stop := range running {
				stop()
			}
			return nil
		case <-a.updated:
		case <-ticker.C:
			v := a.current.Load()
			v.cache.forgetAll(v.options.Now())
		}
	}
}

// renewIssuers takes the new keys of the sources.
func (a *Authenticator) renewIssuers() {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.current.Load()
	for _, i := range v.issuers {
		if len(i.live) > 0 {
			v.renew(i)
		}
	}
}

// Authenticate identifies c by its token. It returns broker.ErrNotConcerned if c sends no token, and a
// *broker.Refusal if the token is not accepted.
func (a *Authenticator) Authenticate(ctx context.Context, c *broker.Credentials) (*broker.Identity, error) {
	v := a.current.Load()
	token, err := v.find(c)
	if err == broker.ErrNotConcerned {
		return nil, err
	}
	if err != nil {
		return nil, a.counts.refused(err.(*broker.Refusal))
	}
	if identity := a.cachedIdentity(v, token); identity != nil {
		return identity, nil
	}
	found := a.verify(ctx, v, token)
	if found.refusal != nil {
		return nil, a.counts.refused(found.refusal)
	}
	a.counts.accepted.Add(1)
	v.cache.add(token.text, found, v.options.Now())
	return found.identity, nil
}

// AuthenticateQuickly decides about clients without a token, which it leaves to others, and about cached tokens.
func (a *Authenticator) AuthenticateQuickly(c *broker.Credentials) (id *broker.Identity, known bool) {
	v := a.current.Load()
	token, err := v.find(c)
	if err != nil {
		return nil, err == broker.ErrNotConcerned
	}
	id = a.cachedIdentity(v, token)
	return id, id != nil
}

// Guessable always returns false: a signature cannot be guessed.
func (a *Authenticator) Guessable(*broker.Credentials) bool { return false }

// cachedIdentity returns the identity of a cached token, or nil.
func (a *Authenticator) cachedIdentity(v *verifier, token presented) *broker.Identity {
	identity := v.cache.find(token.text, v.options.Now())
	if identity != nil {
		a.counts.hits.Add(1)
		a.counts.accepted.Add(1)
	}
	return identity
}

// verify verifies a token. If its key is missing, it has the issuer's sources read and tries again. If they were not
// read, the key may be new, and the refusal asks the client to come back.
func (a *Authenticator) verify(ctx context.Context, v *verifier, token presented) verdict {
	found := v.verify(token)
	if !found.keyless || len(found.issuer.live) == 0 {
		return found
	}
	fresh := a.reread(ctx, found.issuer)
	if fresh || found.issuer.ring.Load() != found.ring {
		found = v.verify(token)
	}
	if found.keyless && !fresh {
		found.refusal = unavailable(found.refusal.Reason + "; the broker reads the keys of its issuer again soon, try again then")
	}
	return found
}

// reread has the sources of an issuer read again, if they permit, and waits. It reports whether all were read. Only
// one client waits at a time: a slow source must not occupy the checkers that other clients need.
func (a *Authenticator) reread(ctx context.Context, i *issuer) (fresh bool) {
	fresh = true
	var readings []<-chan struct{}
	for _, source := range i.live {
		done := source.Reread()
		fresh = fresh && done != nil
		if done != nil {
			readings = append(readings, done)
		}
	}
	if len(readings) == 0 {
		return false
	}
	select {
	case a.waiting <- struct{}{}:
		defer func() { <-a.waiting }()
	default:
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, maxKeyWait)
	defer cancel()
	for _, done := range readings {
		select {
		case <-done:
		case <-ctx.Done():
			return false
		}
	}
	return fresh && !i.failing()
}
