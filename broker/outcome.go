package broker

import "github.com/outcry-mqtt/outcry/internal/wire"

// outcome is the result of delivering one message on a shard.
type outcome struct {
	declined int  // sessions that did not get it
	full     bool // a session had no room in its queue
}

// Bits of stored.outcome: results of a message on any shard.
const (
	outcomeTaken uint32 = 1 << iota // a session got it
	outcomeFull                     // a session had no room in its queue
)

// bits returns the outcome of a message for the given number of receivers.
func (o *outcome) bits(receivers int) (b uint32) {
	if o.declined < receivers {
		b |= outcomeTaken
	}
	if o.full {
		b |= outcomeFull
	}
	return b
}

// settleOutcome records the result of a message that was delivered to the given number of sessions.
func (s *shard) settleOutcome(m *message, receivers int) {
	if receivers == 0 {
		return
	}
	b := s.fan.outcome.bits(receivers)
	if m == &s.input.message {
		s.fan.fate |= b
	}
	if m.stored != nil {
		m.stored.outcome.Or(b)
	}
}

// isRefused reports whether no session got a message because queues are full.
func isRefused(outcome uint32) bool { return outcome == outcomeFull }

// turnBack answers a message that no session got because queues are full with 0x97 (MQTT 5 3.4.2.1). An error ends the flow
// of a QoS 2 message: its answer waits until the disk has recorded that the packet identifier is free.
func (a *storedAck) turnBack() (waits bool) {
	c := a.c
	c.acks.held[a.n-c.acks.base].code = wire.QuotaExceeded
	if a.t != wire.TypePubrec {
		return false
	}
	a.ss.unreleased.remove(a.id)
	if a.ss.durable == nil {
		return false
	}
	a.ss.saveNow(savingFlow)
	again := *a
	again.t, again.m = wire.TypePuback, nil // the packet identifier is already released
	t := c.shard.openTxn()
	t.urgent = true
	t.acks = append(t.acks, again)
	return true
}
