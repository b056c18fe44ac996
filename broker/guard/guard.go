// Package guard counts connections, traffic and failed logins by address, user and client identifier, and reports
// when a limit is exceeded. Callers enforce the limits; the package knows nothing of MQTT.
package guard

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Options are the limits. Zero or less means no limit.
type Options struct {
	MaxPerAddress int // connections of an address at once
	MaxHalfOpen   int // of them, those without a successful CONNECT
	MaxPerUser    int // connections of a user at once, over all addresses; anonymous clients are not counted

	ConnectsPerSecond float64 // of an address
	ConnectBurst      int     // connections at once before the rate applies; at least 1

	// Limits on the traffic of all connections of an address together.
	MessagesPerSecond float64
	MessageBurst      int // messages at once before the rate applies; default: those of one second
	BytesPerSecond    float64
	ByteBurst         int // likewise

	// FailedLogins is the number of failed logins of a user from an address before the next one has to wait. Each
	// further failure doubles the wait. Multiples of it bound an address and a user in all: see Attempt.
	FailedLogins  int
	LoginWait     time.Duration // the first wait; 1 s
	LoginMaxWait  time.Duration // the longest wait; 1 min
	LoginForgiven time.Duration // failures older than this are forgotten; 15 min

	ReconnectsPerMinute int           // unclean ends of a client identifier's connections, and as many at once
	ReconnectWait       time.Duration // wait of a client that exceeds that rate; 10 s

	PrefixV4, PrefixV6 int            // leading bits of an IP address that identify its network; 32 and 64
	Exempt             []netip.Prefix // networks without any limit but MaxPerUser

	// MaxRemembered bounds the remembered addresses without a connection, client identifiers, users with failed
	// logins, and users with successful logins; 65536 each.
	MaxRemembered int
}

// Limit names an exceeded limit.
type Limit uint8

// The limits. None means that no limit is exceeded.
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

// Guard counts. Its methods are safe for concurrent use. Times are nanoseconds of one monotonic clock. A remote is an
// IP address, with or without a port; any other, such as a unix socket's, is exempt.
type Guard struct {
	rules   atomic.Pointer[rules]
	seed    maphash.Seed
	stripes [stripes]stripe

	lastFailure atomic.Int64 // time of the last failed login; 0: none yet
}

// rules are the compiled Options. They never change.
type rules struct {
	Options
	connects, returns, messages, bytes Rate

	addressFailures, repeatedFailures, userFailures, proofFailures Rate // failed logins
}

const stripes = 64 // shards and listeners rarely wait for each other

// stripe holds the state of a part of the addresses, users and client identifiers.
type stripe struct {
	mu        sync.Mutex // guards the fields below; held for a few map accesses only
	open      map[netip.Addr]*Source
	users     map[string]int
	known     recent[netip.Addr, address]
	clients   recent[uint64, client]
	failures  recent[uint64, failures] // by user, and by user and address
	successes recent[uint64, int64]    // time of the last success of a user at an address, or of a client
}

// address is the history of an address.
type address struct {
	connects        int64 // see Rate
	messages, bytes int64 // see Rate; while no connection is open
	failed, proofs  int64 // see Rate; failed logins by passwords, and by tokens
}

// client is the history of a client identifier.
type client struct {
	returns int64 // a bucket of returns, see Rate
	until   int64 // earliest time of the next connection
}

// New returns a Guard.
func New(o Options) *Guard {
	g := &Guard{seed: maphash.MakeSeed()}
	setDefault(&o.MaxRemembered, 1<<16)
	for i := range g.stripes {
		s := &g.stripes[i]
		s.open, s.users = make(map[netip.Addr]*Source), make(map[string]int)
		most := max(o.MaxRemembered/stripes, 1)
		s.known.limit, s.clients.limit, s.failures.limit, s.successes.limit = most, most, most, most
	}
	g.Set(o)
	return g
}

// Set changes the options, except MaxRemembered. Connections keep their old accounting until Join and JoinUser count
// them again. The traffic of addresses is forgotten, the rest of their history is not.
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

		addressFailures:  NewRate(perSecond(o.LoginWait), addressFactor*o.FailedLogins),
		repeatedFailures: NewRate(perSecond(o.LoginWait), addressFactor*o.FailedLogins/2),
		userFailures:     NewRate(perSecond(o.LoginWait), userFactor*o.FailedLogins),
		proofFailures:    NewRate(perSecond(o.LoginWait), o.FailedLogins),
	})
	for i := range g.stripes {
		g.stripes[i].forgetTraffic()
	}
}

// perSecond converts an interval to a rate.
func perSecond(d time.Duration) float64 { return float64(time.Second) / float64(d) }

// forgetTraffic forgets the traffic of addresses: its debt was computed with another rate.
func (s *stripe) forgetTraffic() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, from := range s.open {
		from.messages.Store(0)
		from.bytes.Store(0)
	}
	for _, known := range []map[netip.Addr]address{s.known.current, s.known.previous} {
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

// Return counts a new connection of a client identifier from an address.
func (g *Guard) Return(id, remote string, now int64) Limit {
	r := g.rules.Load()
	if _, counts := r.network(remote); !counts || r.ReconnectsPerMinute <= 0 {
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

// Goodbye undoes Return for a connection that its client closed with a DISCONNECT: frequent clean reconnects are not
// flapping.
func (g *Guard) Goodbye(id, remote string) {
	r := g.rules.Load()
	if _, counts := r.network(remote); !counts || r.ReconnectsPerMinute <= 0 {
		return
	}
	key := maphash.String(g.seed, id)
	s := &g.stripes[key%stripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients.find(key)
	r.returns.Refund(&c.returns, 1)
	s.clients.keep(key, c)
}

// network returns the network of a remote; counts is false if it is exempt.
func (r *rules) network(remote string) (key netip.Addr, counts bool) {
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
