package broker

import (
	"maps"

	"github.com/outcry-mqtt/outcry/broker/topic"
)

// mostMissed is the largest number of missed topics that a session notes by name. Beyond it, or while it is offline, the
// session notes only the serial from which retained messages must be sent again.
const mostMissed = 128

// missed is the retained messages of a session that were dropped when published or during a replay. When the client can take
// messages again, it is sent the messages that are retained then.
type missed struct {
	topics map[string]missedTopic
	behind bool   // more was missed than topics holds
	since  uint64 // if behind: the serial of the oldest missed message; 0: unknown, all retained messages
	qos    byte   // if behind: the highest QoS of the missed messages
}

// missedTopic is the newest dropped message of a topic.
type missedTopic struct {
	serial  uint64
	qos     byte     // for delivery
	removal *message // removal of the retained message, to be sent to the client; nil: it was not removed
}

// misses reports whether dropped retained messages must still be sent to the session.
func (ss *session) misses() bool { return ss.losses != nil && ss.losses.missed != nil }

// miss notes a dropped message if it is retained. It does nothing for a shared subscription, which gets no retained messages,
// and for a session that has ended.
func (ss *session) miss(d *delivery) {
	if !d.m.retain || d.m.group != nil || ss.ended {
		return
	}
	g := ss.ensureLosses()
	if g.missed == nil {
		g.missed = new(missed)
		ss.save(savingFlow)
	}
	switch c := ss.conn; {
	case c == nil:
		g.missed.fallBehind(d.m.serial, d.qos)
		return
	case c.output.blocked == nil: // not blocked: no other event may resume this client for long
		if ss.replay == nil {
			ss.replay = new(replay)
		}
		ss.shard.later(ss)
	}
	g.missed.note(d)
}

// missSince notes a part of a replay that was not sent to the session.
func (ss *session) missSince(which serialRange) {
	g := ss.ensureLosses()
	if g.missed == nil {
		g.missed = new(missed)
		ss.save(savingFlow)
	}
	g.missed.fallBehind(which.from, which.qos)
}

func (x *missed) note(d *delivery) {
	m := d.m
	t, noted := x.topics[m.topic]
	switch {
	case noted && t.serial > m.serial:
		return
	case !noted && len(x.topics) >= mostMissed:
		x.forgetTopics()
	}
	isRemoval := len(m.payload) == 0
	if x.behind && !isRemoval {
		x.fallBehind(m.serial, d.qos)
		delete(x.topics, m.topic)
		return
	}
	t = missedTopic{serial: m.serial, qos: d.qos}
	if isRemoval { // without its properties: no limit counts them
		t.removal = &message{topic: m.topic, qos: m.qos, retain: true, serial: m.serial, from: m.from}
		t.removal.own = t.removal
	}
	if x.topics == nil {
		x.topics = make(map[string]missedTopic)
	}
	x.topics[m.topic] = t
}

// fallBehind requests all retained messages since the given serial.
func (x *missed) fallBehind(serial uint64, qos byte) {
	if !x.behind {
		x.behind, x.since, x.qos = true, serial, qos
		return
	}
	x.since, x.qos = min(x.since, serial), max(x.qos, qos)
}

// forgetTopics makes room for other topics. It keeps removals, because nothing else reports them, unless there are too many.
func (x *missed) forgetTopics() {
	for _, t := range x.topics {
		x.fallBehind(t.serial, t.qos)
	}
	maps.DeleteFunc(x.topics, func(_ string, t missedTopic) bool { return t.removal == nil })
	if len(x.topics) >= mostMissed {
		clear(x.topics)
	}
}

// mostQoS returns the highest QoS of the missed messages.
func (x *missed) mostQoS() (qos byte) {
	if x.behind {
		qos = x.qos
	}
	for _, t := range x.topics {
		qos = max(qos, t.qos)
	}
	return qos
}

// gotRetained notes that the client is sent m, so that an older message of its topic is no longer needed.
func (ss *session) gotRetained(m *message) {
	if !ss.misses() {
		return
	}
	x := ss.losses.missed
	if t, noted := x.topics[m.topic]; noted && t.serial <= m.serial {
		delete(x.topics, m.topic)
		ss.endMissed()
	}
}

// endMissed removes the record if nothing is missed any more.
func (ss *session) endMissed() {
	if x := ss.losses.missed; len(x.topics) == 0 && !x.behind {
		ss.losses.missed = nil
		ss.save(savingFlow)
	}
}

// leaveMissed replaces the names of missed topics by a serial while the session is offline.
func (ss *session) leaveMissed() {
	if ss.misses() {
		ss.losses.missed.forgetTopics()
		ss.losses.missed.topics = nil
	}
}

// catchUp sends the client one missed retained message, or starts a replay of them. It returns false if it must wait for acknowledgements.
func (s *shard) catchUp(ss *session) bool {
	began := s.b.clock.now()
	defer func() { s.replayer.spent += s.b.clock.now() - began }()
	if ss.recoverMissed() {
		return true
	}
	x := ss.losses.missed
	for name, t := range x.topics {
		d := s.missedDelivery(ss, name, t)
		if d.m != nil && d.qos > 0 && !ss.mayTransmit() {
			return false
		}
		delete(x.topics, name)
		ss.endMissed()
		if d.m != nil {
			s.deliverRetained(ss, &d)
		}
		break
	}
	return true
}

// recoverMissed adds the retained messages since the oldest missed one to the session's replay, for each subscription that does
// not get all of them anyway. After a restart the oldest one is unknown: a subscription with Retain Handling 2 then gets none.
// It returns false if every missed message is noted by its topic.
func (ss *session) recoverMissed() bool {
	if !ss.misses() || !ss.losses.missed.behind {
		return false
	}
	x := ss.losses.missed
	until := ss.shard.b.retained.last.Load()
	ss.subs.each(func(sub *subscription) {
		if sub.group() == nil && !sub.isOwn() && !sub.replays && (x.since > 0 || sub.handling != 2) {
			if ss.replay == nil {
				ss.replay = new(replay)
			}
			ss.replay.wait(sub, serialRange{from: x.since, until: until, qos: x.qos})
			ss.replay.recovers = true
		}
	})
	x.behind = false
	ss.endMissed()
	return true
}

// missedDelivery returns the delivery for a missed topic, once for all subscriptions of the session. d.m is nil if there is
// nothing to send.
func (s *shard) missedDelivery(ss *session, name string, t missedTopic) (d delivery) {
	m := s.b.retained.get(name)
	switch {
	case m == nil && t.removal == nil, m != nil && m.expired(s.now):
		return delivery{}
	case m == nil:
		m = t.removal
	default:
		d.retain = true
	}
	ss.subs.each(func(sub *subscription) {
		if sub.group() != nil || sub.isOwn() || sub.noLocal && m.from == ss.source || !topic.Match(sub.filter(), name) {
			return
		}
		d.m = m
		d.qos = max(d.qos, min(m.qos, sub.qos))
		d.retain = d.retain || sub.retain
		if sub.id != 0 {
			d.ids = append(d.ids, sub.id)
		}
	})
	return d
}

// mayTransmit reports whether a QoS 1 or 2 message would be sent at once, or wait only for the disk, and not be queued.
func (ss *session) mayTransmit() bool {
	return ss.queue.len() == 0 && ss.inflight.unsent() < int(ss.conn.output.quota) && !ss.inflight.full()
}
