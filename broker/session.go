package broker

import (
	"time"

	"github.com/outcry-mqtt/outcry/broker/wire"
)

// session is what the broker keeps for a client identifier (MQTT 5 4.1). It belongs to the shard that the identifier
// belongs to, and to the user who made it.
type session struct {
	// Static after construction.
	id    string
	user  string
	shard *shard

	// Owned by the shard's loop.
	conn     *conn // nil: offline
	subs     subscriptions
	queue    queue    // QoS 1 and 2 messages not yet sent, in order
	window   window   // those sent and not acknowledged, in order
	received receipts // QoS 2 messages of the client that it has not released
	durable  *durable // what outlives the process; nil: nothing does
	gap      *gap     // what it has lost; nil: nothing
	replay   *replay  // retained messages still to be sent; nil: none
	will     *will
	timer    timer // of the expiry and the will's delay, while offline
	expiry   time.Duration
	endsAt   int64 // on the broker's clock, while offline
	willAt   int64
	seen     uint64 // the delivery that last met this session
	merge    int32  // its place among what that delivery merged
	ended    bool
}

func (s *shard) newSession(id, user string) *session {
	ss := &session{id: id, user: user, shard: s}
	ss.timer.owner = ss
	s.sessions[id] = ss
	return ss
}

func (ss *session) setExpiry(asked, most time.Duration) { ss.expiry = min(asked, most) }

// lose takes the session's connection away. The session ends with it, or waits for the client to come back.
func (ss *session) lose(c *conn, r closeReason) {
	s := ss.shard
	if s.b.observers != nil {
		s.observe(c, Disconnected, "", closing[r].label)
	}
	ss.conn = nil
	s.stats.sessionsOffline++
	ss.suspendReplay()
	ss.shareOffline()
	if r == closeShutdown && (ss.durable == nil || ss.expiry <= 0) {
		ss.will = nil
	}
	ss.setOffline(s.now, r == closeShutdown)
	if ss.expiry <= 0 {
		ss.end()
		return
	}
	if ss.will != nil && ss.willAt <= s.now {
		ss.publishWill()
	}
	ss.save(savingSession)
	ss.window.disconnect()
	ss.trim()
	ss.armTimer()
}

// willGrace is how long a client has to come back to a server that has gone before its will is published (MQTT 5
// 3.1.2.5 lets a server that shuts down or fails defer wills until it is back).
const willGrace = 10 * time.Second

// setOffline sets when the session ends and its will is published, if the client does not come back. byUs tells that it
// was the server that went.
func (ss *session) setOffline(now int64, byUs bool) {
	ss.endsAt = now + int64(min(ss.expiry, unlimitedTime-time.Duration(now)))
	if w := ss.will; w != nil {
		delay := w.delay
		if byUs {
			delay = max(delay, willGrace)
		}
		ss.willAt = min(now+int64(delay), ss.endsAt)
	}
}

// trim gives back what a burst of messages has left behind.
func (ss *session) trim() {
	ss.window.trim()
	ss.queue.trim()
	ss.received.trim()
}

// armTimer waits for the will's delay or the session's end, whichever comes first.
func (ss *session) armTimer() {
	at := ss.endsAt
	if ss.will != nil {
		at = min(at, ss.willAt)
	}
	if at < int64(unlimitedTime) {
		ss.shard.wheel.arm(&ss.timer, at/int64(tick)+1)
	}
}

