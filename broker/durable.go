package broker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// durable is what a session has that outlives the process. A session is durable if it outlives its connection and there
// is a store.
type durable struct {
	num     uint64 // names the session in the store, where another with the same client identifier gets another
	lastSeq uint64 // of the messages that the session was given
	sentSeq uint64 // messages up to this one have left the queue
	version uint32 // of its flow, as last handed to the store
	saved   uint32 // the version that is on disk

	unsaved saving // what has changed since it was handed to the store
	urgent  bool   // the next transaction has to have that
}

// saving is parts of a session that are written whole.
type saving uint8

const (
	savingSession saving = 1 << iota // who it belongs to, its expiry and its will
	savingFlow                       // what is under way in both directions
)

// makeDurable has the store keep the session, from the end of this turn on.
func (ss *session) makeDurable() {
	ss.durable = &durable{num: ss.shard.b.lastSession.Add(1)}
	ss.saveNext(savingSession)
}

// save has parts of a durable session written, in this turn or with a later transaction.
func (ss *session) save(what saving) {
	d := ss.durable
	if d == nil || ss.ended {
		return
	}
	if d.unsaved == 0 {
		ss.shard.unsaved = append(ss.shard.unsaved, ss)
	}
	d.unsaved |= what
}

// saveNow has parts of a durable session written in this turn.
func (ss *session) saveNow(what saving) {
	if ss.saveNext(what) {
		ss.shard.openTxn().urgent = true
	}
}

// saveNext has parts of a durable session written by the next transaction, whenever that is. It returns false if nothing of
// the session is kept.
func (ss *session) saveNext(what saving) bool {
	ss.save(what)
	d := ss.durable
	if d == nil || ss.ended {
		return false
	}
	if !d.urgent {
		d.urgent = true
		ss.shard.urgent = append(ss.shard.urgent, ss)
	}
	return true
}

// saveFlow has the flow written in this turn and returns the version of it that will say so.
func (ss *session) saveFlow() uint32 {
	ss.saveNow(savingFlow)
	return ss.durable.version + 1
}

// save puts what has changed of the shard's sessions into a transaction: all of it, unless what nobody waits for is on
// its way to the disk already.
func (s *shard) save(t *txn) {
	for _, ss := range s.urgent {
		ss.saveTo(t)
	}
	clear(s.urgent)
	s.urgent = s.urgent[:0]
	if s.lazy {
		return
	}
	for _, ss := range s.unsaved {
		ss.saveTo(t)
	}
	clear(s.unsaved)
	s.unsaved = s.unsaved[:0]
	s.lazy, t.lazy = true, true
}

func (ss *session) saveTo(t *txn) {
	d := ss.durable
	what := d.unsaved
	d.unsaved, d.urgent = 0, false
	if what == 0 || ss.ended {
		return
	}
	if what&savingSession != 0 {
		t.add(Op{Space: SpaceSessions, Key: ss.id, Value: ss.encode()})
	}
	if what&savingFlow != 0 {
		d.version++
		t.add(Op{Space: SpaceFlows, Key: numberKey(d.num), Value: ss.encodeFlow()})
	}
	t.saved = append(t.saved, savedSession{ss, what, d.version})
}

// forgetting is what deletes all that the store has of a session that ends.
func (ss *session) forgetting() (ops []Op) {
	d := ss.durable
	if d == nil {
		return nil
	}
	ops = append(ops,
		Op{Space: SpaceSessions, Key: ss.id, Delete: true},
		Op{Space: SpaceFlows, Key: numberKey(d.num), Delete: true})
	ss.subs.each(func(sub *subscription) {
		ops = append(ops, Op{Space: SpaceSubscriptions, Key: sub.storeKey(), Delete: true})
	})
	return ops
}

