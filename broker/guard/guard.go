// Package guard counts what comes from where: connections of an address, failed logins, clients that come back too often.
// It says when there is too much of it, and holds nobody up itself; it knows nothing of MQTT.
package guard

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Options say how much is too much. A limit that is zero or less is none.
type Options struct {
	MaxPerAddress int // connections of an address at once
	MaxPerUser    int // connections of a user at once, over all addresses; anonymous clients are nobody's

	ConnectsPerSecond float64 // of an address
	ConnectBurst      int     // connections that may come at once, before that rate holds; at least 1

	// Failed logins of an address. After so many it has to wait, twice as long after each further one.
	FailedLogins  int
	LoginWait     time.Duration // the first wait; 1 s
	LoginMaxWait  time.Duration // the longest; 1 min
	LoginForgiven time.Duration // without a failed login for so long, there were none; 15 min

	ReconnectsPerMinute int           // connections of a client identifier, and as many at once
	ReconnectWait       time.Duration // that a client has to wait when it comes back more often; 10 s

	PrefixV4, PrefixV6 int            // leading bits of IP addresses that make an address of ours; 32 and 64
	Exempt             []netip.Prefix // IP addresses that may do everything, but for MaxPerUser

	MaxRemembered int // addresses without a connection, and client identifiers, that are remembered; 65536 each
}

// Limit is a limit that was reached.
type Limit uint8

// The limits. None says that there is room.
const (
	None Limit = iota
	AddressConnections
	AddressRate
	FailedLogins
	UserConnections
	Reconnects
)

// Guard counts. Its methods may be called from several goroutines. Times are those of one monotonic clock, in nanoseconds.
// A remote is an IP address, with or without a port; what is none, such as a unix socket, is exempt.
type Guard struct {
	options  Options
	connects Rate
	returns  Rate
	seed     maphash.Seed
	stripes  [stripes]stripe
}

const stripes = 64 // so that shards and listeners do not wait for each other

// stripe is what is known of some addresses, users and client identifiers.
type stripe struct {
	mu      sync.Mutex // guards what follows; held for a few map accesses only
	open    map[netip.Addr]int
	users   map[string]int
	known   fading[netip.Addr, address]
	clients fading[uint64, client]
}

// address is the history of an address.
type address struct {
	connects int64 // see Rate
	failures int   // failed logins
	last     int64 // when the last of them was
	until    int64 // when the next login may be
}

// client is the history of a client identifier.
type client struct {
	returns int64 // see Rate
	until   int64 // when it may come back
}

// New returns a Guard, or nil, which lets everything pass, if no limit is set.
func New(o Options) *Guard {
	if o.MaxPerAddress <= 0 && o.MaxPerUser <= 0 && o.ConnectsPerSecond <= 0 && o.FailedLogins <= 0 && o.ReconnectsPerMinute <= 0 {
		return nil
	}
	setDefault(&o.LoginWait, time.Second)
	setDefault(&o.LoginMaxWait, time.Minute)
	setDefault(&o.LoginForgiven, 15*time.Minute)
	setDefault(&o.ReconnectWait, 10*time.Second)
	setDefault(&o.PrefixV4, 32)
	setDefault(&o.PrefixV6, 64)
	setDefault(&o.MaxRemembered, 1<<16)
	g := &Guard{
		options: o, connects: NewRate(o.ConnectsPerSecond, o.ConnectBurst),
		returns: NewRate(float64(o.ReconnectsPerMinute)/60, o.ReconnectsPerMinute), seed: maphash.MakeSeed(),
	}
	for i := range g.stripes {
		s := &g.stripes[i]
		s.open, s.users = make(map[netip.Addr]int), make(map[string]int)
		s.known.most, s.clients.most = max(o.MaxRemembered/stripes, 1), max(o.MaxRemembered/stripes, 1)
	}
	return g
}

func setDefault[T ~int | ~int64](field *T, fallback T) {
	if *field <= 0 {
		*field = fallback
	}
}

