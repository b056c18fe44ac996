// Package guard counts what comes from where: connections of an address and what they send, failed logins, clients that
// come back too often. It says when there is too much of it, and holds nobody up itself; it knows nothing of MQTT.
package guard

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Options say how much is too much. A limit that is zero or less is none.
type Options struct {
	MaxPerAddress int // connections of an address at once
	MaxHalfOpen   int // of them, those that have not said who they are
	MaxPerUser    int // connections of a user at once, over all addresses; anonymous clients are nobody's

	ConnectsPerSecond float64 // of an address
	ConnectBurst      int     // connections that may come at once, before that rate holds; at least 1

	// What all connections of an address together may send.
	MessagesPerSecond float64
	MessageBurst      int // messages at once, before that rate holds; what a second brings
	BytesPerSecond    float64
	ByteBurst         int // likewise

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
	AddressHalfOpen
	AddressRate
	AddressMessages
	AddressBytes
	FailedLogins
	UserConnections
	Reconnects
)

// Guard counts. Its methods may be called from several goroutines. Times are those of one monotonic clock, in nanoseconds.
// A remote is an IP address, with or without a port; what is none, such as a unix socket, is exempt.
type Guard struct {
	rules   atomic.Pointer[rules]
	seed    maphash.Seed
	stripes [stripes]stripe
}

// rules are Options, ready to be asked. They never change.
type rules struct {
	Options
	connects, returns, messages, bytes Rate
}

const stripes = 64 // so that shards and listeners do not wait for each other

// stripe is what is known of some addresses, users and client identifiers.
type stripe struct {
	mu      sync.Mutex // guards what follows; held for a few map accesses only
	open    map[netip.Addr]*Source
	users   map[string]int
	known   fading[netip.Addr, address]
	clients fading[uint64, client]
}

// address is the history of an address.
type address struct {
	connects        int64 // see Rate
	messages, bytes int64 // see Rate; while no connection is open
	failures        int   // failed logins
	last            int64 // when the last of them was
	until           int64 // when the next login may be
}

// client is the history of a client identifier.
type client struct {
	returns int64 // see Rate
	until   int64 // when it may come back
}

// New returns a Guard.
func New(o Options) *Guard {
	g := &Guard{seed: maphash.MakeSeed()}
	setDefault(&o.MaxRemembered, 1<<16)
	for i := range g.stripes {
		s := &g.stripes[i]
		s.open, s.users = make(map[netip.Addr]*Source), make(map[string]int)
		s.known.most, s.clients.most = max(o.MaxRemembered/stripes, 1), max(o.MaxRemembered/stripes, 1)
	}
	g.Set(o)
	return g
}

// Set changes the options, but for MaxRemembered. Connections are counted as they were when they came, until Join and
// JoinUser count them anew. What addresses have sent is forgotten, the rest of their history is not.
func (g *Guard) Set(o Options) {
	setDefault(&o.LoginWait, time.Second)
	setDefault(&o.LoginMaxWait, time.Minute)
	setDefault(&o.LoginForgiven, 15*time.Minute)
	setDefault(&o.ReconnectWait, 10*time.Second)
	setDefault(&o.PrefixV4, 32)
	setDefault(&o.PrefixV6, 64)
	g.rules.Store(&rules{
		Options:  o,
		connects: NewRate(o.ConnectsPerSecond, o.ConnectBurst),
		returns:  NewRate(float64(o.ReconnectsPerMinute)/60, o.ReconnectsPerMinute),
		messages: NewRate(o.MessagesPerSecond, Burst(o.MessageBurst, o.MessagesPerSecond)),
		bytes:    NewRate(o.BytesPerSecond, Burst(o.ByteBurst, o.BytesPerSecond)),
	})
	for i := range g.stripes {
		g.stripes[i].forgive()
	}
}

// forgive forgets what addresses have sent: it was priced by another rate.
func (s *stripe) forgive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, from := range s.open {
		from.messages.Store(0)
		from.bytes.Store(0)
	}
	for _, known := range []map[netip.Addr]address{s.known.young, s.known.old} {
		for key, a := range known {
			a.messages, a.bytes = 0, 0
			known[key] = a
		}
	}
}

func setDefault[T ~int | ~int64](field *T, fallback T) {
	if *field <= 0 {
		*field = fallback
	}
}

// Login tells whether the credentials of a client from an address may be looked at.
func (g *Guard) Login(remote string, now int64) Limit {
	r := g.rules.Load()
	key, counts := r.key(remote)
	if !counts || r.FailedLogins <= 0 {
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
	r := g.rules.Load()
	key, counts := r.key(remote)
	if !counts || r.FailedLogins <= 0 {
		return
	}
	s := g.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.known.find(key)
	if now-a.last > int64(r.LoginForgiven) {
		a.failures = 0
	}
	a.failures++
	a.last = now
	if beyond := a.failures - r.FailedLogins; beyond >= 0 {
		a.until = now + int64(min(r.LoginWait<<min(beyond, 30), r.LoginMaxWait))
	}
	s.known.keep(key, a)
}

// Return counts a connection of a client identifier from an address.
func (g *Guard) Return(id, remote string, now int64) Limit {
	r := g.rules.Load()
	if _, counts := r.key(remote); !counts || r.ReconnectsPerMinute <= 0 {
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
	if !r.returns.Take(&c.returns, now, 1) {
		c.until, limit = now+int64(r.ReconnectWait), Reconnects
	}
	s.clients.keep(key, c)
	return limit
}

// key is the address that a remote counts as; counts is false for one that is exempt.
func (r *rules) key(remote string) (key netip.Addr, counts bool) {
	addr, ok := parse(remote)
	if !ok {
		return key, false
	}
	for _, p := range r.Exempt {
		if p.Contains(addr) {
			return key, false
		}
	}
	bits := r.PrefixV6
	if addr.Is4() {
		bits = r.PrefixV4
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

func (g *Guard) stripe(key netip.Addr) *stripe {
	return &g.stripes[maphash.Comparable(g.seed, key)%stripes]
}
