package broker

import (
	"fmt"
	"sync"
	"time"

	"github.com/outcry-mqtt/outcry/broker/guard"
)

// Pass is what a connection has that a listener has accepted, until it is attached: its place among those of its
// address, and the time until which its CONNECT must be there. The methods may be called on nil, which is a connection
// that is not counted before it is attached.
type Pass struct {
	// Static after construction.
	b     *Broker
	since int64         // on the broker's clock
	limit time.Duration // for CONNECT, from there

	mu      sync.Mutex // guards what follows
	counted bool
	source  *guard.Source
	taken   bool // it is attached, or gone
}

// Enter counts a connection when it is accepted, before anything of it is read. Remote is the peer's address, host:port;
// empty if that is a proxy's and who is behind it is not known yet: see From. The error is ErrTooManyConnections:
// then it is to be closed at once. Otherwise it is to be given to Attach in Link.Pass, or to end with Leave.
func (b *Broker) Enter(remote string) (*Pass, error) {
	p := &Pass{b: b, since: b.clock.now(), limit: b.limits.ConnectTimeout}
	if remote == "" {
		return p, nil
	}
	return p, p.From(remote)
}

// From counts the connection for an address that was not known when it was accepted. The error is
// ErrTooManyConnections, or ErrClosed if it has left.
func (p *Pass) From(remote string) error {
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

// count makes the connection one of an address, unless it is gone.
func (p *Pass) count(remote string) (reached guard.Limit, gone bool) {
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

// Deadline is when the broker gives up waiting for the connection's CONNECT, and with it for everything that comes
// before; the zero time if it never does.
func (p *Pass) Deadline() time.Time {
	if p == nil || p.limit >= unlimitedTime {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(p.since-p.b.clock.now()) + p.limit)
}

// Leave takes the connection away that Enter counted. It has no effect once it was given to Attach, or has left.
func (p *Pass) Leave() {
	if p != nil && p.seize() {
		p.source.Leave(true, p.b.clock.now())
	}
}

// seize makes whoever asks first the one who has the pass. Its source does not change any more.
func (p *Pass) seize() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.taken
	p.taken = true
	return first
}

func (p *Pass) isCounted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counted
}

// take takes over the pass of a connection that is attached, and counts it if nobody has yet. It is ErrClosed if the
// listener has given the connection up meanwhile.
func (b *Broker) take(l *Link, remote string) (_ *Pass, err error) {
	p := l.Pass
	if p == nil {
		p, err = b.Enter(remote)
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

// use makes a pass the connection's own.
func (c *conn) use(p *Pass) {
	if p.source != nil {
		c.meter = newMeter(c, p.source)
		c.meter.halfOpen = true
	}
	c.expires = p.since + int64(min(p.limit, unlimitedTime-time.Duration(p.since)))
}

// greet notes that the peer has said who it is.
func (c *conn) greet() {
	if m := c.meter; m != nil && m.halfOpen {
		m.halfOpen = false
		m.source = m.source.Greet(c.shard.now)
	}
}

// leaveAddress takes the connection away from those of its address.
func (c *conn) leaveAddress() {
	if m := c.meter; m != nil {
		m.source.Leave(m.halfOpen, c.b.clock.now())
		m.source, m.halfOpen = nil, false
	}
}
