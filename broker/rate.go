package broker

import (
	"math"

	"github.com/outcry-mqtt/outcry/broker/guard"
	"github.com/outcry-mqtt/outcry/broker/wire"
)

// rates are how fast a client may send.
type rates struct {
	messages, bytes guard.Rate
}

func newRates(l *Limits) rates {
	return rates{
		messages: guard.NewRate(l.MessageRate, burst(l.MessageBurst, l.MessageRate)),
		bytes:    guard.NewRate(float64(l.ByteRate), burst(l.ByteBurst, float64(l.ByteRate))),
	}
}

// burst is what a second brings, unless it is said.
func burst(said int, perSecond float64) int {
	if said > 0 {
		return said
	}
	return int(min(math.Ceil(max(perSecond, 0)), 1<<40))
}

func (r *rates) none() bool { return r.messages.None() && r.bytes.None() }

// meter is what a connection has sent, where that is limited. A client that sends too fast is not read for a while, so
// that TCP slows it down: it loses nothing. What was read already waits in conn.in.
type meter struct {
	c               *conn
	messages, bytes int64 // see guard.Rate
	timer           timer // to read on
}

// setMeter begins to measure a client that has come in.
func (c *conn) setMeter() {
	if !c.b.rates.none() {
		c.meter = &meter{c: c}
		c.meter.timer.owner = c.meter
	}
}

// takes tells whether a packet may be handled now. If not, the connection is paused until it may.
func (m *meter) takes(t wire.Type, size int) bool {
	c, r := m.c, &m.c.b.rates
	now := c.shard.now
	reached, next := limitNone, now
	if at := r.messages.Next(m.messages); t == wire.TypePublish && at > next {
		reached, next = limitMessages, at
	}
	if at := r.bytes.Next(m.bytes); at > next {
		reached, next = limitBytes, at
	}
	if reached != limitNone {
		c.b.limited(reached, c.remote, c.client.ID)
		c.setPause(pauseRate, true)
		c.shard.wheel.arm(&m.timer, next/int64(tick)+1)
		return false
	}
	if t == wire.TypePublish {
		r.messages.Take(&m.messages, now, 1)
	}
	r.bytes.Take(&m.bytes, now, int64(size))
	return true
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
