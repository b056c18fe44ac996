package broker

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"

	"github.com/outcry-mqtt/outcry/broker/guard"
)

// checkersPerQueue is the number of goroutines that check the credentials of a queue. The limit on connections bounds the queue's
// length.
const checkersPerQueue = 4

// checking is a request to the authenticators.
type checking interface {
	// check asks the authenticators, on a checker goroutine. A nil refusal means success. If slow is false it skips guessable
	// credentials, whose check may take long, and returns postponed.
	check(b *Broker, slow bool) (r *Refusal, postponed bool)
	checked(b *Broker, r *Refusal) // continues with the result of check
	drop()                         // ends the request if the broker closes first
}

// authPool checks credentials off the shards. Passwords have checkers of their own: one hash takes as long as a thousand
// signatures, and must not delay clients with tokens.
type authPool struct {
	tokens    checkQueue      // credentials that cannot be guessed: tokens and certificates
	passwords checkQueue      // credentials that can be guessed
	ctx       context.Context // context of the checks; set by Run
}

// checkQueue holds credentials that wait for a checker.
type checkQueue struct {
	mu     sync.Mutex // guards the fields below
	queue  []checking
	closed bool
	more   sync.Cond
}

// authenticate identifies a client and posts it to the shard that owns its client identifier. It does not block: slow checks go to
// the authentication pool.
func (b *Broker) authenticate(k *connecting) {
	if len(b.hooks.authenticators) == 0 {
		b.arrive(k)
		return
	}
	if k.identifyQuickly(b) {
		b.arrive(k)
		return
	}
	b.auth.tokens.put(k)
}

// identifyQuickly reports whether the client is identified from memory: every authenticator in order answers at once, until one is
// sure. Then no checker is woken.
func (k *connecting) identifyQuickly(b *Broker) bool {
	cred := k.credentials()
	attempt := cred.attempt()
	held := b.guard.Login(&attempt, k.since)
	for _, a := range b.hooks.authenticators {
		quick, ok := a.(QuickAuthenticator)
		guessable := isGuessable(a, cred)
		if !ok || guessable && held != guard.None { // a cached password could be guessed here, too
			return false
		}
		switch id, known := quick.AuthenticateQuickly(cred); {
		case !known:
			return false
		case id != nil:
			if guessable {
				b.guard.LoginSucceeded(&attempt, k.since)
			}
			k.client.Identity = id
			return true
		}
	}
	return false
}

func (g *checkQueue) put(k checking) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		k.drop()
		return
	}
	g.queue = append(g.queue, k)
	g.more.Signal()
}

// arrive posts a checked client to the shard that owns its client identifier.
func (b *Broker) arrive(k *connecting) {
	if !b.owner(k.client.ID).post(k) {
		k.drop()
	}
}

var idSeed = maphash.MakeSeed()

// owner returns the shard that owns a client identifier. The assignment never changes.
func (b *Broker) owner(id string) *shard {
	return b.shards[maphash.String(idSeed, id)%uint64(len(b.shards))]
}

// check is a checker's loop. It ends when its queue is closed.
func (b *Broker) check(g *checkQueue) {
	for {
		k := g.next()
		if k == nil {
			return
		}
		if r, postponed := k.check(b, g == &b.auth.passwords); postponed {
			b.auth.passwords.put(k)
		} else {
			k.checked(b, r)
		}
	}
}

// check identifies the client.
func (k *connecting) check(b *Broker, slow bool) (r *Refusal, postponed bool) {
	if k.givenUp(b.clock.now()) {
		return refusedGone, false
	}
	id, r, postponed := b.identify(k.credentials(), slow)
	if id != nil {
		k.client.Identity = id
	}
	return r, postponed
}

func (k *connecting) checked(b *Broker, r *Refusal) {
	k.refusal = r
	b.arrive(k)
}

func (g *checkQueue) next() checking {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.queue) == 0 && !g.closed {
		g.more.Wait()
	}
	if len(g.queue) == 0 {
		return nil
	}
	k := g.queue[0]
	g.queue[0] = nil
	g.queue = g.queue[1:]
	return k
}

// close ends the checkers and drops all waiting requests.
func (g *checkQueue) close() {
	g.mu.Lock()
	queue := g.queue
	g.queue, g.closed = nil, true
	g.more.Broadcast()
	g.mu.Unlock()
	for _, k := range queue {
		k.drop()
	}
}

