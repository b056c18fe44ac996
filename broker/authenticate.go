package broker

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
)

// checkers is how many credentials are checked at once. Those that wait are bounded by the number of connections.
const checkers = 4

// gate checks credentials off the shards.
type gate struct {
	mu     sync.Mutex // guards what follows
	queue  []*connecting
	closed bool
	more   sync.Cond
}

// authenticate asks the authenticators who a client is and passes it on to its shard. It does not wait.
func (b *Broker) authenticate(k *connecting) {
	if len(b.authenticators) == 0 {
		b.arrive(k)
		return
	}
	g := &b.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		k.c.release()
		return
	}
	g.queue = append(g.queue, k)
	g.more.Signal()
}

// arrive posts a checked client to the shard that owns its client identifier.
func (b *Broker) arrive(k *connecting) {
	if !b.owner(k.client.ID).post(k) {
		k.c.release()
	}
}

var idSeed = maphash.MakeSeed()

// owner is the shard that a client identifier belongs to, always.
func (b *Broker) owner(id string) *shard {
	return b.shards[maphash.String(idSeed, id)%uint64(len(b.shards))]
}

// check is one checker's loop; it ends when the gate is closed.
func (b *Broker) check(ctx context.Context) {
	for {
		k := b.gate.next()
		if k == nil {
			return
		}
		id, refusal := b.identify(ctx, k)
		k.refusal = refusal
		if id != nil {
			k.client.Identity = id
		}
		b.counters.auth(refusal)
		b.arrive(k)
	}
}

func (g *gate) next() *connecting {
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
		k.c.release()
	}
}

// identify asks one authenticator after the other.
func (b *Broker) identify(ctx context.Context, k *connecting) (*Identity, *Refusal) {
	ctx, cancel := context.WithTimeout(ctx, b.limits.ConnectTimeout)
	defer cancel()
	cred := k.credentials()
	for _, a := range b.authenticators {
		id, err := a.Authenticate(ctx, cred)
		if errors.Is(err, ErrNotConcerned) {
			continue
		}
		var refusal *Refusal
		switch {
		case errors.As(err, &refusal):
			b.log.Info("client refused", "listener", k.c.listener, "remote", k.c.remote, "client", k.client.ID,
				"user", k.packet.Username, "reason", refusal.Reason)
			return nil, refusal
		case err != nil:
			b.log.Error("authenticate", "client", k.client.ID, "err", err)
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
	if h := k.c.hello; h != nil {
		cred.TLS, cred.Header = h.tls, h.header
	}
	return cred
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
			all = Grant{g.Allowed, min(all.MaxQoS, g.MaxQoS), all.Retain && g.Retain}
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
