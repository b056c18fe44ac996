package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/outcry-mqtt/outcry/broker/topic"
)

// retained is the last retained message of each topic, shared by the shards (MQTT 5 3.3.1.3).
type retained struct {
	store Store // nil: memory only
	clock *clock
	count atomic.Int64
	bytes atomic.Int64
	last  atomic.Uint64 // serial of the newest message

	mu    sync.RWMutex // guards names; the store is told with it held, so that its order is ours
	names topic.Names[*message]
}

// set retains a message that is kept, or removes the topic's if it is empty [MQTT-3.3.1-6]. It returns false if there is
// no room.
func (r *retained) set(m *message, l *Limits) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, had := r.names.Get(m.topic)
	grow := 0
	if len(m.payload) > 0 {
		grow = m.size()
	}
	if had {
		grow -= old.size()
	}
	if !had && len(m.payload) > 0 && int(r.count.Load()) >= l.MaxRetainedMessages || grow > 0 && int(r.bytes.Load())+grow > l.MaxRetainedBytes {
		return false
	}
	m.serial = r.last.Add(1)
	r.bytes.Add(int64(grow))
	r.put(m, had)
	if r.store != nil && m.qos == 0 {
		r.store.Later(r.op(m.topic))
	}
	return true
}

func (r *retained) put(m *message, had bool) {
	switch {
	case len(m.payload) > 0:
		r.names.Set(m.topic, m)
		if !had {
			r.count.Add(1)
		}
	case had:
		r.names.Delete(m.topic)
		r.count.Add(-1)
	}
}

// op is what makes the store's message of a topic the present one; mu is held. A QoS 0 message is written behind, others by
// a transaction. Whichever shard retains last, the present message is what every one of them writes.
func (r *retained) op(name string) Op {
	m, ok := r.names.Get(name)
	if !ok {
		return Op{Space: SpaceRetained, Key: name, Delete: true}
	}
	return Op{Space: SpaceRetained, Key: name, Value: encodeRetained(m, r.clock)}
}

// commit gives the store changes, and the retained messages of transactions as they are now.
func (r *retained) commit(ops []Op, group []*txn, done func(error)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, t := range group {
		for _, name := range t.retained {
			ops = append(ops, r.op(name))
		}
	}
	r.store.Commit(ops, done)
}

// later has the store write the retained messages of topics when it can.
func (r *retained) later(names []string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, name := range names {
		r.store.Later(r.op(name))
	}
}

// match returns the retained messages that a filter matches, none that came after the one of a serial. Those that have
// expired are found here, and removed.
func (r *retained) match(filter string, until uint64, now int64) []*message {
	found, expired := r.find(filter, until, now)
	if len(expired) > 0 {
		r.remove(expired)
	}
	return found
}

func (r *retained) find(filter string, until uint64, now int64) (found, expired []*message) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	r.names.Match(filter, func(_ string, m *message) bool {
		switch {
		case m.expired(now):
			expired = append(expired, m)
		case m.serial <= until:
			found = append(found, m)
		}
		return true
	})
	return found, expired
}

// remove takes messages out that nothing newer has replaced.
func (r *retained) remove(all []*message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range all {
		if now, _ := r.names.Get(m.topic); now != m {
			continue
		}
		r.names.Delete(m.topic)
		r.count.Add(-1)
		r.bytes.Add(-int64(m.size()))
		if r.store != nil {
			r.store.Later(Op{Space: SpaceRetained, Key: m.topic, Delete: true})
		}
	}
}

// current tells whether m is still the topic's retained message.
func (r *retained) current(m *message) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	now, _ := r.names.Get(m.topic)
	return now == m
}

// retain makes m its topic's retained message.
func (s *shard) retain(m *message) {
	k := m
	if len(m.payload) > 0 {
		k = m.keep()
	}
	if m.stored != nil { // it is kept apart from the message on its way
		own := *k
		own.stored, own.kept = nil, &own
		k = &own
	}
	if !s.b.retained.set(k, &s.b.limits) {
		s.stats.dropped[dropRetainedFull]++
		return
	}
	if m.qos > 0 && s.b.store != nil {
		t := s.openTxn()
		t.retained = append(t.retained, m.topic)
		t.bytes += int64(m.size())
	}
}

// sendRetained sends a retained message because of a subscription: RETAIN is set [MQTT-3.3.1-8].
func (s *shard) sendRetained(m *message, sub *subscription) {
	d := delivery{m: m, qos: min(m.qos, sub.qos), retain: true}
	if d.qos > 0 && sub.session.durable != nil {
		own := *m
		own.kept, own.stored = &own, s.newStored(m)
		d.m = &own
	}
	if sub.id != 0 {
		d.ids = []uint32{sub.id}
	}
	s.encoded = [len(s.encoded)]stretch{}
	s.handDelivery(sub.session, &d)
}

// A stored retained message is: a version byte, flags, the stamp at which it expires if it does, the length of the
// properties, the properties, the payload.
const (
	retainedVersion   = 1
	retainedQoS       = 3
	retainedHasExpiry = 4
)

func encodeRetained(m *message, c *clock) []byte {
	b := make([]byte, 0, len(m.payload)+len(m.props)+16)
	flags := m.qos & retainedQoS
	if m.expires != 0 {
		flags |= retainedHasExpiry
	}
	b = append(b, retainedVersion, flags)
	if m.expires != 0 {
		b = binary.AppendVarint(b, c.stamp(m.expires))
	}
	b = binary.AppendUvarint(b, uint64(len(m.props)))
	b = append(b, m.props...)
	return append(b, m.payload...)
}

var errRetainedValue = errors.New("not a retained message of a version that this program knows")

func decodeRetained(name string, v []byte, c *clock) (*message, error) {
	if len(v) < 3 || v[0] != retainedVersion {
		return nil, errRetainedValue
	}
	m := &message{topic: name, qos: v[1] & retainedQoS, retain: true}
	hasExpiry, v := v[1]&retainedHasExpiry != 0, v[2:]
	if hasExpiry {
		at, n := binary.Varint(v)
		if n <= 0 {
			return nil, errRetainedValue
		}
		m.expires = max(c.from(at), 1)
		v = v[n:]
	}
	size, n := binary.Uvarint(v)
	if n <= 0 || size > uint64(len(v)-n) {
		return nil, errRetainedValue
	}
	own := append([]byte(nil), v[n:]...)
	m.props, m.payload = own[:size:size], own[size:]
	m.kept = m
	return m, nil
}

// restore reads the retained messages from the store.
func (r *retained) restore() error {
	if r.store == nil {
		return nil
	}
	return r.store.Load(SpaceRetained, func(key string, value []byte) error {
		m, err := decodeRetained(key, value, r.clock)
		if err != nil {
			return fmt.Errorf("restore retained %q: %w", key, err)
		}
		if m.expired(r.clock.now()) {
			r.store.Later(Op{Space: SpaceRetained, Key: key, Delete: true})
			return nil
		}
		r.names.Set(key, m)
		r.count.Add(1)
		r.bytes.Add(int64(m.size()))
		return nil
	})
}
