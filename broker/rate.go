package broker

import (
	"github.com/outcry-mqtt/outcry/broker/guard"
	"github.com/outcry-mqtt/outcry/internal/wheel"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// rates are the limits of a client's input.
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

// meter counts the input of a connection with a rate limit of its own or of its address. A client above a limit is not read
// for a while, so TCP slows it down and nothing is lost. Bytes already read wait in conn.input.partial.
type meter struct {
	c               *conn
	messages, bytes int64         // see guard.Rate
	timer           wheel.Timer   // resumes reading
	source          *guard.Source // its address; nil: not counted
	halfOpen        bool          // the client has not identified itself
	paid            bool          // the waiting packet is already counted and may be handled when the timer fires
}

func newMeter(c *conn, source *guard.Source) *meter {
	m := &meter{c: c, source: source}
	m.timer.Owner = m
	return m
}

// setMeter gives an admitted client a meter if one of the limits applies.
func (c *conn) setMeter(source *guard.Source) {
	switch {
	case source == nil && c.b.live.rates.Load().none() && (c.input.meter == nil || c.input.paused&pauseRate == 0):
		c.input.meter = nil
	case c.input.meter == nil:
		c.input.meter = newMeter(c, source)
	default:
		c.input.meter.source = source
	}
}

// takes reports whether a packet may be handled now. If not, it pauses the connection until then. If the client is below its
// own limit and the address is above its limit, the packet is counted at once and waits in the address's queue.
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

// own charges a packet to the client's own limits. If one is reached, it charges nothing and returns the limit and the time
// of the next packet.
func (m *meter) own(messages, bytes int64) (reached limit, next int64) {
	r, now := m.c.b.live.rates.Load(), m.c.shard.now
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
	c.b.limited(reached, c.remote, c.identity.client.ID)
	c.setPause(pauseRate, true)
	c.shard.wheel.Arm(&m.timer, next/int64(tick)+1)
}

// expire handles the input that was read, and then resumes reading.
func (m *meter) Expire(*wheel.Timer) {
	c := m.c
	if c.state != stateOpen {
		return
	}
	c.input.paused &^= pauseRate
	c.input.lastRead = c.shard.now / int64(tick) // the broker did not read: the pause must not count against the keep alive
	c.feed(nil)
	if c.state == stateOpen {
		c.watch()
	}
}
