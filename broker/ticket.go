package broker

import (
	"fmt"
	"sync"
	"time"

	"github.com/outcry-mqtt/outcry/broker/guard"
)

// Ticket is the admission ticket of an accepted connection until it is attached: its place in the count of its address and its
// deadline for CONNECT. Its methods accept nil, for a connection that is not counted before it is attached.
type Ticket struct {
	// Static after construction.
	b     *Broker
	since int64         // time of acceptance, on the broker's clock
	limit time.Duration // time limit for CONNECT, from since

	mu      sync.Mutex // guards the fields below
	counted bool
	source  *guard.Source
	taken   bool // the connection is attached or closed
}

// Admit counts an accepted connection before any of its bytes are read. Remote is the peer's address, host:port; empty if the
// peer is a proxy and the client's address is not known yet: see From. On ErrTooManyConnections the caller must close the
// connection at once. Otherwise the caller passes the ticket to Attach in Conn.Ticket, or calls Leave.
func (b *Broker) Admit(remote string) (*Ticket, error) {
	p := &Ticket{b: b, since: b.clock.now(), limit: b.limits.ConnectTimeout}
	if remote == "" {
		return p, nil
	}
	return p, p.From(remote)
}

// From counts the connection for an address that was unknown when it was accepted. The error is ErrTooManyConnections, or
// ErrClosed if the connection has left.
func (p *Ticket) From(remote string) error {
	if p == nil {
		return nil
	}
	reached, gone := p.count(remote)
	switch {
	case gone:
		return ErrClosed
	case reached != guard.None:
		p.b.limited(limitOf[reached], remote, "")
		return fmt.Errorf("%w (%s)", ErrTooManyConnections, limitLabels[limitOf[reached]])
	}
	return nil
}

// count adds the connection to the count of an address, unless it is already attached or closed.
func (p *Ticket) count(remote string) (reached guard.Limit, gone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken {
		return guard.None, true
	}
	source, reached := p.b.guard.Arrive(remote, p.b.clock.now())
	if reached == guard.None {
		p.source, p.counted = source, true
	}
	return reached, false
}

// Deadline returns the time limit of the connection's CONNECT and of everything before it; the zero time means no limit.
func (p *Ticket) Deadline() time.Time {
	if p == nil || p.limit >= unlimitedTime {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(p.since-p.b.clock.now()) + p.limit)
}

// Leave removes the connection from the counts. It has no effect after Attach or an earlier Leave.
func (p *Ticket) Leave() {
	if p != nil && p.seize() {
		p.source.Leave(true, p.b.clock.now())
	}
}

// seize returns true for the first caller only, which then owns the ticket. Its source does not change any more.
func (p *Ticket) seize() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.taken
	p.taken = true
	return first
}

func (p *Ticket) isCounted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counted
}

// take takes the ticket of a connection that is being attached, and counts the connection if it is not counted yet. It
// returns ErrClosed if the listener has dropped the connection meanwhile.
func (b *Broker) take(l *Conn, remote string) (_ *Ticket, err error) {
	p := l.Ticket
	if p == nil {
		p, err = b.Admit(remote)
	} else if !p.isCounted() {
		err = p.From(remote)
	}
	if err != nil {
		return nil, err
	}
	if !p.seize() {
		return nil, ErrClosed
	}
	return p, nil
}

// use moves the count of the ticket to the connection.
func (c *conn) use(p *Ticket) {
	if p.source != nil {
		c.input.meter = newMeter(c, p.source)
		c.input.meter.halfOpen = true
	}
	c.identity.expires = after(p.since, p.limit)
}

// greet notes that the client has identified itself.
func (c *conn) greet() {
	if m := c.input.meter; m != nil && m.halfOpen {
		m.halfOpen = false
		m.source = m.source.Greet(c.shard.now)
	}
}

// leaveAddress removes the connection from the count of its address.
func (c *conn) leaveAddress() {
	if m := c.input.meter; m != nil {
		m.source.Leave(m.halfOpen, c.b.clock.now())
		m.source, m.halfOpen = nil, false
	}
}
