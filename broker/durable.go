package broker

import (
	"math"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// durable is the state of a session that outlives the process. A session is durable if it outlives its connection and there is a
// store.
type durable struct {
	num     uint64  // the session's number in the store; a new session with the same client identifier gets another
	lastSeq uint64  // number of the last message given to the session
	sentSeq uint64  // messages up to this number have left the queue
	forgone forgone // later messages that have also left it
	version uint32  // version of the flow last handed to the store
	saved   uint32  // version of the flow on disk

	unsaved saving // parts changed since they were handed to the store
	urgent  bool   // the next transaction must include unsaved
}

// saving is a set of parts of a session; each is written whole.
type saving uint8

const (
	savingSession saving = 1 << iota // owner, expiry and will
	savingFlow                       // in-flight window, unreleased QoS 2 identifiers, position in the queue and losses
)

// makeDurable persists the session, from the end of this turn on.
func (ss *session) makeDurable() {
	ss.durable = &durable{num: ss.shard.b.last.session.Add(1)}
	ss.saveNext(savingSession)
}

// save writes parts of a durable session, in this turn or with a later transaction.
func (ss *session) save(what saving) {
	d := ss.durable
	if d == nil || ss.ended {
		return
	}
	if d.unsaved == 0 {
		ss.shard.journal.unsaved = append(ss.shard.journal.unsaved, ss)
	}
	d.unsaved |= what
}

// saveNow writes parts of a durable session in this turn.
func (ss *session) saveNow(what saving) {
	if ss.saveNext(what) {
		ss.shard.openTxn().urgent = true
	}
}

// saveNext writes parts of a durable session with the next transaction. It returns false if the session is not stored.
func (ss *session) saveNext(what saving) bool {
	ss.save(what)
	d := ss.durable
	if d == nil || ss.ended {
		return false
	}
	if !d.urgent {
		d.urgent = true
		ss.shard.journal.urgent = append(ss.shard.journal.urgent, ss)
	}
	return true
}

// saveFlow writes the flow in this turn, and returns its new version.
func (ss *session) saveFlow() uint32 {
	ss.saveNow(savingFlow)
	return ss.durable.version + 1
}

// save adds the shard's changed sessions to a transaction: all urgent ones, and lazyAtOnce others unless a transaction with such
// others is in progress.
func (s *shard) save(t *txn) {
	for _, ss := range s.journal.urgent {
		ss.saveTo(t)
	}
	clear(s.journal.urgent)
	s.journal.urgent = s.journal.urgent[:0]
	if s.journal.lazy {
		return
	}
	s.journal.lazy, t.lazy = true, true
	most := lazyAtOnce
	if s.sched.ending {
		most = math.MaxInt
	}
	s.journal.unsaved = saveSome(s.journal.unsaved, most, func(ss *session) { ss.saveTo(t) })
	s.journal.outdated = saveSome(s.journal.outdated, most, (*subscription).update)
}

// saveSome calls save for the first most items, and returns the rest.
func saveSome[T any](all []T, most int, save func(T)) []T {
	n := min(len(all), most)
	for _, each := range all[:n] {
		save(each)
	}
	clear(all[:n])
	if n == len(all) {
		return all[:0]
	}
	return all[n:]
}

func (ss *session) saveTo(t *txn) {
	d := ss.durable
	what := d.unsaved
	d.unsaved, d.urgent = 0, false
	if what == 0 || ss.ended {
		return
	}
	if what&savingSession != 0 {
		t.add(ss.put())
	}
	if what&savingFlow != 0 {
		d.version++
		t.add(ss.putFlow())
	}
	t.saved = append(t.saved, savedSession{ss, what, d.version})
}

// put returns the operation that writes the session's record.
func (ss *session) put() storage.Op {
	r := ss.record()
	return storage.Op{Space: storage.SpaceSessions, Key: r.Key(), Value: r.Append(nil)}
}

// putFlow returns the operation that writes the session's flow. All sessions use the shard's flow record, so that no lists are
// allocated.
func (ss *session) putFlow() storage.Op {
	f := &ss.shard.journal.flow
	ss.recordFlow(f)
	value := make([]byte, 0, 32+8*len(f.Outgoing)+3*len(f.Received))
	return storage.Op{Space: storage.SpaceFlows, Key: f.Key(), Value: f.Append(value)}
}

// forgetting returns the operations that delete an ended session and its flow from the store. Its subscriptions are deleted
// separately.
func (ss *session) forgetting() []storage.Op {
	d := ss.durable
	if d == nil {
		return nil
	}
	return []storage.Op{
		{Space: storage.SpaceSessions, Key: ss.id, Delete: true},
		{Space: storage.SpaceFlows, Key: storage.NumberKey(d.num), Delete: true},
	}
}

// persist assigns a durable session's message its sequence number, and persists it for the session.
func (ss *session) persist(d *delivery) {
	if ss.durable == nil || d.seq != 0 {
		return
	}
	ss.durable.lastSeq++
	d.seq = ss.durable.lastSeq
	if p := d.m.stored; p != nil {
		p.add(ss, d)
		if d.qos == 2 && !ss.shard.b.options.Relaxed {
			p.txn.wait(ss)
		}
	}
}

// release ends the session's need of a message: the store may delete it, and its memory may be reused.
func (ss *session) release(d *delivery) {
	if d.seq != 0 && d.m != nil {
		ss.save(savingFlow)
		if d.m.stored != nil {
			ss.shard.unref(d.m.stored)
		}
	}
	if d.m != nil && !d.pinned && d.m.own == d.m { // a copy that is not reused
		ss.shard.letGo(d.m.size())
	}
	ss.shard.unpinCopy(d)
}

// onDisk reports whether an in-flight message may be sent. A QoS 2 message must first be on disk with its packet identifier, and
// PUBREL must wait until PUBREC is on disk: otherwise the client would get the message twice after a crash.
func (ss *session) onDisk(o *outgoing) bool {
	if ss.durable == nil || ss.shard.b.options.Relaxed || o.d.qos < 2 {
		return true
	}
	if p := o.message(); p != nil && p.state.Load() == storeWaits {
		return false
	}
	return int32(ss.durable.saved-o.after) >= 0
}

// message returns the stored message of an in-flight message; nil: not stored.
func (o *outgoing) message() *storedMessage {
	if o.d.m == nil {
		return nil
	}
	return o.d.m.stored
}