// keep gives a message that a durable session is to get its place, and has it kept.
func (ss *session) keep(d *delivery) {
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

// release ends the session's need of a message: the store may delete it, and its memory may be used again.
func (ss *session) release(d *delivery) {
	if d.seq != 0 && d.m != nil {
		ss.save(savingFlow)
		if d.m.stored != nil {
			ss.shard.unref(d.m.stored)
		}
	}
	ss.shard.letGoCopy(d)
}

// onDisk tells whether a message under way may be sent. One of QoS 2 must be on disk with its packet identifier first, and
// PUBREL must wait until the disk knows that PUBREC came: otherwise a crash would have the client get it twice.
func (ss *session) onDisk(o *outgoing) bool {
	if ss.durable == nil || ss.shard.b.options.Relaxed || o.d.qos < 2 {
		return true
	}
	if p := o.message(); p != nil && p.state.Load() == storeWaits {
		return false
	}
	return int32(ss.durable.saved-o.after) >= 0
}

// message is what the store keeps of a message under way; nil: nothing.
func (o *outgoing) message() *stored {
	if o.d.m == nil {
		return nil
	}
	return o.d.m.stored
}

// A stored session is: a version byte, flags, its number, the user, its expiry, when it ends if it is offline, and its
// will if it has one.
const (
	sessionVersion = 1
	sessionOffline = 1
	sessionHasWill = 2
	willQoS        = 3
	willRetain     = 4
)

var errSessionRecord = errors.New("not a session of a version that this program knows; run the version that wrote it, or restore a backup")

func (ss *session) encode() []byte {
	clock := &ss.shard.b.clock
	flags := byte(0)
	if ss.conn == nil {
		flags |= sessionOffline
	}
	if ss.will != nil {
		flags |= sessionHasWill
	}
	b := []byte{sessionVersion, flags}
	b = binary.AppendUvarint(b, ss.durable.num)
	b = appendBytes(b, ss.user)
	b = appendDuration(b, ss.expiry)
	if ss.conn == nil {
		b = binary.AppendVarint(b, clock.stamp(ss.endsAt))
	}
	if ss.will != nil {
		b = ss.will.append(b)
		if ss.conn == nil {
			b = binary.AppendVarint(b, clock.stamp(ss.willAt))
		}
	}
	return b
}

// append encodes a will with whom it is published as: of that, what rules may ask about.
func (w *will) append(b []byte) []byte {
	m := &w.message
	flags := m.qos & willQoS
	if m.retain {
		flags |= willRetain
	}
	b = append(b, flags)
	b = appendDuration(b, w.delay)
	b = appendDuration(b, w.expiry)
	b = appendBytes(b, m.topic)
	b = appendBytes(b, m.props)
	b = appendBytes(b, m.payload)
	claims, err := json.Marshal(w.client.Identity.Claims)
	if err != nil {
		claims = nil // then rules that ask for claims say no
	}
	b = appendBytes(b, claims)
	b = appendBytes(b, w.client.Identity.Method)
	b = appendBytes(b, w.client.Listener)
	b = appendBytes(b, w.client.Remote)
	return append(b, w.client.Version)
}

func appendDuration(b []byte, d time.Duration) []byte {
	if d == unlimitedTime {
		return binary.AppendVarint(b, int64(unlimitedTime))
	}
	return binary.AppendVarint(b, d.Milliseconds())
}

func (ss *session) decode(value []byte) (online bool, err error) {
	r := reader{value}
	if r.byte() != sessionVersion {
		return false, errSessionRecord
	}
	clock := &ss.shard.b.clock
	flags := r.byte()
	ss.durable = &durable{num: r.uvarint()}
	ss.user = string(r.bytes())
	ss.expiry = r.duration()
	offline := flags&sessionOffline != 0
	if offline {
		ss.endsAt = clock.from(r.varint())
	}
	if flags&sessionHasWill != 0 {
		ss.will, err = r.will(ss)
		if offline {
			ss.willAt = clock.from(r.varint())
		}
	}
	if r.failed() {
		return false, errSessionRecord
	}
	return !offline, err
}

func (r *reader) will(ss *session) (*will, error) {
	flags := r.byte()
	w := &will{delay: r.duration(), expiry: r.duration()}
	w.message = message{topic: string(r.bytes()), qos: flags & willQoS, retain: flags&willRetain != 0, from: ss}
	w.message.props = append([]byte(nil), r.bytes()...)
	w.message.payload = append([]byte(nil), r.bytes()...)
	id := &Identity{User: ss.user}
	if claims := r.bytes(); len(claims) > 0 {
		if err := json.Unmarshal(claims, &id.Claims); err != nil {
			return nil, errSessionRecord
		}
	}
	id.Method = string(r.bytes())
	w.client = &Client{ID: ss.id, Identity: id, Listener: string(r.bytes()), Remote: string(r.bytes()), Version: r.byte()}
	return w, nil
}

// A stored flow is: a version byte, up to where messages have left the queue, the last packet identifier, then the
// messages under way, the QoS 2 messages that the client has not released, and what the session has lost.
const (
	flowVersion   = 1
	flowStateMask = 3
)

var errFlowRecord = errors.New("not a session's flow of a version that this program knows; run the version that wrote it, or restore a backup")

func (ss *session) encodeFlow() []byte {
	b := make([]byte, 0, 32+8*ss.window.live+3*ss.received.len())
	b = append(b, flowVersion)
	b = binary.AppendUvarint(b, ss.durable.sentSeq)
	b = binary.AppendUvarint(b, uint64(ss.window.lastID))
	b = binary.AppendUvarint(b, uint64(ss.window.live))
	ss.window.each(func(o *outgoing) {
		b = binary.AppendUvarint(b, o.d.seq)
		b = binary.AppendUvarint(b, uint64(o.id))
		b = append(b, byte(o.state)&flowStateMask)
	})
	held := slices.Collect(ss.received.held())
	b = binary.AppendUvarint(b, uint64(len(held)))
	for _, id := range held {
		b = binary.AppendUvarint(b, uint64(id))
	}
	return ss.gap.append(b)
}

// flow is a flow as it was stored, while its session is restored.
type flow struct {
	sentSeq uint64
	lastID  uint16
	live    []outgoing // of the delivery, only seq is set
}

func (ss *session) decodeFlow(value []byte) (f flow, err error) {
	r := reader{value}
	if r.byte() != flowVersion {
		return flow{}, errFlowRecord
	}
	f.sentSeq, f.lastID = r.uvarint(), uint16(r.uvarint())
	for range min(r.uvarint(), maxWindow) {
		o := outgoing{d: delivery{seq: r.uvarint()}, id: uint16(r.uvarint()), state: sendState(r.byte()), sent: true}
		if o.id == 0 || o.state == settled || o.state > awaitComp {
			r.fail()
		}
		f.live = append(f.live, o)
	}
	for range min(r.uvarint(), maxWindow) {
		ss.received.set(receipt{id: uint16(r.uvarint())})
	}
	ss.gap = r.gap()
	if r.failed() {
		return flow{}, errFlowRecord
	}
	return f, nil
}
