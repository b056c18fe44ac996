package guard

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"time"
)

// Three limits bound guessed passwords. Each allows FailedLogins at once (times the factor below), and then:
//   - a user from an address: one after LoginWait, twice as long after each further one, up to LoginMaxWait;
//   - an address, over all users: one each LoginWait;
//   - a user, over all addresses: one each LoginWait.
//
// The latter two do not apply to an address from which the user has logged in lately, so that no stranger locks users
// out. A client identifier with a recent success has an allowance of its own, like a user from an address.
const (
	addressFactor = 3
	userFactor    = 10
	trustedFor    = 7 * 24 * time.Hour // since the last success
)

// Attempt is a login with guessable credentials.
type Attempt struct {
	Remote string // IP address, with or without a port
	User   string
	Client string // identifier; may be empty
	Secret []byte
}

// keys are the hashes of an attempt. They are specific to this Guard.
type keys struct {
	address      netip.Addr
	user         uint64 // over all addresses
	pair, client uint64 // the user at the address; the client of that pair, 0 without an identifier
	secret       uint64
}

// failures is the history of wrong credentials of one key.
type failures struct {
	fresh   backoff // for credentials that are not in wrong
	all     backoff
	paid    int64     // bucket of fresh ones, of users only; see Rate
	last    int64     // time of the last wrong credentials
	wrong   [4]uint64 // hashes of the last wrong credentials; repeating them is not guessing
	written uint      // number of hashes ever stored in wrong
}

// backoff doubles the wait after each failure beyond the allowed ones.
type backoff struct {
	failures int
	until    int64 // time of the next allowed attempt
}

func (b *backoff) fail(r *rules, now int64) {
	b.failures++
	if beyond := b.failures - r.FailedLogins; beyond >= 0 {
		b.until = now + int64(doubled(r.LoginWait, beyond, r.LoginMaxWait))
	}
}

// doubled returns d × 2^n, at most most.
func doubled(d time.Duration, n int, most time.Duration) time.Duration {
	if n = min(n, 62); d > most>>n {
		return most
	}
	return d << n
}

// countsLogins returns the network that failed logins of a remote count for; counts is false if they are not counted.
func (r *rules) countsLogins(remote string) (key netip.Addr, counts bool) {
	if r.FailedLogins <= 0 {
		return key, false
	}
	return r.network(remote)
}

func (g *Guard) keysOf(a *Attempt, address netip.Addr) keys {
	pair := maphash.String(g.seed, a.User) ^ maphash.Comparable(g.seed, address)
	k := keys{address: address, user: maphash.String(g.seed, "user/"+a.User), pair: pair, secret: maphash.Bytes(g.seed, a.Secret)}
	if a.Client != "" {
		k.client = pair ^ maphash.String(g.seed, "client/"+a.Client)
	}
	return k
}

// Login decides whether credentials may be checked. Repeated wrong credentials are held off sooner than new ones, so
// that a device with an old password blocks nobody else.
func (g *Guard) Login(a *Attempt, now int64) Limit {
	r := g.rules.Load()
	if last := g.lastFailure.Load(); last == 0 || now-last > int64(max(r.LoginForgiven, r.LoginMaxWait)) {
		return None
	}
	address, counts := r.countsLogins(a.Remote)
	if !counts {
		return None
	}
	k := g.keysOf(a, address)
	if k.client != 0 && g.isTrusted(k.client, now) {
		return g.heldOff(k.client, k.secret, now)
	}
	repeated := g.isRepeated(&k)
	if g.heldOff(k.pair, k.secret, now) != None {
		return FailedLogins
	}
	if g.isTrusted(k.pair, now) {
		return None
	}
	if g.addressExceeded(r, &k, repeated, now) || g.userExceeded(r, &k, now) {
		return FailedLogins
	}
	return None
}

