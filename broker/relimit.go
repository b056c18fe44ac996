package broker

// SetLimits changes these limits while the broker runs: MaxConnections, the limits of sessions and subscriptions per user and
// in total (MaxSessions to MaxSubscriptionBytes), the rates of clients, and Guard without its MaxRemembered. It ignores the
// other fields of l. When it returns, open connections count for the new limits; it closes none of them. It waits for a turn
// of every shard, so no hook may call it.
func (b *Broker) SetLimits(l Limits) {
	l.setDefaults()
	b.guard.Set(l.Guard)
	b.setLimits(&l)
	b.life.mu.RLock()
	defer b.life.mu.RUnlock()
	if b.life.state != stateRunning {
		return
	}
	for _, s := range b.shards {
		s.await((*shard).recount)
	}
}

func (b *Broker) setLimits(l *Limits) {
	b.live.rates.Store(newRates(l))
	b.live.maxConnections.Store(int64(l.MaxConnections))
	b.usages.limits.Store(l)
}

// recount counts every connection under the new limits. Connections on their way to another shard follow when they are admitted.
func (s *shard) recount() {
	for _, c := range s.conns.slots {
		if c != nil && c.state == stateOpen {
			c.leaveAddress()
			c.joinAddress()
			c.input.meter.renew()
			if !c.identity.counted {
				c.identity.counted = s.b.guard.JoinUser(c.identity.client.Identity.User)
			}
		}
	}
}

// renew resets the client's counts. A paused connection checks its limits again.
func (m *meter) renew() {
	if m == nil {
		return
	}
	m.messages, m.bytes = 0, 0
	if m.c.input.paused&pauseRate != 0 {
		m.c.shard.wheel.Arm(&m.timer, m.c.shard.now/int64(tick)+1)
	}
}

// joinAddress counts an admitted client for its address, unless it is counted already, and gives it a meter.
func (c *conn) joinAddress() {
	if c.input.meter == nil || c.input.meter.source == nil {
		c.setMeter(c.b.guard.Join(c.remote))
	}
}
