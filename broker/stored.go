package broker

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
)

// stored is a message that the store keeps once for all the durable sessions that it is for, on whichever shards they
// are. It is put on disk by the transaction of the turn in which it was read, and deleted when the last of the sessions
// is done with it.
type stored struct {
	// Static after construction.
	id  uint64
	txn *txn

	owed bool // a will that failed: the transaction that publishes it again deletes this; of the shard's loop

	refs  atomic.Int32  // sessions that are not done with it, and one for the transaction until the store has it
	state atomic.Uint32 // of the transaction

	mu      sync.Mutex // guards targets
	record  []byte     // the message, encoded; nil once the store has it
	targets []byte     // the sessions, encoded
}

// What has become of a stored message.
const (
	storeWaits  uint32 = iota // it is not on disk yet
	storeHasIt                // it is on disk
	storeFailed               // it could not be written: whoever published it was not acknowledged
)

// newStored makes m a message that is kept for durable sessions, by the transaction of this turn.
func (s *shard) newStored(m *message) *stored {
	t := s.openTxn()
	p := &stored{id: s.b.lastMessage.Add(1), txn: t, record: encodeMessage(m, &s.b.clock)}
	p.refs.Store(1)
	t.messages = append(t.messages, p)
	t.bytes += int64(len(p.record))
	return p
}

// add makes a session one that the message is kept for.
func (p *stored) add(ss *session, d *delivery) {
	p.refs.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets = appendTarget(p.targets, ss.durable.num, d)
}

// op is what puts the message on disk.
func (p *stored) op() Op {
	p.mu.Lock()
	defer p.mu.Unlock()
	value := append(p.record, p.targets...)
	p.record, p.targets = nil, nil
	return Op{Space: SpaceMessages, Key: numberKey(p.id), Value: value}
}

func (p *stored) deletion() Op { return Op{Space: SpaceMessages, Key: numberKey(p.id), Delete: true} }

// lost tells that the message could not be kept, so that its publisher will send it again.
func (d *delivery) lost() bool { return d.m.stored != nil && d.m.stored.state.Load() == storeFailed }

// A stored message is: a version byte, flags, the stamp at which it expires if it does, topic, properties and payload
// with their lengths in front, then its targets to the end.
const (
	messageVersion   = 1
	messageQoS       = 3
	messageRetain    = 4
	messageHasExpiry = 8
)

var errMessageRecord = errors.New("not a message of a version that this program knows; run the version that wrote it, or restore a backup")

func encodeMessage(m *message, c *clock) []byte {
	b := make([]byte, 0, len(m.topic)+len(m.props)+len(m.payload)+64)
	flags := m.qos & messageQoS
	if m.retain {
		flags |= messageRetain
	}
	if m.expires != 0 {
		flags |= messageHasExpiry
	}
	b = append(b, messageVersion, flags)
	if m.expires != 0 {
		b = binary.AppendVarint(b, c.stamp(m.expires))
	}
	b = appendBytes(b, m.topic)
	b = appendBytes(b, m.props)
	return appendBytes(b, m.payload)
}

// decodeMessage returns a message with bytes of its own, and its targets, which lie in value.
func decodeMessage(value []byte, c *clock, now int64) (m *message, targets []byte, err error) {
	r := reader{value}
	if r.byte() != messageVersion {
		return nil, nil, errMessageRecord
	}
	flags := r.byte()
	m = &message{qos: flags & messageQoS, retain: flags&messageRetain != 0, read: now}
	if flags&messageHasExpiry != 0 {
		m.expires = max(c.from(r.varint()), 1)
	}
	m.topic = string(r.bytes())
	props, payload := r.bytes(), r.bytes()
	if r.failed() {
		return nil, nil, errMessageRecord
	}
	own := append(append(make([]byte, 0, len(props)+len(payload)), props...), payload...)
	m.props, m.payload = own[:len(props):len(props)], own[len(props):]
	m.kept = m
	return m, r.rest, nil
}

// A target is: the session's number, the message's place in it, flags, and where the flags say so the subscription
// identifiers and the shared subscription.
const (
	targetQoS    = 3
	targetRetain = 4
	targetIDs    = 8
	targetShared = 16
)

func appendTarget(b []byte, session uint64, d *delivery) []byte {
	b = binary.AppendUvarint(b, session)
	b = binary.AppendUvarint(b, d.seq)
	flags := d.qos & targetQoS
	if d.retain {
		flags |= targetRetain
	}
	if d.ids != nil {
		flags |= targetIDs
	}
	if d.m.group != nil {
		flags |= targetShared
	}
	b = append(b, flags)
	if d.ids != nil {
		b = binary.AppendUvarint(b, uint64(len(d.ids)))
		for _, id := range d.ids {
			b = binary.AppendUvarint(b, uint64(id))
		}
	}
	if g := d.m.group; g != nil {
		b = appendBytes(b, g.name)
		b = appendBytes(b, g.filter)
	}
	return b
}

// target is one session that a stored message is for.
type target struct {
	session uint64
	seq     uint64
	ids     []uint32
	share   subscriptionKey // of the shared subscription; empty: none
	qos     byte
	retain  bool
}

func (r *reader) target() (t target) {
	t.session, t.seq = r.uvarint(), r.uvarint()
	flags := r.byte()
	t.qos, t.retain = flags&targetQoS, flags&targetRetain != 0
	if flags&targetIDs != 0 {
		n := r.uvarint()
		for range min(n, uint64(len(r.rest))) {
			t.ids = append(t.ids, uint32(r.uvarint()))
		}
	}
	if flags&targetShared != 0 {
		t.share = subscriptionKey{share: string(r.bytes()), filter: string(r.bytes())}
	}
	return t
}
