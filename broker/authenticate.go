package broker

import (
	"context"
	"errors"
	"hash/maphash"
	"strings"
	"sync"

	"github.com/outcry-mqtt/outcry/broker/guard"
)

// checkers is how many credentials are checked at once. Those that wait are bounded by the number of connections.
const checkers = 4

// checking is something that the authenticators are asked about.
type checking interface {
	check(b *Broker) *Refusal      // on a checker; nil: all is well
	checked(b *Broker, r *Refusal) // goes on with what check said
	drop()                         // if the broker ends before that
}

// gate checks credentials off the shards.
type gate struct {
	mu     sync.Mutex // guards what follows
	queue  []checking
	closed bool
	more   sync.Cond
}

// authenticate asks the authenticators who a client is and passes it on to its shard. It does not wait.
func (b *Broker) authenticate(k *connecting) {
	if len(b.authenticators) == 0 {
		b.arrive(k)
		return
	}
	if k.identifyQuickly(b) {
		b.arrive(k)
		return
	}
	b.gate.put(k)
}

// identifyQuickly tells whether all the authenticators that have to be asked know the client at once, and one of them is
// sure who it is. Then nobody else has to be woken for it.
func (k *connecting) identifyQuickly(b *Broker) bool {
	if b.guard.Login(k.c.remote, k.since) != guard.None {
		return false
	}
	var cred *Credentials
	for _, a := range b.authenticators {
		quick, ok := a.(QuickAuthenticator)
		if !ok {
			return false
		}
		if cred == nil {
			cred = k.credentials()
		}
		switch id, known := quick.AuthenticateQuickly(cred); {
		case !known:
			return false
		case id != nil:
			k.client.Identity = id
			return true
		}
	}
	return false
}

func (g *gate) put(k checking) {
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

// owner is the shard that a client identifier belongs to, always.
func (b *Broker) owner(id string) *shard {
	return b.shards[maphash.String(idSeed, id)%uint64(len(b.shards))]
}

// check is one checker's loop; it ends when the gate is closed.
func (b *Broker) check() {
	for {
		k := b.gate.next()
		if k == nil {
			return
		}
		k.checked(b, k.check(b))
	}
}

// check asks who the client is.
func (k *connecting) check(b *Broker) *Refusal {
	if k.givenUp(b.clock.now()) {
		return refusedGone
	}
	if b.guard.Login(k.c.remote, b.clock.now()) != guard.None {
		b.limited(limitLogins, k.c.remote, k.client.ID)
		return refusedForLogins
	}
	id, refusal := b.identify(k.credentials())
	if refusal == nil {
		k.client.Identity = id
	}
	return refusal
}

func (k *connecting) checked(b *Broker, r *Refusal) {
	k.refusal = r
	b.arrive(k)
}

func (g *gate) next() checking {
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

// close ends the checkers and releases who still waits.
func (g *gate) close() {
	g.mu.Lock()
	queue := g.queue
	g.queue, g.closed = nil, true
	g.more.Broadcast()
	g.mu.Unlock()
	for _, k := range queue {
		k.drop()
	}
}

// identify asks one authenticator after the other.
func (b *Broker) identify(cred *Credentials) (*Identity, *Refusal) {
	ctx, cancel := context.WithTimeout(b.checking, b.limits.ConnectTimeout)
	defer cancel()
	for _, a := range b.authenticators {
		id, err := a.Authenticate(ctx, cred)
		if errors.Is(err, ErrNotConcerned) {
			continue
		}
		var refusal *Refusal
		switch {
		case errors.As(err, &refusal):
			if refusal.Code == CodeBadUserOrPassword {
				b.guard.LoginFailed(cred.Remote, b.clock.now())
			}
			b.log.Info("client refused", "listener", cred.Listener, "remote", cred.Remote, "client", cred.ClientID,
				"user", loggable(cred.Username), "reason", refusal.Reason)
			return nil, refusal
		case err != nil:
			b.log.Error("authenticate", "client", cred.ClientID, "err", err)
			return nil, &Refusal{Code: CodeServerUnavailable, Reason: "authentication is not available", Label: "unavailable"}
		}
		return id, nil
	}
	return nil, &Refusal{Code: CodeNotAuthorized, Reason: "no valid credentials were given", Label: "no_credentials"}
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

// loggable is a user name that may stand in a log: some send their token as the user name.
func loggable(user string) string {
	if len(user) > 64 || strings.Count(user, ".") == 2 && strings.HasPrefix(user, "eyJ") {
		return "(not shown)"
	}
	return user
}

// admit asks every admitter.
func (b *Broker) admit(c *Client) *Refusal {
	for _, a := range b.admitters {
		if refusal := a.Admit(c); refusal != nil {
			return refusal
		}
	}
	return nil
}

// grant asks every authorizer how far a client may go. It may always hear what is its own.
func (b *Broker) grant(c *Client, a Action, topic string) Grant {
	all := Grant{Allowed: true, MaxQoS: 2, Retain: true}
	if a == Subscribe && isOwn(topic) {
		return all
	}
	for _, z := range b.authorizers {
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

// takes tells whether a message may be published.
func (g Grant) takes(qos byte, retain bool) bool {
	return g.Allowed && qos <= g.MaxQoS && (g.Retain || !retain)
}

// mayHear asks every authorizer about a message that waits for a client.
func (b *Broker) mayHear(c *Client, topic string) bool {
	for _, z := range b.authorizers {
		if !z.Authorize(c, Deliver, topic) {
			return false
		}
	}
	return true
}
