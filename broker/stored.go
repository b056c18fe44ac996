package broker

import (
	"sync"
	"sync/atomic"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// storedMessage is a message that the store holds once for all of its durable sessions, on all shards. The transaction of the turn
// in which it was read persists it, and it is deleted when the last of the sessions no longer needs it.
type storedMessage struct {
	// Static after construction.
	id      uint64
	txn     *txn
	retries bool // no publisher will send it again: if it could not be written, the next transaction writes it

	// Owned by the loop of the transaction's shard.
	given   bool   // a transaction has passed it to the store and has released its reference
	counted uint32 // bytes of record that the transaction counts

	outcome atomic.Uint32 // bits, see outcomeTaken

	refs  atomic.Int32  // sessions that still need it, plus one for the transaction until the store has it
	state atomic.Uint32 // storeWaits, storeHasIt, storeFailed or storeUndone

	mu     sync.Mutex // guards record
	record []byte     // the encoded message with its sessions; nil once the store has it
}

// States of a stored message.
const (
	storeWaits  uint32 = iota // not on disk yet
	storeHasIt                // on disk
	storeFailed               // not written, as far as the store knows: its publisher got no acknowledgement, and will send it again
	storeUndone               // the same, and a later transaction has deleted it in case it was written after all
)

// newStored adds m to this turn's transaction, which persists it for durable sessions.
func (s *shard) newStored(m *message) *storedMessage {
	t := s.openTxn()
	r := m.record(&s.b.clock)
	p := &storedMessage{id: s.b.last.message.Add(1), txn: t, record: r.Append(make([]byte, 0, len(m.topic)+len(m.props)+len(m.payload)+64))}
	p.refs.Store(1)
	t.messages = append(t.messages, p)
	p.counted = uint32(len(p.record))
	t.count(len(p.record))
	return p
}

// newRetried is newStored for a message that no publisher will send again after a failed write.
func (s *shard) newRetried(m *message) *storedMessage {
	p := s.newStored(m)
	p.retries = true
	return p
}

// add adds a session that needs the message.
func (p *storedMessage) add(ss *session, d *delivery) {
	p.refs.Add(1)
	t := d.target(ss)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.record = t.Append(p.record)
}

// op returns the operation that persists the message.
func (p *storedMessage) op() storage.Op {
	p.mu.Lock()
	defer p.mu.Unlock()
	value := p.record
	if !p.retries {
		p.record = nil
	}
	return storage.Op{Space: storage.SpaceMessages, Key: storage.NumberKey(p.id), Value: value}
}

// settle records the result of the write.
func (p *storedMessage) settle(state uint32) {
	if !p.retries {
		p.state.Store(state)
		return
	}
	if state == storeFailed {
		return // it waits for the next transaction
	}
	p.state.Store(state)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.record = nil
}

// again prepares the message for another transaction. It returns false if no session needs it any more.
func (p *storedMessage) again() bool {
	if !p.given {
		return p.refs.Load() > 1
	}
	for n := p.refs.Load(); n > 0; n = p.refs.Load() {
		if p.refs.CompareAndSwap(n, n+1) {
			p.given = false
			return true
		}
	}
	return false
}

func (p *storedMessage) deletion() storage.Op {
	return storage.Op{Space: storage.SpaceMessages, Key: storage.NumberKey(p.id), Delete: true}
}

// lost reports whether the message could not be persisted, so that its publisher will send it again.
func (d *delivery) lost() bool { return d.m.stored != nil && d.m.stored.state.Load() >= storeFailed }

// record returns the message's record, without its number and its targets.
func (m *message) record(c *clock) storage.Message {
	return storage.Message{
		Topic: m.topic, QoS: m.qos, Retain: m.retain, Expires: c.expiryStamp(m.expires), Props: m.props, Payload: m.payload,
	}
}

func restoreMessage(r *storage.Message, c *clock, now int64) *message {
	m := &message{topic: r.Topic, qos: r.QoS, retain: r.Retain, read: now, expires: c.fromExpiry(r.Expires)}
	m.setBytes(r.Props, r.Payload)
	return m
}

// setBytes gives a restored message copies of its properties and its payload.
func (m *message) setBytes(props, payload []byte) {
	own := append(append(make([]byte, 0, len(props)+len(payload)), props...), payload...)
	m.props, m.payload = own[:len(props):len(props)], own[len(props):]
	m.own = m
}

// target returns the session as a target of the message.
func (d *delivery) target(ss *session) storage.Target {
	t := storage.Target{Session: ss.durable.num, Seq: d.seq, QoS: d.qos, Retain: d.retain, IDs: d.ids}
	if g := d.m.group; g != nil {
		t.Share, t.Filter = g.name, g.filter
	}
	return t
}
