package listeners

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
)

// heavyShare is the number of places above which an address counts as heavy.
const heavyShare = 4

// places bounds the connections in one stage before MQTT, and shares them fairly among addresses: while all are
// taken, an address with few evicts the oldest connection of the address with most. So a few addresses with many
// silent connections block nobody else.
type places struct {
	most  int
	freed chan struct{} // signals that a place may be free

	mu        sync.Mutex // guards the fields below
	taken     int
	addresses map[netip.Addr]*list.List // of *place, the oldest first
}

// place is held by a connection until it is released or evicted.
type place struct {
	of      *places
	from    netip.Addr    // guarded by of.mu, as is element
	element *list.Element // nil: the place is no longer held
	evict   func()        // closes the connection; must not wait for the place's holder
}

func newPlaces(most int) *places {
	return &places{most: most, freed: make(chan struct{}, 1), addresses: map[netip.Addr]*list.List{}}
}

// verdict is the answer to a connection that needs a place.
type verdict uint8

const (
	granted verdict = iota
	waits           // until a place is free
	refused         // its address holds its share
)

// enter takes a place for a connection from an address; close evicts it. While only light addresses, or this one
// alone, hold all places, enter waits until one is free or closing is closed. It returns nil after closing, or if the
// address holds its share.
func (p *places) enter(address netip.Addr, close func(), closing <-chan struct{}) *place {
	for {
		pl, v := p.try(address, close)
		if v != waits {
			return pl
		}
		select {
		case <-p.freed:
		case <-closing:
			return nil
		}
	}
}

// try is enter without waiting.
func (p *places) try(address netip.Addr, close func()) (*place, verdict) {
	p.mu.Lock()
	evict := func() {}
	if p.taken >= p.most {
		own, heaviest := p.held(address), p.heaviest()
		switch {
		case heaviest.Len() > own+heavyShare:
			victim := heaviest.Front().Value.(*place)
			evict = victim.evict
			p.remove(victim)
		case own > heavyShare && len(p.addresses) > 1:
			p.mu.Unlock()
			return nil, refused
		default:
			p.mu.Unlock()
			return nil, waits
		}
	}
	pl := &place{of: p, evict: close}
	p.add(pl, address)
	p.mu.Unlock()
	evict()
	return pl, granted
}

// use sets the function that closes the connection. A connection evicted before is closed already.
func (pl *place) use(evict func()) {
	pl.of.mu.Lock()
	defer pl.of.mu.Unlock()
	pl.evict = evict
}

// held returns the number of places of an address.
func (p *places) held(address netip.Addr) int {
	if l := p.addresses[address]; l != nil {
		return l.Len()
	}
	return 0
}

// heaviest returns the places of the address with most; all places are taken.
func (p *places) heaviest() *list.List {
	most := new(list.List)
	for _, l := range p.addresses {
		if l.Len() > most.Len() {
			most = l
		}
	}
	return most
}

func (p *places) add(pl *place, address netip.Addr) {
	l := p.addresses[address]
	if l == nil {
		l = list.New()
		p.addresses[address] = l
	}
	pl.from, pl.element = address, l.PushBack(pl)
	p.taken++
}

func (p *places) remove(pl *place) {
	l := p.addresses[pl.from]
	l.Remove(pl.element)
	if pl.element = nil; l.Len() == 0 {
		delete(p.addresses, pl.from)
	}
	p.taken--
}

// release frees the place. It returns false if the connection was evicted or has released it before. It may be called
// on nil.
func (pl *place) release() bool {
	if pl == nil {
		return false
	}
	p := pl.of
	p.mu.Lock()
	defer p.mu.Unlock()
	if pl.element == nil {
		return false
	}
	p.remove(pl)
	select {
	case p.freed <- struct{}{}:
	default:
	}
	return true
}

// address returns the holder's address.
func (pl *place) address() netip.Addr {
	pl.of.mu.Lock()
	defer pl.of.mu.Unlock()
	return pl.from
}

// move assigns the place to another address: a proxy's client. It may be called on nil.
func (pl *place) move(address netip.Addr) {
	if pl == nil {
		return
	}
	p := pl.of
	p.mu.Lock()
	defer p.mu.Unlock()
	if pl.element != nil {
		p.remove(pl)
		p.add(pl, address)
	}
}

// addressOf returns the address that a peer's connections count for: its IPv4 address, or the network of its IPv6
// address, all of which the peer may own.
func addressOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return networkOf(tcp.AddrPort().Addr())
}

func networkOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		network, _ := a.Prefix(64) // cannot fail for a valid address
		return network.Addr()
	}
	return a
}