// expire publishes the will or ends the session when its time has come.
func (ss *session) expire(*timer) {
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

// end removes the session and all that it holds. A will that waits is published now (MQTT 5 3.1.3.2.2).
func (ss *session) end() {
	if ss.ended {
		return
	}
	ss.ended = true
	s := ss.shard
	forgetting := ss.forgetting()
	if ss.conn == nil {
		s.stats.sessionsOffline--
	}
	w := ss.will
	ss.will = nil
	s.publishWill(ss, w, forgetting)
	s.wheel.stop(&ss.timer)
	delete(s.sessions, ss.id)
	ss.subs.each(func(sub *subscription) { s.unsubscribe(sub) })
	ss.subs = subscriptions{}
	ss.abandon()
	if s.b.observers != nil {
		s.b.observers.tell(Event{Kind: SessionEnded, Time: time.Now(), ClientID: ss.id, User: ss.user})
	}
}

// abandon gives what the session leaves behind: messages of shared subscriptions go to another member (MQTT 5 4.8.2),
// except QoS 2 messages that were already sent [MQTT-4.8.2-5]; the rest is dropped.
func (ss *session) abandon() {
	s := ss.shard
	ss.window.each(func(o *outgoing) {
		if o.d.m == nil || o.d.lost() {
			return
		}
		if o.d.m.group != nil && (o.state == awaitAck || !o.sent) {
			s.redeliver(&o.d)
		}
		ss.release(&o.d)
	})
	s.stats.inflight -= int64(ss.window.live)
	ss.window = window{}
	for ss.queue.len() > 0 {
		d := ss.queue.pop(s)
		if d.m.group != nil && !d.lost() {
			s.redeliver(&d)
		} else {
			s.stats.dropped[dropSessionEnded]++
		}
		ss.release(&d)
	}
}

// resume sends again what was sent and not acknowledged, then what has waited [MQTT-4.4.0-1].
func (ss *session) resume() {
	ss.recheck() // rules may have changed, or the identity carries other claims than it did
	ss.shareOnline()
	ss.pump()
	ss.subs.each(func(sub *subscription) {
		if sub.replays && (ss.replay == nil || !ss.replay.has(sub)) { // a crash has cut it off
			ss.shard.replay(sub)
		}
	})
	ss.tellGap()
}

// recheck holds a connected session to the rules as they are now: subscriptions that are not allowed end, or get
// the QoS that is, and what waits in the queue because of them is dropped.
func (ss *session) recheck() {
	s, c := ss.shard, ss.conn
	if len(s.b.authorizers) == 0 {
		return
	}
	var lost []*subscription
	ss.subs.each(func(sub *subscription) {
		g := s.b.grant(c.client, Subscribe, sub.filter())
		switch {
		case !g.Allowed:
			lost = append(lost, sub)
		default:
			sub.limit(g)
		}
	})
	for _, sub := range lost {
		sub.forget()
		ss.subs.remove(sub)
		s.unsubscribe(sub)
	}
	if len(lost) > 0 {
		ss.tellEnded(lost)
	}
	ss.queue.filter(s, func(d *delivery) bool { return s.b.mayHear(c.client, d.m.topic) },
		func(d *delivery) { ss.drop(d, dropNotAuthorized) })
}

// enqueue takes a QoS 1 or 2 message for the client: it is sent now, or waits in the queue.
func (ss *session) enqueue(d *delivery) {
	s, c := ss.shard, ss.conn
	if c != nil && c.parked == nil && ss.queue.len() == 0 && ss.window.unsent() < int(c.quota) && !ss.window.full() {
		ss.keep(d)
		ss.transmit(d)
		return
	}
	if !ss.makeRoom(d.m.size()) {
		ss.lost(dropQueueFull)
		return
	}
	ss.hold(d)
	ss.keep(d)
	ss.queue.push(s, *d)
}

// hold has a delivery keep its message: for good if the store has it as well, until it is released otherwise.
func (ss *session) hold(d *delivery) {
	if ss.durable != nil {
		d.m = d.m.keep()
		return
	}
	ss.shard.holdCopy(d)
}

// makeRoom tells whether a message of n bytes may wait in the queue. It makes room for it if the policy says so.
func (ss *session) makeRoom(n int) bool {
	s := ss.shard
	for ss.queue.isFull(s.b, n) {
		switch {
		case s.b.limits.Overflow == OverflowDropOldest && ss.queue.len() > 0:
			old := ss.queue.pop(s)
			ss.left(&old)
			ss.lost(dropQueueFull)
			ss.release(&old)
			continue
		case s.b.limits.Overflow == OverflowDisconnect && ss.conn != nil:
			s.doomConn(ss.conn, closeQueueFull)
		}
		return false
	}
	return true
}

// left notes that a message, and all before it, are no longer in the queue.
func (ss *session) left(d *delivery) {
	if ss.durable != nil {
		ss.durable.sentSeq = d.seq
	}
}

// drop counts a message that the client will not get.
func (ss *session) drop(d *delivery, why dropReason) {
	ss.skip(why)
	ss.release(d)
}

// pump sends as much as the client's quota and socket take: first what a lost connection left open, and what waited for
// the disk.
func (ss *session) pump() {
	c := ss.conn
	if c == nil {
		return
	}
	for c.parked == nil && c.state == stateOpen && c.quota > 0 {
		o := ss.window.again()
		if o == nil || !ss.onDisk(o) {
			break
		}
		c.quota-- // for PUBREL too: its PUBCOMP gives one back
		ss.window.resent()
		if o.state == awaitComp {
			c.sendAck(wire.TypePubrel, o.id, 0)
			continue
		}
		ss.retransmit(o)
	}
	for c.parked == nil && c.state == stateOpen && ss.queue.len() > 0 && ss.window.unsent() < int(c.quota) && !ss.window.full() {
		d := ss.queue.pop(ss.shard)
		ss.transmit(&d)
	}
	if ss.replay != nil && ss.queue.len() == 0 {
		ss.shard.proceed(ss)
	}
}

// transmit gives a message its packet identifier and sends it for the first time, unless it or one before it has to wait
// for the disk.
func (ss *session) transmit(d *delivery) {
	s, c := ss.shard, ss.conn
	ss.left(d)
	switch {
	case d.lost():
		ss.release(d)
		return
	case d.m.expired(s.now):
		ss.drop(d, dropExpired)
		return
	}
	o := outgoing{id: ss.window.next(), state: firstState(d.qos), d: *d}
	if ss.durable != nil && d.qos == 2 && !s.b.options.Relaxed {
		o.after = ss.saveFlow()
	} else {
		ss.save(savingFlow)
	}
	if ss.window.again() == nil && ss.onDisk(&o) {
		if !c.sendPublish(d, o.id, false) {
			ss.lost(dropTooLarge)
			ss.release(d)
			return
		}
		o.sent = true
		c.quota--
	}
	if o.sent && ss.sendsOnce(&o.d) {
		ss.release(&o.d)
		o.d = delivery{qos: d.qos}
	} else {
		ss.hold(&o.d)
	}
	ss.window.push(&o)
	s.stats.inflight++
}

// sendsOnce tells that a message, once it was sent, is of no more use: the session ends with its connection, and nobody
// else is to get it instead. Only its identifier waits for the acknowledgement then.
func (ss *session) sendsOnce(d *delivery) bool {
	return ss.expiry <= 0 && ss.durable == nil && d.m.group == nil
}

// retransmit sends a message that has a packet identifier, with DUP only if it was sent before [MQTT-3.3.1-1]. What has
// grown too large for a client that takes less than it did is dropped, as if it had been acknowledged.
func (ss *session) retransmit(o *outgoing) {
	s := ss.shard
	switch {
	case !o.sent && o.d.lost(): // it will come again
	case !o.sent && o.d.m.expired(s.now):
		ss.skip(dropExpired)
	case ss.conn.sendPublish(&o.d, o.id, o.sent):
		o.sent = true
		return
	default:
		ss.lost(dropTooLarge)
	}
	ss.conn.quota++
	ss.settle(o)
}

// settle ends a message's way to the client.
func (ss *session) settle(o *outgoing) {
	ss.release(&o.d)
	ss.save(savingFlow)
	ss.window.settle(o)
	ss.shard.stats.inflight--
}