// Arrive counts a connection that has come. If it says None, Leave must be called when the connection is gone.
func (g *Guard) Arrive(remote string, now int64) Limit {
	key, counts := g.key(remote)
	if !counts {
		return None
	}
	s := g.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if most := g.options.MaxPerAddress; most > 0 && s.open[key] >= most {
		return AddressConnections
	}
	if g.options.ConnectsPerSecond > 0 {
		a := s.known.find(key)
		if !g.connects.Take(&a.connects, now, 1) {
			return AddressRate
		}
		s.known.keep(key, a)
	}
	if g.options.MaxPerAddress > 0 {
		s.open[key]++
	}
	return None
}

// Leave takes a connection away that Arrive let pass.
func (g *Guard) Leave(remote string) {
	key, counts := g.key(remote)
	if !counts || g.options.MaxPerAddress <= 0 {
		return
	}
	s := g.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	decrement(s.open, key)
}

// Login tells whether the credentials of a client from an address may be looked at.
func (g *Guard) Login(remote string, now int64) Limit {
	key, counts := g.key(remote)
	if !counts || g.options.FailedLogins <= 0 {
		return None
	}
	s := g.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.known.find(key)
	if now >= a.until {
		return None
	}
	s.known.keep(key, a) // that others come meanwhile must not make it forgotten
	return FailedLogins
}

// LoginFailed notes that credentials from an address were wrong.
func (g *Guard) LoginFailed(remote string, now int64) {
	key, counts := g.key(remote)
	if !counts || g.options.FailedLogins <= 0 {
		return
	}
	o := &g.options
	s := g.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.known.find(key)
	if now-a.last > int64(o.LoginForgiven) {
		a.failures = 0
	}
	a.failures++
	a.last = now
	if beyond := a.failures - o.FailedLogins; beyond >= 0 {
		a.until = now + int64(min(o.LoginWait<<min(beyond, 30), o.LoginMaxWait))
	}
	s.known.keep(key, a)
}

// Return counts a connection of a client identifier from an address.
func (g *Guard) Return(id, remote string, now int64) Limit {
	if _, counts := g.key(remote); !counts || g.options.ReconnectsPerMinute <= 0 {
		return None
	}
	key := maphash.String(g.seed, id)
	s := &g.stripes[key%stripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients.find(key)
	if now < c.until {
		return Reconnects
	}
	limit := None
	if !g.returns.Take(&c.returns, now, 1) {
		c.until, limit = now+int64(g.options.ReconnectWait), Reconnects
	}
	s.clients.keep(key, c)
	return limit
}

// Enter counts a connection of a user. Instead is how many of the user's connections end for it. If it says None, Exit
// must be called when the connection is gone.
func (g *Guard) Enter(user string, instead int) Limit {
	if g == nil || g.options.MaxPerUser <= 0 || user == "" {
		return None
	}
	s := &g.stripes[maphash.String(g.seed, user)%stripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users[user]-instead >= g.options.MaxPerUser {
		return UserConnections
	}
	s.users[user]++
	return None
}

// Exit takes a connection of a user away that Enter let pass.
func (g *Guard) Exit(user string) {
	if g == nil || g.options.MaxPerUser <= 0 || user == "" {
		return
	}
	s := &g.stripes[maphash.String(g.seed, user)%stripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	decrement(s.users, user)
}

func decrement[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

func (g *Guard) stripe(key netip.Addr) *stripe {
	return &g.stripes[maphash.Comparable(g.seed, key)%stripes]
}

// key is the address that a remote counts as; counts is false for one that is exempt.
func (g *Guard) key(remote string) (key netip.Addr, counts bool) {
	if g == nil {
		return key, false
	}
	addr, ok := parse(remote)
	if !ok {
		return key, false
	}
	for _, p := range g.options.Exempt {
		if p.Contains(addr) {
			return key, false
		}
	}
	bits := g.options.PrefixV6
	if addr.Is4() {
		bits = g.options.PrefixV4
	}
	p, err := addr.Prefix(min(bits, addr.BitLen()))
	return p.Addr(), err == nil
}

func parse(remote string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	addr, err := netip.ParseAddr(remote)
	return addr.Unmap().WithZone(""), err == nil
}
