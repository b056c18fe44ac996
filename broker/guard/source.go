package guard

import (
	"net/netip"
	"sync/atomic"
)

// Source is an address that has connections. One that is nil is not counted: an exempt address, or any while no limit
// of Source is set.
type Source struct {
	// Static after construction.
	g   *Guard
	key netip.Addr

	open, halfOpen  int          // guarded by the mutex of the stripe
	messages, bytes atomic.Int64 // see Rate
}

// counted tells whether the connections of addresses have to be counted.
func (r *rules) counted() bool { return r.MaxHalfOpen > 0 || r.lasting() }

// lasting tells whether they have to be counted for as long as they are open.
func (r *rules) lasting() bool {
	return r.MaxPerAddress > 0 || !r.messages.None() || !r.bytes.None()
}

// Arrive counts a connection that has come, and is half open until Greet. If it says None, Leave must be called when
// the connection is gone.
func (g *Guard) Arrive(remote string, now int64) (*Source, Limit) {
	r := g.rules.Load()
	if !r.counted() && r.connects.None() {
		return nil, None
	}
	key, counts := r.key(remote)
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
	if !r.counted() {
		return nil, None
	}
	from := g.enter(s, key)
	from.halfOpen++
	return from, None
}

// Join counts a connection that is there and no longer half open, whatever the limits are.
func (g *Guard) Join(remote string) *Source {
	r := g.rules.Load()
	if !r.lasting() {
		return nil
	}
	key, counts := r.key(remote)
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

// Greet notes that a connection has said who it is. It returns what counts the connection from then on.
func (from *Source) Greet(now int64) *Source {
	if from == nil {
		return nil
	}
	s := from.g.stripe(from.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	from.halfOpen--
	if from.g.rules.Load().lasting() {
		return from
	}
	from.leave(s, now)
	return nil
}

// Leave takes a connection away that Arrive or Join counted; halfOpen if it was not greeted.
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

// leave takes a connection away; the stripe is locked. What the address still owes is remembered, so that it does not
// get rid of it by closing its connections.
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

// Pay takes messages and bytes that a connection of the address sends off what it may send. It says when they may be
// handled, and which limit makes them wait until then; None: now. Whoever waits has its place in the line, so that
// many connections of an address get their share each. No lock is taken, and what is written to memory that
// shards share is bounded by the rate itself.
func (from *Source) Pay(messages, bytes, now int64) (at int64, reached Limit) {
	r := from.g.rules.Load()
	at = now
	if messages > 0 && !r.messages.None() {
		if next := r.messages.book(&from.messages, now, messages); next > at {
			at, reached = next, AddressMessages
		}
	}
	if !r.bytes.None() {
		if next := r.bytes.book(&from.bytes, now, bytes); next > at {
			at, reached = next, AddressBytes
		}
	}
	return at, reached
}
