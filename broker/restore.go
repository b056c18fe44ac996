package broker

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// restoring is the state of a restore of durable sessions from the store. Nothing else runs yet, so it may touch every shard.
type restoring struct {
	b        *Broker
	sessions map[uint64]*restored // by number
	messages int
	queued   int
	reported time.Time
	one      storage.Message // the last one read, for its memory
}

// restored is a session during the restore.
type restored struct {
	ss      *session
	flow    flow
	lastSeq uint64     // highest number of the session's messages in the store
	waiting []delivery // messages that the session must still be sent or acknowledge
	over    bool       // it expired while the broker was down
}

// progressEvery is the interval of a long restore's progress logs.
const progressEvery = time.Second

// restore reads the store: the clock first, because deadlines depend on it.
func (b *Broker) restore() error {
	if err := b.restoreClock(); err != nil {
		return err
	}
	if b.store == nil {
		return nil
	}
	left, err := b.retained.restore(&b.limits)
	if err != nil {
		return err
	}
	if left > 0 {
		b.log.Warn("retained messages are kept but not sent: their topics have control characters", "messages", left,
			"setting", "limits.control_characters")
	}
	b.retained.awaitNext(b.shards[0])
	began := time.Now()
	r := &restoring{b: b, sessions: make(map[uint64]*restored), reported: began}
	for _, part := range []struct {
		space storage.Space
		take  func(key string, value []byte) error
		what  string
	}{
		{storage.SpaceSessions, r.session, "session"},
		{storage.SpaceSubscriptions, r.subscription, "subscription"},
		{storage.SpaceFlows, r.flow, "flow"},
		{storage.SpaceMessages, r.message, "message"},
	} {
		err := b.store.Load(part.space, func(key string, value []byte) error {
			r.report(part.space)
			if err := part.take(key, value); err != nil {
				return fmt.Errorf("restore %s %q: %w", part.what, key, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, each := range r.sessions {
		each.finish()
	}
	r.endOver()
	if len(r.sessions) > 0 {
		b.log.Info("sessions restored", "sessions", len(r.sessions), "messages", r.messages, "queued", r.queued,
			"took", time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// report logs the progress at intervals.
func (r *restoring) report(space storage.Space) {
	if space == storage.SpaceMessages {
		r.messages++
	}
	if time.Since(r.reported) >= progressEvery {
		r.reported = time.Now()
		r.b.log.Info("restoring sessions", "sessions", len(r.sessions), "messages", r.messages, "queued", r.queued)
	}
}

func (r *restoring) session(id string, value []byte) error {
	var one storage.Session
	if err := one.Parse(id, value); err != nil {
		return err
	}
	s := r.b.owner(id)
	ss := s.newSession(id, one.User) // even above the limits, which apply to new sessions
	ss.restore(&one)
	raise(&r.b.last.session, one.Number)
	over := one.Offline && ss.will == nil && ss.endsAt <= r.b.clock.now()
	if !one.Offline { // connected when the broker stopped
		ss.setOffline(s.now, true)
		ss.save(savingSession)
	} else if ss.deferred {
		ss.deferWill(s.now)
		ss.save(savingSession)
	}
	ss.deferred = false // its client has had its time from now on
	s.stats.sessionsOffline++
	ss.armTimer()
	r.sessions[one.Number] = &restored{ss: ss, over: over}
	return nil
}

// endOver ends the sessions that expired while the broker was down, before any client is admitted. Their messages of shared
// subscriptions go to the remaining members, so all sessions must be restored first.
func (r *restoring) endOver() {
	for num, each := range r.sessions {
		if !each.over {
			continue
		}
		s := each.ss.shard
		s.stats.sessionsExpired++
		each.ss.end()
		delete(r.sessions, num)
		s.post(call(func(*shard) {})) // the first turn passes this to other shards and the store
	}
}

func (r *restoring) subscription(key string, value []byte) error {
	var one storage.Subscription
	if err := one.Parse(key, value); err != nil {
		return err
	}
	raise(&r.b.last.session, one.Session)
	each := r.sessions[one.Session]
	if each == nil {
		r.forget(storage.SpaceSubscriptions, key)
		return nil
	}
	each.ss.restoreSubscription(&one)
	return nil
}

func (r *restoring) flow(key string, value []byte) error {
	num, isNumber := storage.KeyNumber(key)
	raise(&r.b.last.session, num)
	each := r.sessions[num]
	if isNumber && each == nil { // even with an invalid value
		r.forget(storage.SpaceFlows, key)
		return nil
	}
	var one storage.Flow
	if err := one.Parse(key, value); err != nil {
		return err
	}
	each.flow = each.ss.restoreFlow(&one)
	return nil
}

// message gives a message to the sessions that still need it. A message without such a session is deleted: its deletion was
// pending when the broker stopped, or its publisher was never sent an acknowledgement.
func (r *restoring) message(key string, value []byte) error {
	if err := r.one.Parse(key, value); err != nil {
		return err
	}
	raise(&r.b.last.message, r.one.Number)
	m := restoreMessage(&r.one, &r.b.clock, r.b.clock.now())
	p := &storedMessage{id: r.one.Number}
	p.state.Store(storeHasIt)
	m.stored = p
	for i := range r.one.Targets {
		t := &r.one.Targets[i]
		raise(&r.b.last.session, t.Session) // also for an ended session: no other session may get its number and its messages
		if each := r.sessions[t.Session]; each != nil && each.takes(m, t.Seq) {
			p.refs.Add(1)
			each.waiting = append(each.waiting, r.delivery(m, t))
			r.queued++
		}
	}
	if p.refs.Load() == 0 {
		r.forget(storage.SpaceMessages, key)
	}
	return nil
}

func (r *restoring) delivery(m *message, t *storage.Target) delivery {
	if t.Share != "" {
		own := *m
		own.own, own.group = &own, r.b.router.group(subscriptionKey{t.Share, t.Filter})
		m = &own
	}
	return delivery{m: m, ids: t.IDs, qos: t.QoS, retain: t.Retain, seq: t.Seq}
}

func (r *restoring) forget(space storage.Space, key string) {
	r.b.store.Later(storage.Op{Space: space, Key: key, Delete: true})
}

// wants reports whether the session still needs the message with the given number.
func (each *restored) wants(seq uint64) bool {
	return seq > each.flow.sentSeq && !each.flow.forgone.has(seq) || each.flow.find(seq) >= 0
}

// takes reports whether the session must still be sent a message. It drops an expired message that was not sent to the client
// (MQTT 5 3.3.2.3.3).
func (each *restored) takes(m *message, seq uint64) bool {
	each.lastSeq = max(each.lastSeq, seq) // no other message may get this number while this one may come back
	if !each.wants(seq) {
		return false
	}
	s := each.ss.shard
	if !m.expired(s.now) || each.flow.find(seq) >= 0 {
		return true
	}
	each.ss.skip(dropExpired)
	return false
}

// find returns the index in live of an unacknowledged message with a packet identifier, or -1.
func (f *flow) find(seq uint64) int {
	i, found := slices.BinarySearchFunc(f.live, seq, func(o outgoing, seq uint64) int { return cmp.Compare(o.d.seq, seq) })
	if !found || f.live[i].state == awaitComp {
		return -1
	}
	return i
}

// finish puts the messages into the session's in-flight window and queue, in their original order.
func (each *restored) finish() {
	ss, d, f := each.ss, each.ss.durable, &each.flow
	s := ss.shard
	slices.SortFunc(each.waiting, func(a, b delivery) int { return cmp.Compare(a.seq, b.seq) })
	d.sentSeq, d.lastSeq = f.sentSeq, max(f.sentSeq, each.lastSeq, f.forgone.last())
	d.forgone = f.forgone
	for _, one := range each.waiting {
		if s.b.limits.refuses(one.m.topic) {
			ss.lost(dropControls)
			ss.release(&one)
			continue
		}
		if i := f.find(one.seq); i >= 0 {
			f.live[i].d = one
			continue
		}
		ss.queue.push(ss, one)
	}
	for _, o := range f.live {
		switch {
		case o.d.m != nil:
			o.state = firstState(o.d.qos)
		case o.state == awaitAck:
			continue // already acknowledged and deleted
		default: // the client has it or will never get it: PUBREL is right for both
			o.state, o.d.qos = awaitComp, 2
		}
		ss.countInflight(&o, 1)
		ss.inflight.restore(o)
		s.stats.inflight++
	}
	if ss.inflight.n == 0 {
		ss.inflight.lastID = f.lastID
	}
	ss.inflight.disconnect()
}

// raise sets n to least if it is lower.
func raise(n interface {
	Load() uint64
	Store(uint64)
}, least uint64) {
	if n.Load() < least {
		n.Store(least)
	}
}
