package jwt

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
)

// Method is the Identity.Method of those who showed a token.
const Method = "jwt"

// patience is how long a client waits at most for keys that are being read.
const patience = 5 * time.Second

// Authenticator accepts a client that shows a valid token. Who it is stands in the token. It is a broker.Authenticator.
type Authenticator struct {
	current atomic.Pointer[verifier]
	updated chan struct{} // current has been replaced
	waiting chan struct{} // holds a value while a client waits for keys
	counts  *counters

	mu sync.Mutex // held while key rings are replaced
}

var _ broker.Authenticator = (*Authenticator)(nil)

// New returns an Authenticator, or an error that says everything that is wrong with the keys. If a source is LiveKeys,
// Run has to be called.
func New(o Options) (*Authenticator, error) {
	a := &Authenticator{updated: make(chan struct{}, 1), waiting: make(chan struct{}, 1), counts: newCounters()}
	if err := a.Update(o); err != nil {
		return nil, err
	}
	return a, nil
}

// Update replaces all options and asks the key sources. On an error everything stays as it is.
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
	default: // Run has not yet seen the one before
	}
	return nil
}

// Reload asks the key sources again. On an error the keys stay as they are.
func (a *Authenticator) Reload() error { return a.Update(a.current.Load().options) }

// Run keeps the key sources that are LiveKeys up to date until ctx ends, those of later Updates too. It returns nil when
// all that it started has ended. It must not be called twice.
func (a *Authenticator) Run(ctx context.Context) error {
	var sources sync.WaitGroup
	defer sources.Wait()
	running := map[LiveKeys]context.CancelFunc{}
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
				sources.Go(func() { source.Run(inner, a.changed) })
			}
		}
		select {
		case <-ctx.Done():
			for _, stop := range running {
				stop()
			}
			return nil
		case <-a.updated:
		}
	}
}

// changed takes over the keys of sources that have changed.
func (a *Authenticator) changed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.current.Load()
	for _, i := range v.issuers {
		if len(i.live) > 0 {
			v.renew(i)
		}
	}
}

// Authenticate tells who holds the token that c shows. It returns broker.ErrNotConcerned if c shows none, and otherwise a
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
	if identity := a.remembered(v, token); identity != nil {
		return identity, nil
	}
	found := a.judge(ctx, v, token)
	if found.refusal != nil {
		return nil, a.counts.refused(found.refusal)
	}
	a.counts.accepted.Add(1)
	v.cache.add(token.text, found)
	return found.identity, nil
}

// AuthenticateQuickly knows clients without a token, who are another's, and tokens that were accepted lately.
func (a *Authenticator) AuthenticateQuickly(c *broker.Credentials) (id *broker.Identity, known bool) {
	v := a.current.Load()
	token, err := v.find(c)
	if err != nil {
		return nil, err == broker.ErrNotConcerned
	}
	id = a.remembered(v, token)
	return id, id != nil
}

// remembered is who holds a token that was accepted before, or nil.
func (a *Authenticator) remembered(v *verifier, token shown) *broker.Identity {
	identity := v.cache.find(token.text, v.options.Now())
	if identity != nil {
		a.counts.hits.Add(1)
		a.counts.accepted.Add(1)
	}
	return identity
}

// judge verifies a token; if its key is missing, once more after the issuer's sources were read again.
func (a *Authenticator) judge(ctx context.Context, v *verifier, token shown) verdict {
	found := v.verify(token)
	if !found.keyless {
		return found
	}
	outcome := a.await(ctx, found.issuer)
	if outcome == readAgain || found.issuer.ring.Load() != found.ring { // or they came in between
		return v.verify(token)
	}
	if outcome == othersWait {
		found.refusal = unavailable("the keys of the token's issuer are being read; try again")
	}
	return found
}

// How waiting for keys ended.
const (
	notRead    = iota // they are not going to be read
	readAgain         // they have been, or it took too long
	othersWait        // they are being read, and somebody else waits for it
)

// await has the sources of an issuer read again, if they allow, and waits for it. Only one client at a time waits: a
// source that hangs must not hold up those whose keys are known.
func (a *Authenticator) await(ctx context.Context, i *issuer) int {
	var readings []<-chan struct{}
	for _, source := range i.live {
		if done := source.Reread(); done != nil {
			readings = append(readings, done)
		}
	}
	if len(readings) == 0 {
		return notRead
	}
	select {
	case a.waiting <- struct{}{}:
		defer func() { <-a.waiting }()
	default:
		return othersWait
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, done := range readings {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	return readAgain
}
