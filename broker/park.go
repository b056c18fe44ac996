package broker

// parking is the QoS 0 messages that wait for a connection whose socket is full, by the policy of their topics and
// bounded in number and bytes. While it exists the connection is parked: QoS 1 and 2 messages stay in the session.
type parking struct {
	items  []delivery // from head; m is nil where one was dropped
	head   int
	count  int
	bytes  int
	newest map[string]int // for topics that are conflated: the place of their message
	since  int64          // on the broker's clock
	wrote  int64          // when the socket took something last
}

// block parks the connection until its socket can be written to again.
func (c *conn) block() {
	if c.parked == nil && c.state == stateOpen {
		c.parked = &parking{since: c.shard.now, wrote: c.shard.now}
		c.shard.stats.parked++
	}
	c.watchWrite, c.lagging = true, c.shallow
	c.watch()
}

// park has a message wait.
func (c *conn) park(d *delivery) {
	s, p := c.shard, c.parked
	policy := s.routeOf(d.m.topic).policy
	d.m = d.m.keep()
	if policy == Conflate && p.replace(d) {
		c.session.skip(dropConflated)
		return
	}
	l := &s.b.limits
	for p.count > 0 && (p.count >= l.MaxParkedMessages || p.bytes+d.m.size() > l.MaxParkedBytes) {
		if policy == Disconnect {
			c.session.lost(dropSlow)
			s.doomConn(c, closeSlow)
			return
		}
		p.dropOldest(c.session)
	}
	if d.m.size() > l.MaxParkedBytes {
		c.session.lost(dropParkedFull)
		return
	}
	p.add(d, policy)
}

func (p *parking) add(d *delivery, policy QueuePolicy) {
	if p.head > 64 && p.head*2 > len(p.items) {
		p.compact()
	}
	if policy == Conflate {
		if p.newest == nil {
			p.newest = make(map[string]int)
		}
		p.newest[d.m.topic] = len(p.items)
	}
	p.items = append(p.items, *d)
	p.count++
	p.bytes += d.m.size()
}

// compact moves everything to the front.
func (p *parking) compact() {
	n := copy(p.items, p.items[p.head:])
	clear(p.items[n:])
	p.items = p.items[:n]
	for t, i := range p.newest {
		p.newest[t] = i - p.head
	}
	p.head = 0
}

// replace puts the newest message of a conflated topic in the place of the one that waits.
func (p *parking) replace(d *delivery) bool {
	i, waits := p.newest[d.m.topic]
	if !waits {
		return false
	}
	p.bytes += d.m.size() - p.items[i].m.size()
	p.items[i] = *d
	return true
}

func (p *parking) dropOldest(ss *session) {
	if _, ok := p.pop(); ok {
		ss.lost(dropParkedFull)
	}
}

// pop takes the oldest message.
func (p *parking) pop() (d delivery, ok bool) {
	if p.count == 0 {
		return delivery{}, false
	}
	d = p.items[p.head]
	p.items[p.head] = delivery{}
	if i, conflated := p.newest[d.m.topic]; conflated && i == p.head {
		delete(p.newest, d.m.topic)
	}
	p.head++
	p.count--
	p.bytes -= d.m.size()
	return d, true
}

// writable goes on where the socket was full.
func (c *conn) writable() {
	if c.state == stateLingering {
		c.flush()
		if c.state == stateLingering && c.out.empty() {
			c.watchWrite = false
			c.linger()
		}
		return
	}
	c.watchWrite = false
	c.flush()
	if c.watchWrite || c.state != stateOpen {
		return // full again, or failed
	}
	c.unpark()
	if !c.watchWrite {
		c.setPause(pauseFull, false)
	}
	c.watch()
}

// unpark sends what has waited, as long as the socket takes it.
func (c *conn) unpark() {
	s, p := c.shard, c.parked
	if p == nil {
		return
	}
	piece := shallowPiece
	for !c.watchWrite && c.state == stateOpen {
		d, ok := p.pop()
		if !ok {
			break
		}
		if d.m.expired(s.now) {
			c.session.skip(dropExpired)
		} else if !c.encode(&d, 0, false) {
			c.session.lost(dropTooLarge)
		}
		if c.shallow {
			piece = c.sip(piece, p.count > 0)
		}
	}
	if !c.watchWrite {
		c.flush()
	}
	if c.watchWrite || c.state != stateOpen {
		return
	}
	c.parked = nil
	s.stats.parked--
	c.session.pump()
}

// dropParked counts what will not be sent because the connection ends.
func (c *conn) dropParked() {
	if c.parked == nil {
		return
	}
	s := c.shard
	s.stats.dropped[dropClosed] += uint64(c.parked.count)
	s.stats.parked--
	c.parked = nil
}
