package broker

// SetLimits changes, while the broker runs, MaxConnections, how fast clients may send, and Guard but for its
// MaxRemembered. The other fields of l are not looked at. Connections that are there count for the new limits when it
// returns, and none of them is closed for it. It waits for a turn of every shard, so no hook may call it.
func (b *Broker) SetLimits(l Limits) {
	l.setDefaults()
	b.guard.Set(l.Guard)
	b.setLimits(&l)
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.state != stateRunning {
		return
	}
	for _, s := range b.shards {
		done := make(chan struct{})
		if s.post(call(func(s *shard) { s.recount(); close(done) })) {
			<-done
		}
	}
}

func (b *Broker) setLimits(l *Limits) {
	b.rates.Store(newRates(l))
	b.maxConnections.Store(int64(l.MaxConnections))
}

// recount counts every connection as the limits are now. Those on their way to another shard follow when they are let in.
func (s *shard) recount() {
	for _, c := range s.conns {
		if c != nil && c.state == stateOpen {
			c.leaveAddress()
			c.joinAddress()
			c.meter.renew()
			if !c.countedUser {
				c.countedUser = s.b.guard.JoinUser(c.client.Identity.User)
			}
		}
	}
}

// renew forgets what the client has sent up to now. One that is paused looks again whether it has to be.
func (m *meter) renew() {
	if m == nil {
		return
	}
	m.messages, m.bytes = 0, 0
	if m.c.paused&pauseRate != 0 {
		m.c.shard.wheel.arm(&m.timer, m.c.shard.now/int64(tick)+1)
	}
}

// joinAddress counts a client that is in among those of its address, if that is not done, and measures what it sends.
func (c *conn) joinAddress() {
	if c.meter == nil || c.meter.source == nil {
		c.setMeter(c.b.guard.Join(c.remote))
	}
}
