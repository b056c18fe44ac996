package broker

import (
	"time"

	"github.com/outcry-mqtt/outcry/internal/wheel"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// session is the broker's state for a client identifier (MQTT 5 4.1). It belongs to the identifier's shard and to the user
// that created it.
type session struct {
	// Static after construction.
	id    string
	usage *usage // of its user
	shard *shard

	// Owned by the shard's loop.
	conn       *conn // nil: offline
	subs       subscriptions
	queue      queue      // QoS 1 and 2 messages not yet sent, in order
	inflight   inflight   // messages sent and not acknowledged, in order
	unreleased unreleased // unreleased QoS 2 identifiers of the client
	durable    *durable   // its persisted state; nil: not durable
	losses     *losses    // losses; nil: none
	replay     *replay    // retained messages to send; nil: none
	will       *will
	timer      wheel.Timer // for the expiry and the will delay, while offline
	expiry     time.Duration
	endsAt     int64 // on the broker's clock, while offline
	willAt     int64
	seen       uint64 // number of the last delivery to this session
	merge      int32  // index in the merged deliveries of that message
	shared     int32  // number of shared subscriptions
	subBytes   uint32 // bytes of its subscriptions and its will, as usage counts them
	place      int32  // in the ranking of long queues; 0: none
	source     uint32 // marks the session's messages for no-local, also after its end; not 0
	ended      bool
	deferred   bool // after the next start its will is delayed as well, because the server closed the connection to stop
}

func (s *shard) newSession(id, user string) *session {
	return s.newSessionOf(id, s.b.usages.join(user))
}

// newSessionOf makes a session that the user's usage already counts.
func (s *shard) newSessionOf(id string, u *usage) *session {
	ss := &session{id: id, usage: u, shard: s, source: s.b.last.nextSource()}
	ss.timer.Owner = ss
	s.sessions[id] = ss
	return ss
}

func (ss *session) setExpiry(asked, most time.Duration) { ss.expiry = min(asked, most) }

// lose removes the session's connection. The session ends, or waits for the client's return.
func (ss *session) lose(c *conn, r closeReason) {
	s := ss.shard
	if s.b.hooks.observers != nil {
		s.observe(c, Disconnected, "", closing[r].label)
	}
	ss.conn = nil
	s.stats.sessionsOffline++
	ss.suspendReplay()
	ss.shareOffline()
	ss.setOffline(s.now, r == closeShutdown)
	switch {
	case r == closeShutdown && ss.will != nil && !ss.outlivesProcess():
		if !s.sched.ending { // otherwise endMortal ends it
			ss.end()
		}
		return
	case ss.expiry <= 0:
		ss.end()
		return
	}
	if ss.will != nil && ss.willAt <= s.now {
		ss.publishWill()
	}
	ss.save(savingSession)
	ss.inflight.disconnect()
	ss.trim()
	ss.rerank()
	ss.armTimer()
}

// willGrace is the time for a client to return to a restarted server before its will is published. MQTT 5 3.1.2.5 lets a
// server that shuts down or fails defer wills until it is back.
const willGrace = 10 * time.Second

// setOffline sets the session's end and the time of its will, unless the client returns before. byUs means that the server
// closed the connection or failed.
func (ss *session) setOffline(now int64, byUs bool) {
	ss.endsAt = after(now, ss.expiry)
	if w := ss.will; w != nil {
		ss.willAt = min(after(now, w.delay), ss.endsAt)
	}
	if ss.deferred = byUs && ss.will != nil; ss.deferred {
		ss.deferWill(now)
	}
}

// deferWill gives the client willGrace to return before its will is published. The session's end still publishes the will.
func (ss *session) deferWill(now int64) {
	ss.willAt = min(max(ss.willAt, now+int64(willGrace)), ss.endsAt)
}

// trim frees memory left over from a burst of messages.
func (ss *session) trim() {
	ss.inflight.trim()
	ss.queue.trim()
	if ss.queue.len() == 0 && ss.inflight.live == 0 {
		ss.forgetExpiries()
	}
	ss.unreleased.trim()
}

// dueAt returns the end of the will delay or of the offline session, whichever comes first.
func (ss *session) dueAt() int64 {
	if ss.will != nil && ss.will.late == nil {
		return min(ss.endsAt, ss.willAt)
	}
	return ss.endsAt
}

// armTimer arms the timer for the will delay or the session's end.
func (ss *session) armTimer() {
	if at := ss.dueAt(); at < int64(unlimitedTime) {
		ss.shard.wheel.Arm(&ss.timer, at/int64(tick)+1)
	}
}

// Expire publishes the will or ends the session when it is due, or drops expired messages.
func (ss *session) Expire(t *wheel.Timer) {
	if t != &ss.timer {
		ss.shard.reapLater(ss)
		return
	}
	now := ss.shard.now
	if now >= ss.endsAt {
		ss.shard.stats.sessionsExpired++
		ss.end()
		return
	}
	if ss.will != nil && now >= ss.willAt {
		ss.publishWill()
	}
	ss.armTimer()
}

// sessionOf returns the session of a client identifier, or nil. It ends an expired session and publishes a due will even if
// the timer has not fired yet: after a start they may have been due long before.
func (s *shard) sessionOf(id string) *session {
	ss := s.sessions[id]
	if ss != nil && ss.conn == nil && ss.dueAt() <= s.now {
		s.wheel.Stop(&ss.timer)
		ss.Expire(&ss.timer)
	}
	return s.sessions[id]
}

// end removes the session and its state, and publishes a waiting will now (MQTT 5 3.1.3.2.2). The session is marked as ended
// first, so it gets no messages for its remaining subscriptions, and no shared subscription chooses it for its own will or
// for a message that it leaves behind. Many subscriptions are removed later (leaving.go).
func (ss *session) end() {
	if ss.ended {
		return
	}
	ss.ended = true
	s := ss.shard
	delete(s.journal.passed, ss)
	s.letGo(sessionBytes)
	if ss.conn == nil {
		s.stats.sessionsOffline--
	}
	w := ss.will
	s.wheel.Stop(&ss.timer)
	delete(s.sessions, ss.id)
	s.b.usages.leave(ss)
	ss.replaceWill(nil)
	s.publishWill(ss, w, append(ss.forgetting(), ss.endSubscriptions()...))
	ss.abandon()
	if s.b.hooks.observers != nil {
		s.b.hooks.observers.tell(Event{Kind: SessionEnded, Time: time.Now(), ClientID: ss.id, User: ss.usage.user})
	}
}

// abandon hands over the session's messages: messages of shared subscriptions go to another member (MQTT 5 4.8.2), except
// QoS 2 messages already sent [MQTT-4.8.2-5]. It drops all others.
func (ss *session) abandon() {
	s := ss.shard
	ss.inflight.each(func(o *outgoing) {
		if o.d.m == nil || o.d.lost() {
			return
		}
		if o.d.m.group != nil && (o.state == awaitAck || !o.sent) {
			s.redeliver(&o.d)
		}
		ss.release(&o.d)
	})
	s.stats.inflight -= int64(ss.inflight.live)
	s.countInflight(-ss.inflightBytes())
	ss.inflight = inflight{}
	for ss.queue.len() > 0 {
		d := ss.queue.pop(ss)
		if d.m.group != nil && !d.lost() {
			s.redeliver(&d)
		} else {
			s.stats.dropped[dropSessionEnded]++
		}
		ss.release(&d)
	}
	ss.forgetExpiries()
}

// resume retransmits unacknowledged messages, then sends the queued ones [MQTT-4.4.0-1].
func (ss *session) resume() {
	ss.recheck() // the rules or the identity's claims may have changed
	ss.shareOnline()
	ss.recoverMissed() // now, while the subscriptions below still count as not replayed
	ss.pump()
	ss.subs.each(func(sub *subscription) {
		if sub.replays && (ss.replay == nil || !ss.replay.has(sub)) { // interrupted by a crash
			ss.shard.replay(sub)
		}
	})
	ss.tellLosses()
}

// recheck applies the current rules to a connected session: forbidden subscriptions end, others get the granted QoS, and
// their queued messages that are no longer allowed are dropped. It runs in one step: 10,000 subscriptions take 3 to 5 ms with
// the rules of config.yaml.
func (ss *session) recheck() {
	s, c := ss.shard, ss.conn
	if len(s.b.hooks.authorizers) == 0 {
		return
	}
	var lost []*subscription
	ss.subs.each(func(sub *subscription) {
		g := s.b.grant(c.identity.client, Subscribe, sub.filter())
		switch {
		case !g.Allowed:
			lost = append(lost, sub)
		default:
			sub.limit(g)
		}
	})
	for _, sub := range lost {
		sub.updateLater() // after a crash before that, it is checked again
		ss.subs.remove(sub)
		s.unsubscribe(sub)
	}
	if len(lost) > 0 {
		ss.tellEnded(lost)
	}
	ss.withhold()
}

// enqueue sends a QoS 1 or 2 message to the client, or queues it.
func (ss *session) enqueue(d *delivery) {
	s, c := ss.shard, ss.conn
	if c != nil && c.takes() && ss.queue.len() == 0 && ss.inflight.unsent() < int(c.output.quota) && !ss.inflight.full() && ss.mayFly(d) {
		ss.persist(d)
		ss.transmit(d)
		return
	}
	if ss.ended {
		s.fan.outcome.declined++
		return
	}
	if d.m.expired(s.now) {
		ss.skip(dropExpired)
		return
	}
	if !ss.makeRoom(d.m.size()) {
		ss.lost(dropQueueFull)
		ss.miss(d)
		s.fan.outcome.declined++
		s.fan.outcome.full = true
		return
	}
	ss.pin(d)
	ss.persist(d)
	ss.queue.push(ss, *d)
}

// pin pins the message of a delivery: for good in a durable session, where the store has it too, otherwise until release.
func (ss *session) pin(d *delivery) {
	if ss.durable != nil {
		d.m = d.m.ownCopy()
		return
	}
	ss.shard.pinCopy(d)
}

// makeRoom reports whether a message of n bytes may wait in the queue. It makes room if the overflow policy allows it, or
// drops messages of longer queues if the total is reached.
func (ss *session) makeRoom(n int) bool {
	s := ss.shard
	for ss.queue.isFull(&s.b.limits, ss.inflightBytes()+n) || !s.makeWay(ss, n) {
		switch {
		case ss.dropExpired():
			continue
		case s.b.limits.Overflow == OverflowDropOldest && ss.queue.len() > 0:
			old := ss.queue.pop(ss)
			ss.left(&old)
			ss.loseQueued(&old)
			continue
		case s.b.limits.Overflow == OverflowDisconnect && ss.conn != nil:
			s.doomConn(ss.conn, closeQueueFull)
		}
		return false
	}
	return true
}

// loseQueued counts a message that was removed from the queue to make room.
func (ss *session) loseQueued(d *delivery) {
	ss.lost(dropQueueFull)
	ss.miss(d)
	ss.release(d)
}

// left records that a message and all earlier ones have left the queue.
func (ss *session) left(d *delivery) {
	if ss.durable != nil {
		ss.durable.sentSeq = d.seq
		ss.durable.forgone.prune(d.seq)
	}
}

// forgo records that a message has left the queue before earlier ones.
func (ss *session) forgo(d *delivery) {
	if d.seq != 0 {
		ss.durable.forgone.add(d.seq)
	}
}

// drop counts a message that the client will not get, and releases it.
func (ss *session) drop(d *delivery, why dropReason) {
	ss.skip(why)
	ss.release(d)
}

// pump sends as much as the client's quota and socket take: first messages left unacknowledged by an earlier connection and
// messages that waited for the disk.
func (ss *session) pump() {
	c := ss.conn
	if c == nil {
		return
	}
	for c.takes() && c.output.quota > 0 {
		o := ss.inflight.again()
		if o == nil || !ss.onDisk(o) {
			break
		}
		c.output.quota-- // also for PUBREL: its PUBCOMP returns one
		ss.inflight.resent()
		if o.state == awaitComp {
			c.sendAck(wire.TypePubrel, o.id, 0)
			continue
		}
		ss.retransmit(o)
	}
	for c.takes() && ss.queue.len() > 0 && ss.inflight.unsent() < int(c.output.quota) && !ss.inflight.full() && ss.mayFly(ss.queue.first()) {
		ss.took()
		d := ss.queue.pop(ss)
		ss.transmit(&d)
	}
	if ss.takesReplay() {
		ss.shard.proceed(ss)
	}
}

// transmit gives a message its packet identifier and sends it for the first time. If it or an earlier message must wait for
// the disk, it waits.
func (ss *session) transmit(d *delivery) {
	s, c := ss.shard, ss.conn
	ss.left(d)
	switch {
	case d.lost():
		ss.passOver(d)
		ss.release(d)
		return
	case d.m.expired(s.now):
		ss.drop(d, dropExpired)
		return
	}
	ss.gotRetained(d.m)
	o := outgoing{id: ss.inflight.next(), state: firstState(d.qos), d: *d}
	if ss.durable != nil && d.qos == 2 && !s.b.options.Relaxed {
		o.after = ss.saveFlow()
	} else {
		ss.save(savingFlow)
	}
	if ss.inflight.again() == nil && ss.onDisk(&o) {
		if !c.sendPublish(d, o.id, false) {
			ss.lost(dropTooLarge)
			ss.release(d)
			return
		}
		o.sent = true
		c.output.quota--
	}
	if o.sent && ss.sendsOnce(&o.d) {
		ss.release(&o.d)
		o.d = delivery{qos: d.qos}
	} else {
		ss.pin(&o.d)
	}
	ss.countInflight(&o, 1)
	ss.inflight.push(&o)
	s.stats.inflight++
	if o.expires() {
		ss.expectUnsent(&o)
	}
}

// sendsOnce reports whether a message can be released after sending: the session ends with its connection, and no other
// member can get the message. Only its identifier waits for the acknowledgement.
func (ss *session) sendsOnce(d *delivery) bool {
	return ss.expiry <= 0 && ss.durable == nil && d.m.group == nil
}

// retransmit sends a message that has a packet identifier, with DUP only if it was sent before [MQTT-3.3.1-1]. If the client
// has lowered its Maximum Packet Size below the message's size, the message is dropped as if it were acknowledged.
func (ss *session) retransmit(o *outgoing) {
	s := ss.shard
	switch {
	case !o.sent && o.d.lost(): // its publisher will send it again
		ss.passOver(&o.d)
	case !o.sent && o.d.m.expired(s.now):
		ss.skip(dropExpired)
	case ss.conn.sendPublish(&o.d, o.id, o.sent):
		o.sent = true
		return
	default:
		ss.lost(dropTooLarge)
	}
	ss.conn.output.quota++
	ss.settle(o)
}

// settle ends the delivery of a message to the client.
func (ss *session) settle(o *outgoing) {
	ss.countInflight(o, -1)
	ss.release(&o.d)
	ss.save(savingFlow)
	ss.inflight.settle(o)
	ss.shard.stats.inflight--
}