// isTrusted reports whether a client, or a user at an address, has logged in lately.
func (g *Guard) isTrusted(key uint64, now int64) bool {
	s := g.stripeAt(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	at, known := s.successes.lookup(key)
	return known && now-at < int64(trustedFor)
}

// heldOff returns FailedLogins if the history of a key makes these credentials wait.
func (g *Guard) heldOff(key, secret uint64, now int64) Limit {
	s := g.stripeAt(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	h, known := s.failures.lookup(key)
	if !known || now >= h.fresh.until && (now >= h.all.until || !slices.Contains(h.wrong[:], secret)) {
		return None
	}
	s.failures.keep(key, h) // keeps the entry from being forgotten while it is waiting
	return FailedLogins
}

// isRepeated reports whether credentials were wrong before.
func (g *Guard) isRepeated(k *keys) bool {
	s := g.stripeAt(k.pair)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.failures.find(k.pair)
	return slices.Contains(h.wrong[:], k.secret)
}

// addressExceeded reports whether an address has used up its failures, or half of them for repeated credentials.
func (g *Guard) addressExceeded(r *rules, k *keys, repeated bool, now int64) bool {
	s := g.stripe(k.address)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.known.find(k.address)
	over := r.addressFailures.isEmpty(a.failed, now) || repeated && r.repeatedFailures.isEmpty(a.failed, now)
	if over {
		s.known.keep(k.address, a)
	}
	return over
}

func (g *Guard) userExceeded(r *rules, k *keys, now int64) bool {
	s := g.stripeAt(k.user)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.failures.find(k.user)
	over := r.userFailures.isEmpty(h.paid, now)
	if over {
		s.failures.keep(k.user, h)
	}
	return over
}

// LoginFailed records wrong credentials.
func (g *Guard) LoginFailed(a *Attempt, now int64) {
	r := g.rules.Load()
	address, counts := r.countsLogins(a.Remote)
	if !counts {
		return
	}
	g.lastFailure.Store(max(now, 1))
	k := g.keysOf(a, address)
	if k.client != 0 && g.isTrusted(k.client, now) {
		g.fail(r, k.client, k.secret, now)
	}
	g.fail(r, k.pair, k.secret, now)
	g.fail(r, k.user, k.secret, now)
	s := g.stripe(address)
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.known.find(address)
	r.addressFailures.charge(&known.failed, now)
	s.known.keep(address, known)
}

// fail adds wrong credentials to the history of a key.
func (g *Guard) fail(r *rules, key, secret uint64, now int64) {
	s := g.stripeAt(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.failures.find(key)
	if now-h.last > int64(r.LoginForgiven) {
		h = failures{}
	}
	h.last = now
	h.all.fail(r, now)
	if !slices.Contains(h.wrong[:], secret) {
		h.fresh.fail(r, now)
		r.userFailures.charge(&h.paid, now)
		h.wrong[h.written%uint(len(h.wrong))] = secret
		h.written++
	}
	s.failures.keep(key, h)
}

// LoginSucceeded records right credentials.
func (g *Guard) LoginSucceeded(a *Attempt, now int64) {
	r := g.rules.Load()
	address, counts := r.countsLogins(a.Remote)
	if !counts {
		return
	}
	k := g.keysOf(a, address)
	for _, key := range [...]uint64{k.pair, k.client} {
		if key != 0 {
			s := g.stripeAt(key)
			s.mu.Lock()
			s.successes.keep(key, now)
			s.mu.Unlock()
		}
	}
}

// ProofFailed records the rejection of credentials that cannot be guessed, such as a signed token. It returns
// FailedLogins if the address has too many of them. They do not affect other logins.
func (g *Guard) ProofFailed(remote string, now int64) Limit {
	r := g.rules.Load()
	key, counts := r.countsLogins(remote)
	if !counts {
		return None
	}
	s := g.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.known.find(key)
	over := r.proofFailures.isEmpty(a.proofs, now)
	r.proofFailures.charge(&a.proofs, now)
	s.known.keep(key, a)
	if over {
		return FailedLogins
	}
	return None
}

func (g *Guard) stripeAt(key uint64) *stripe { return &g.stripes[key%stripes] }

// recent is a map with at most 2 × limit entries, in two generations: beyond that it forgets the entries that were not
// kept for longest. The zero value with limit set is empty.
type recent[K comparable, V any] struct {
	limit             int
	current, previous map[K]V
}

// find returns a key's value, or the zero value.
func (f *recent[K, V]) find(key K) V {
	v, _ := f.lookup(key)
	return v
}

// lookup returns a key's value and whether there is one.
func (f *recent[K, V]) lookup(key K) (v V, known bool) {
	if v, known = f.current[key]; !known {
		v, known = f.previous[key]
	}
	return v, known
}

// keep sets a key's value and makes it the newest.
func (f *recent[K, V]) keep(key K, v V) {
	if f.current == nil {
		f.current = make(map[K]V)
	}
	f.current[key] = v
	if len(f.current) > f.limit {
		f.current, f.previous = nil, f.current
	}
}
