package broker

import (
	"github.com/outcry-mqtt/outcry/broker/guard"
	"github.com/outcry-mqtt/outcry/broker/wire"
)

// rates are how fast a client may send.
type rates struct {
	messages, bytes guard.Rate
}

func newRates(l *Limits) *rates {
	return &rates{
		messages: guard.NewRate(l.MessageRate, guard.Burst(l.MessageBurst, l.MessageRate)),
		bytes:    guard.NewRate(float64(l.ByteRate), guard.Burst(l.ByteBurst, float64(l.ByteRate))),
	}
}

func (r *rates) none() bool { return r.messages.None() && r.bytes.None() }

// meter is what a connection has sent, where that is limited: for itself, or for its address. A client that sends too fast
// is not read for a while, so that TCP slows it down: it loses nothing. What was read already waits in conn.in.
type meter struct {
	c               *conn
	messages, bytes int64         // see guard.Rate
	timer           timer         // to read on
	source          *guard.Source // its address; nil: that is not counted
	halfOpen        bool          // it has not said who it is
	paid            bool          // the packet that waits is paid for, and may be handled when the timer fires
}

func newMeter(c *conn, source *guard.Source) *meter {
	m := &meter{c: c, source: source}
	m.timer.owner = m
	return m
}

// setMeter measures a client that is in, if there is something to measure.
func (c *conn) setMeter(source *guard.Source) {
	switch {
	case source == nil && c.b.rates.Load().none() && (c.meter == nil || c.paused&pauseRate == 0):
		c.meter = nil
	case c.meter == nil:
		c.meter = newMeter(c, source)
	default:
		c.meter.source = source
	}
}

// takes tells whether a packet may be handled now. If not, the connection is paused until it may. Where its client has
// something left, but not its address, the packet is paid for at once and waits in the address's line.
func (m *meter) takes(t wire.Type, size int) bool {
	if m.paid {
		m.paid = false
		return true
	}
	messages := int64(0)
	if t == wire.TypePublish {
		messages = 1
	}
	if reached, next := m.own(messages, int64(size)); reached != limitNone {
		m.wait(reached, next)
		return false
	}
	if m.source == nil {
		return true
	}
	next, reached := m.source.Pay(messages, int64(size), m.c.shard.now)
	if reached != guard.None {
		m.paid = true
		m.wait(limitOf[reached], next)
		return false
	}
	return true
}

// own takes a packet off what the client may send, unless there is nothing left until next.
func (m *meter) own(messages, bytes int64) (reached limit, next int64) {
	r, now := m.c.b.rates.Load(), m.c.shard.now
	next = now
	if at := r.messages.Next(m.messages); messages > 0 && !r.messages.None() && at > next {
		reached, next = limitMessages, at
	}
	if at := r.bytes.Next(m.bytes); !r.bytes.None() && at > next {
		reached, next = limitBytes, at
	}
	if reached == limitNone {
		r.messages.Take(&m.messages, now, messages)
		r.bytes.Take(&m.bytes, now, bytes)
	}
	return reached, next
}

// wait pauses the connection until next.
func (m *meter) wait(reached limit, next int64) {
	c := m.c
	c.b.limited(reached, c.remote, c.client.ID)
	c.setPause(pauseRate, true)
	c.shard.wheel.arm(&m.timer, next/int64(tick)+1)
}

// expire goes on with what was read, and then reads on.
func (m *meter) expire(*timer) {
	c := m.c
	if c.state != stateOpen {
		return
	}
	c.paused &^= pauseRate
	c.lastRead = c.shard.now / int64(tick) // it was we who did not listen
	c.feed(nil)
	if c.state == stateOpen {
		c.watch()
	}
}
