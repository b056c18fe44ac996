package broker

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// restoring is what is known while durable sessions are read from the store. Nothing runs yet, so it may touch every
// shard.
type restoring struct {
	b        *Broker
	sessions map[uint64]*restored // by number
	messages int
	queued   int
	reported time.Time
}

// restored is a session that is being put together.
type restored struct {
	ss      *session
	flow    flow
	waiting []delivery // of messages that the session is not done with
}

// progressEvery is how often a long restore says how far it is.
const progressEvery = time.Second

// restore reads what the store remembers: the clock first, because deadlines are counted by it.
func (b *Broker) restore() error {
	if err := b.restoreClock(); err != nil {
		return err
	}
	if b.store == nil {
		return nil
	}
	if err := b.retained.restore(); err != nil {
		return err
	}
	began := time.Now()
	r := &restoring{b: b, sessions: make(map[uint64]*restored), reported: began}
	for _, part := range []struct {
		space Space
		take  func(key string, value []byte) error
		what  string
	}{
		{SpaceSessions, r.session, "session"},
		{SpaceSubscriptions, r.subscription, "subscription"},
		{SpaceFlows, r.flow, "flow"},
		{SpaceMessages, r.message, "message"},
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
	if len(r.sessions) > 0 {
		b.log.Info("sessions restored", "sessions", len(r.sessions), "messages", r.messages, "queued", r.queued,
			"took", time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// report says now and then how far it is.
func (r *restoring) report(space Space) {
	if space == SpaceMessages {
		r.messages++
	}
	if time.Since(r.reported) >= progressEvery {
		r.reported = time.Now()
		r.b.log.Info("restoring sessions", "sessions", len(r.sessions), "messages", r.messages, "queued", r.queued)
	}
}

func (r *restoring) session(id string, value []byte) error {
	s := r.b.owner(id)
	ss := s.newSession(id, "")
	online, err := ss.decode(value)
	if err != nil {
		return err
	}
	if online { // when the broker went
		ss.setOffline(s.now, true)
		ss.save(savingSession)
	}
	s.stats.sessionsOffline++
	ss.armTimer()
	r.sessions[ss.durable.num] = &restored{ss: ss}
	raise(&r.b.lastSession, ss.durable.num)
	return nil
}

func (r *restoring) subscription(key string, value []byte) error {
	sub, err := decodeSubscription(key, value)
	if err != nil {
		return err
	}
	raise(&r.b.lastSession, sub.session)
	each := r.sessions[sub.session]
	if each == nil {
		r.forget(SpaceSubscriptions, key)
		return nil
	}
	sub.subscription.session = each.ss
	each.ss.shard.subscribe(sub.subscription, sub.key, sub.every)
	each.ss.subs.add(sub.subscription)
	return nil
}

func (r *restoring) flow(key string, value []byte) (err error) {
	num, ok := keyNumber(key)
	if !ok {
		return errFlowRecord
	}
	raise(&r.b.lastSession, num)
	each := r.sessions[num]
	if each == nil {
		r.forget(SpaceFlows, key)
		return nil
	}
	each.flow, err = each.ss.decodeFlow(value)
	return err
}

// message gives a message to the sessions that are not done with it. One that is nobody's is deleted: it was about to be
// when the broker went, or its publisher was never acknowledged.
func (r *restoring) message(key string, value []byte) error {
	id, ok := keyNumber(key)
	if !ok {
		return errMessageRecord
	}
	raise(&r.b.lastMessage, id)
	m, targets, err := decodeMessage(value, &r.b.clock, r.b.clock.now())
	if err != nil {
		return err
	}
	p := &stored{id: id}
	p.state.Store(storeHasIt)
	m.stored = p
	for t := (reader{targets}); len(t.rest) > 0; {
		one := t.target()
		if t.failed() {
			return errMessageRecord
		}
		raise(&r.b.lastSession, one.session) // also if it has ended: no other may get its number, and what it left
		if each := r.sessions[one.session]; each != nil && each.wants(one.seq) {
			p.refs.Add(1)
			each.waiting = append(each.waiting, r.delivery(m, &one))
			r.queued++
		}
	}
	if p.refs.Load() == 0 {
		r.forget(SpaceMessages, key)
	}
	return nil
}

func (r *restoring) delivery(m *message, t *target) delivery {
	if t.share != (subscriptionKey{}) {
		own := *m
		own.kept, own.group = &own, r.b.router.group(t.share)
		m = &own
	}
	return delivery{m: m, ids: t.ids, qos: t.qos, retain: t.retain, seq: t.seq}
}

func (r *restoring) forget(space Space, key string) {
	r.b.store.Later(Op{Space: space, Key: key, Delete: true})
}

// wants tells whether the session is not done with the message at a place.
func (each *restored) wants(seq uint64) bool {
	return seq > each.flow.sentSeq || each.flow.find(seq) >= 0
}

// find is the place in live of a message that has a packet identifier and is not acknowledged, or -1.
func (f *flow) find(seq uint64) int {
	i, found := slices.BinarySearchFunc(f.live, seq, func(o outgoing, seq uint64) int { return cmp.Compare(o.d.seq, seq) })
	if !found || f.live[i].state == awaitComp {
		return -1
	}
	return i
}

// finish puts the messages into the session's window and queue, in the order in which it was given them.
func (each *restored) finish() {
	ss, d, f := each.ss, each.ss.durable, &each.flow
	s := ss.shard
	slices.SortFunc(each.waiting, func(a, b delivery) int { return cmp.Compare(a.seq, b.seq) })
	d.sentSeq, d.lastSeq = f.sentSeq, f.sentSeq
	for _, one := range each.waiting {
		d.lastSeq = max(d.lastSeq, one.seq)
		if i := f.find(one.seq); i >= 0 {
			f.live[i].d = one
			continue
		}
		ss.queue.push(s, one)
	}
	for _, o := range f.live {
		switch {
		case o.d.m != nil:
			o.state = firstState(o.d.qos)
		case o.state == awaitAck:
			continue // it was acknowledged, and is gone
		default: // the client has it, or never will: PUBREL is right for both
			o.state, o.d.qos = awaitComp, 2
		}
		ss.window.restore(o)
		s.stats.inflight++
	}
	if ss.window.n == 0 {
		ss.window.lastID = f.lastID
	}
	ss.window.disconnect()
}

// raise makes n at least least.
func raise(n interface {
	Load() uint64
	Store(uint64)
}, least uint64) {
	if n.Load() < least {
		n.Store(least)
	}
}
