package broker

// blockedOutput is the QoS 0 messages that wait for a connection whose socket is full, queued by the policies of their topics and
// limited in number and bytes. While it exists, the connection's output is blocked, and QoS 1 and 2 messages stay in the
// session.
type blockedOutput struct {
	shard    *shard     // static
	items    []delivery // from head; m is nil for an expired message
	head     int
	count    int
	bytes    int
	newest   map[string]int // index in items of the message of each conflated topic
	expiring *expiries      // deadlines of these messages; nil: none expires
	since    int64          // start, on the broker's clock
	wrote    int64          // time of the last write to the socket, on the broker's clock
}

// block marks the connection's output as blocked until its socket is writable again.
func (c *conn) block() {
	if c.output.blocked == nil && c.state == stateOpen {
		c.output.blocked = &blockedOutput{shard: c.shard, since: c.shard.now, wrote: c.shard.now}
		c.shard.stats.parked++
	}
	c.polled.watchWrite, c.output.lagging = true, c.output.lowWater
	c.watch()
}

// queueBlocked queues d for the connection with blocked output.
func (c *conn) queueBlocked(d *delivery) {
	s, p := c.shard, c.output.blocked
	if d.m.expired(s.now) {
		c.session.skip(dropExpired)
		return
	}
	policy := s.topics.of(d.m.topic).policy
	d.m = d.m.ownCopy()
	if policy == Conflate {
		if old, replaced := p.replace(d); replaced {
			c.session.skip(dropConflated)
			if !d.m.retain { // a retained message replaces the old one in a replay, too
				c.session.miss(&old)
			}
			if d.m.expires != 0 {
				c.expectBlocked(p.newest[d.m.topic])
			}
			return
		}
	}
	l, most := &s.b.limits, c.blockedRoom()
	for p.count > 0 && (p.count >= l.MaxParkedMessages || p.bytes+d.m.size() > most) {
		if c.dropExpired() {
			continue
		}
		if policy == Disconnect {
			c.session.lost(dropSlow)
			c.session.miss(d)
			s.doomConn(c, closeSlow)
			return
		}
		p.dropOldest(c.session)
	}
	if d.m.size() > most {
		c.session.lost(dropBlockedFull)
		c.session.miss(d)
		return
	}
	p.add(d, policy)
	if d.m.expires != 0 {
		c.expectBlocked(len(p.items) - 1)
	}
}

// blockedRoom returns the number of bytes of messages that may wait: the limit minus the packets that the socket has not
// taken yet, but at least a quarter of the limit.
func (c *conn) blockedRoom() int {
	most := c.shard.blockedRoom(c.b.limits.MaxParkedBytes)
	return max(most-c.out.wire.len(), most/4)
}

func (p *blockedOutput) add(d *delivery, policy QueuePolicy) {
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
	p.addBytes(d.m.size())
}

// addBytes adds n to the waiting bytes; n may be negative.
func (p *blockedOutput) addBytes(n int) {
	p.bytes += n
	p.shard.countBlocked(n)
}

func (p *blockedOutput) compact() {
	n := copy(p.items, p.items[p.head:])
	clear(p.items[n:])
	p.items = p.items[:n]
	for t, i := range p.newest {
		p.newest[t] = i - p.head
	}
	if p.expiring != nil {
		p.expiring.first += int64(p.head)
	}
	p.head = 0
}

// replace puts the newest message of a conflated topic in place of the waiting one.
func (p *blockedOutput) replace(d *delivery) (old delivery, waits bool) {
	i, waits := p.newest[d.m.topic]
	if !waits {
		return delivery{}, false
	}
	old = p.items[i]
	p.addBytes(d.m.size() - old.m.size())
	p.items[i] = *d
	return old, true
}

func (p *blockedOutput) dropOldest(ss *session) {
	if d, ok := p.pop(); ok {
		ss.lost(dropBlockedFull)
		ss.miss(&d)
	}
}

// pop removes and returns the oldest message.
func (p *blockedOutput) pop() (d delivery, ok bool) {
	if p.count == 0 {
		return delivery{}, false
	}
	for p.items[p.head].m == nil {
		p.head++
	}
	d = p.take(p.head)
	p.head++
	return d, true
}

// take removes and returns the message at index i.
func (p *blockedOutput) take(i int) delivery {
	d := p.items[i]
	p.items[i] = delivery{}
	if newest, conflated := p.newest[d.m.topic]; conflated && newest == i {
		delete(p.newest, d.m.topic)
	}
	p.count--
	p.addBytes(-d.m.size())
	return d
}

// writable continues after the socket was full.
func (c *conn) writable() {
	if c.state == stateLingering {
		c.flush()
		if c.state == stateLingering && c.out.empty() {
			c.polled.watchWrite = false
			c.linger()
		}
		return
	}
	c.polled.watchWrite = false
	c.flush()
	if c.polled.watchWrite || !c.isUp() {
		return // full again, or failed
	}
	c.sendBlocked()
	if !c.polled.watchWrite {
		c.setPause(pauseFull, false)
	}
	c.watch()
}

// sendBlocked sends the waiting messages until the socket is full.
func (c *conn) sendBlocked() {
	s, p := c.shard, c.output.blocked
	if p == nil {
		return
	}
	piece := lowWaterPiece
	for !c.polled.watchWrite && c.isUp() {
		d, ok := p.pop()
		if !ok {
			break
		}
		s.letGo(d.m.size())
		if d.m.expired(s.now) {
			c.session.skip(dropExpired)
		} else if !c.encode(&d, 0, false) {
			c.session.lost(dropTooLarge)
		} else {
			c.session.gotRetained(d.m)
		}
		if c.output.lowWater {
			piece = c.writeLowWater(piece, p.count > 0)
		}
	}
	if !c.polled.watchWrite {
		c.flush()
	}
	if c.polled.watchWrite || !c.isUp() {
		return
	}
	c.blockedSent()
	c.session.listLosses()
	c.session.pump()
}

// dropBlocked counts the waiting messages as dropped because the connection ends.
func (c *conn) dropBlocked() {
	if c.output.blocked == nil {
		return
	}
	s, ss := c.shard, c.session
	s.stats.dropped[dropClosed] += uint64(c.output.blocked.count)
	for c.output.blocked.count > 0 && !ss.ended {
		d, _ := c.output.blocked.pop()
		ss.miss(&d)
	}
	c.blockedSent()
}
