package broker

// expectBlocked records the deadline of the waiting message at index i.
func (c *conn) expectBlocked(i int) {
	p := c.output.blocked
	if p.expiring == nil {
		p.expiring = &expiries{most: minExpiries}
		p.expiring.timer.Owner = c
	}
	e, at := p.expiring, p.items[i].m.expires
	e.heap.push(at, e.first+int64(i))
	if len(e.heap) > e.most {
		p.renewExpiries()
	}
	c.shard.armFor(&e.timer, at)
}

// reap drops waiting messages that have expired.
func (c *conn) reap(s *shard) (more bool) {
	for range reapBatch {
		if !c.dropExpired() {
			break
		}
	}
	if c.output.blocked == nil || c.output.blocked.expiring == nil {
		return false
	}
	e := c.output.blocked.expiring
	if len(e.heap) > 0 && !e.heap.isDue(s.now) {
		s.armFor(&e.timer, e.heap[0].at)
	}
	return e.heap.isDue(s.now)
}

// dropExpired drops the expired message with the earliest deadline, unless it has been sent already. It returns false if none is due.
func (c *conn) dropExpired() bool {
	p := c.output.blocked
	if p == nil || p.expiring == nil || !p.expiring.heap.isDue(c.shard.now) {
		return false
	}
	one := p.expiring.heap.pop()
	i := int(one.item - p.expiring.first)
	if i < p.head || p.items[i].m == nil || p.items[i].m.expires != one.at {
		return true
	}
	p.take(i)
	c.session.skip(dropExpired)
	if holes := len(p.items) - p.head - p.count; holes > minExpiries && holes > p.count {
		p.renewExpiries()
	}
	return true
}

// renewExpiries removes the holes between the messages and the stale deadlines.
func (p *blockedOutput) renewExpiries() {
	p.closeHoles()
	e := p.expiring
	if e == nil {
		return
	}
	e.heap = e.heap[:0]
	for i := range p.items {
		if at := p.items[i].m.expires; at != 0 {
			e.heap = append(e.heap, due[int64]{at, e.first + int64(i)})
		}
	}
	e.heap.order()
	e.most = max(2*len(e.heap), p.count, minExpiries)
}

// closeHoles moves the messages to the front and removes the holes.
func (p *blockedOutput) closeHoles() {
	live := p.items[:0]
	for i := p.head; i < len(p.items); i++ {
		d := p.items[i]
		if d.m == nil {
			continue
		}
		if newest, conflated := p.newest[d.m.topic]; conflated && newest == i {
			p.newest[d.m.topic] = len(live)
		}
		live = append(live, d)
	}
	clear(p.items[len(live):])
	if p.expiring != nil {
		p.expiring.first += int64(len(p.items)) // no index is used again
	}
	p.items, p.head = live, 0
}

// blockedSent ends the blocked output and its deadlines.
func (c *conn) blockedSent() {
	if e := c.output.blocked.expiring; e != nil {
		c.shard.wheel.Stop(&e.timer)
	}
	c.shard.stats.parked--
	c.shard.letGo(c.output.blocked.bytes)
	c.output.blocked.addBytes(-c.output.blocked.bytes)
	c.output.blocked = nil
}