// identify asks the authenticators in order. While failed logins lock the client out, it refuses guessable credentials without
// asking. slow and postponed are as in checking.
func (b *Broker) identify(cred *Credentials, slow bool) (id *Identity, r *Refusal, postponed bool) {
	ctx, cancel := context.WithTimeout(b.auth.ctx, b.limits.ConnectTimeout)
	defer cancel()
	attempt := cred.attempt()
	held := b.guard.Login(&attempt, b.clock.now())
	for _, a := range b.hooks.authenticators {
		guessable := isGuessable(a, cred)
		switch {
		case guessable && held != guard.None:
			b.limitedConnect(limitLogins)
			return nil, refusedForLogins, false
		case guessable && !slow:
			return nil, nil, true
		}
		id, err := a.Authenticate(ctx, cred)
		var refusal *Refusal
		switch {
		case errors.Is(err, ErrNotConcerned):
			continue
		case errors.As(err, &refusal):
			return nil, b.failed(refusal, &attempt, guessable), false
		case err != nil:
			return nil, &Refusal{
				Code: CodeServerUnavailable, Reason: "authentication is not available", Label: "unavailable", cause: err,
			}, false
		}
		if guessable {
			b.guard.LoginSucceeded(&attempt, b.clock.now())
		}
		return id, nil, false
	}
	return nil, refusedWithout, false
}

// failed counts a failed login and returns the refusal for the client.
func (b *Broker) failed(r *Refusal, attempt *guard.Attempt, guessable bool) *Refusal {
	switch {
	case r.Code != CodeBadUserOrPassword && !r.Failed:
		return r
	case guessable:
		b.guard.LoginFailed(attempt, b.clock.now())
		return r
	}
	return b.failedProof(r, attempt.Remote)
}

// failedProof counts a failed login with credentials that cannot be guessed, and returns the refusal for the client.
func (b *Broker) failedProof(r *Refusal, remote string) *Refusal {
	if b.guard.ProofFailed(remote, b.clock.now()) == guard.None {
		return r
	}
	b.limitedConnect(limitLogins)
	return refusedForLogins
}

// isGuessable reports whether an authenticator checks credentials that can be guessed, such as passwords.
func isGuessable(a Authenticator, cred *Credentials) bool {
	g, ok := a.(GuessableAuthenticator)
	return !ok || g.Guessable(cred)
}

func (cred *Credentials) attempt() guard.Attempt {
	return guard.Attempt{Remote: cred.Remote, User: cred.Username, Client: cred.ClientID, Secret: cred.Password}
}

func (k *connecting) credentials() *Credentials {
	cred := &Credentials{
		ClientID: k.packet.ClientID, Username: k.packet.Username, Password: k.packet.Password,
		Version: k.c.version, Listener: k.c.listener, Remote: k.c.remote,
	}
	if k.packet.HasAuthMethod {
		cred.Password = k.packet.AuthData
	}
	if h := k.c.hello; h != nil {
		cred.TLS, cred.Header = h.tls, h.header
	}
	return cred
}

// admit asks every Admitter; nil: the client may connect.
func (b *Broker) admit(c *Client) *Refusal {
	for _, a := range b.hooks.admitters {
		if refusal := a.Admit(c); refusal != nil {
			return refusal
		}
	}
	return nil
}

// grant asks every authorizer for a client's rights on a topic. A client may always subscribe to its own topics.
func (b *Broker) grant(c *Client, a Action, topic string) Grant {
	all := Grant{Allowed: true, MaxQoS: 2, Retain: true}
	if a == Subscribe && isOwn(topic) {
		return all
	}
	for _, z := range b.hooks.authorizers {
		limited, ok := z.(Granter)
		if !ok {
			all.Allowed = z.Authorize(c, a, topic)
		} else {
			g := limited.Grant(c, a, topic)
			all.Allowed, all.MaxQoS, all.Retain = g.Allowed, min(all.MaxQoS, g.MaxQoS), all.Retain && g.Retain
			all.MaxRate = lowerRate(all.MaxRate, g.MaxRate)
		}
		if !all.Allowed {
			return Grant{}
		}
	}
	return all
}

// takes reports whether the grant allows publishing with this QoS and RETAIN flag.
func (g Grant) takes(qos byte, retain bool) bool {
	return g.Allowed && qos <= g.MaxQoS && (g.Retain || !retain)
}

// mayHear asks every authorizer whether a waiting message may be delivered to a client.
func (b *Broker) mayHear(c *Client, topic string) bool {
	for _, z := range b.hooks.authorizers {
		if !z.Authorize(c, Deliver, topic) {
			return false
		}
	}
	return true
}
