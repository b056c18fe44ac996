package guard

import (
	"net/netip"
	"sync/atomic"
)

// Source is an address with connections. A nil Source is not counted: the address is exempt, or no limit needs the
// count.
type Source struct {
	// Static after construction.
	g   *Guard
	key netip.Addr

	open, halfOpen  int          // guarded by the mutex of the stripe
	messages, bytes atomic.Int64 // see Rate
}

// countsSources reports whether connections are counted by address.
func (r *rules) countsSources() bool { return r.MaxHalfOpen > 0 || r.countsOpen() }

// countsOpen reports whether they are counted until they close, not only while half open.
func (r *rules) countsOpen() bool {
	return r.MaxPerAddress > 0 || !r.messages.None() || !r.bytes.None()
}

// Arrive counts a new connection, half open until Greet. If it returns None, call Leave when the connection is
// closed.
func (g *Guard) Arrive(remote string, now int64) (*Source, Limit) {
	r := g.rules.Load()
	if !r.countsSources() && r.connects.None() {
		return nil, None
	}
	key, counts := r.network(remote)
	if !counts {
		return nil, None
	}
	s := g.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if from := s.open[key]; from != nil {
		switch {
		case r.MaxPerAddress > 0 && from.open >= r.MaxPerAddress:
			return nil, AddressConnections
		case r.MaxHalfOpen > 0 && from.halfOpen >= r.MaxHalfOpen:
			return nil, AddressHalfOpen
		}
	}
	if !r.connects.None() {
		a := s.known.find(key)
		if !r.connects.Take(&a.connects, now, 1) {
			return nil, AddressRate
		}
		s.known.keep(key, a)
	}
	if !r.countsSources() {
		return nil, None
	}
	from := g.enter(s, key)
	from.halfOpen++
	return from, None
}

// Join counts an established connection, whatever the limits are.
func (g *Guard) Join(remote string) *Source {
	r := g.rules.Load()
	if !r.countsOpen() {
		return nil
	}
	key, counts := r.network(remote)
	if !counts {
		return nil
	}
	s := g.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return g.enter(s, key)
}

// enter counts a connection; the stripe is locked.
func (g *Guard) enter(s *stripe, key netip.Addr) *Source {
	from := s.open[key]
	if from == nil {
		from = &Source{g: g, key: key}
		a := s.known.find(key)
		from.messages.Store(a.messages)
		from.bytes.Store(a.bytes)
		s.open[key] = from
	}
	from.open++
	return from
}

// Greet marks a connection as established. It returns the Source that counts it from now on.
func (from *Source) Greet(now int64) *Source {
	if from == nil {
		return nil
	}
	s := from.g.stripe(from.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	from.halfOpen--
	if from.g.rules.Load().countsOpen() {
		return from
	}
	from.leave(s, now)
	return nil
}

// Leave removes a connection counted by Arrive or Join; halfOpen if it was not greeted.
func (from *Source) Leave(halfOpen bool, now int64) {
	if from == nil {
		return
	}
	s := from.g.stripe(from.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if halfOpen {
		from.halfOpen--
	}
	from.leave(s, now)
}

// leave removes a connection; the stripe is locked. The address's debt is remembered, so that closing its connections
// does not clear it.
func (from *Source) leave(s *stripe, now int64) {
	if from.open--; from.open > 0 {
		return
	}
	delete(s.open, from.key)
	messages, bytes := from.messages.Load(), from.bytes.Load()
	if messages <= now && bytes <= now {
		return
	}
	a := s.known.find(from.key)
	a.messages, a.bytes = messages, bytes
	s.known.keep(from.key, a)
}

// Pay charges messages and bytes received from a connection of the address. It returns the time at which they may be
// handled, and the limit that delays them; None: now. Each payment reserves its own time, so that many connections of
// an address share the rate. Pay takes no lock; the rate itself bounds the writes to memory that shards share.
func (from *Source) Pay(messages, bytes, now int64) (at int64, reached Limit) {
	r := from.g.rules.Load()
	at = now
	if messages > 0 && !r.messages.None() {
		if next := r.messages.reserve(&from.messages, now, messages); next > at {
			at, reached = next, AddressMessages
		}
	}
	if !r.bytes.None() {
		if next := r.bytes.reserve(&from.bytes, now, bytes); next > at {
			at, reached = next, AddressBytes
		}
	}
	return at, reached
}
