package broker

import (
	"sync/atomic"
	"time"
)

// An orderly stop ends each session that does not outlive the process, and so publishes its will (MQTT 5 3.1.2.5). It first
// closes the connections of such sessions with wills, while other clients still receive them, and then all others. Wills of
// persisted sessions are deferred until the next start.

const (
	defaultLastWords = time.Second           // for wills that connections still receive
	lastWordsSlice   = 10 * time.Millisecond // of that, in one turn
)

// lastWords is the first part of a shard's stop.
type lastWords struct {
	sessions []*session // sessions with a will that do not outlive the process
	until    int64      // on the broker's clock
	speaking *atomic.Int32
}

// stopShards stops all shards in order.
func (b *Broker) stopShards() {
	speaking := new(atomic.Int32) // shards that have wills to publish
	speaking.Store(int32(len(b.shards)))
	for _, s := range b.shards {
		s.post(call(func(s *shard) {
			s.finishWills()
			w := &lastWords{until: b.clock.now() + int64(b.options.lastWords), speaking: speaking}
			for _, ss := range s.sessions {
				if ss.will != nil && !ss.outlivesProcess() {
					w.sessions = append(w.sessions, ss)
				}
			}
			w.run(s)
		}))
	}
}

// run does a slice of the work. The last shard to finish lets all shards close the rest. In their inboxes this follows the
// wills' messages.
func (w *lastWords) run(s *shard) {
	if s.sched.ending {
		return
	}
	end := min(s.b.clock.now()+int64(lastWordsSlice), w.until)
	for len(w.sessions) > 0 && s.b.clock.now() < end {
		ss := w.sessions[0]
		w.sessions = w.sessions[1:]
		ss.stop()
		s.relieve()
	}
	s.sendBatches()
	if len(w.sessions) > 0 && s.b.clock.now() < w.until {
		s.post(w)
		return
	}
	if w.speaking.Add(-1) == 0 {
		for _, each := range s.b.shards {
			each.post(call(func(s *shard) { s.end(closeShutdown) }))
		}
	}
}

// outlivesProcess reports whether the session is restored at the next start.
func (ss *session) outlivesProcess() bool { return ss.durable != nil && ss.expiry > 0 }

// stop ends a session that does not outlive the process, unless its client has just sent a DISCONNECT that discards the will.
func (ss *session) stop() {
	c := ss.conn
	if c == nil {
		ss.end()
		return
	}
	if c.hearLast(); ss.conn == c {
		c.close(closeShutdown)
	}
}

// hearLast reads once more: a DISCONNECT that arrived before the stop discards the will [MQTT-3.14.4-3].
func (c *conn) hearLast() {
	if c.state == stateOpen && c.carrier == nil {
		c.readable()
	}
}

// endMortal ends the sessions with a will that do not outlive the process and are still there: the time ran out for their
// wills, or their connections were closed without DISCONNECT. Only retained messages and persisted sessions get these wills.
func (s *shard) endMortal() {
	s.now = s.b.clock.now()
	for _, ss := range s.sessions {
		if ss.will != nil && !ss.outlivesProcess() {
			ss.end()
		}
	}
	s.finishLeaving()
	s.sendBatches()
}
