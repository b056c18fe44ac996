package broker

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/broker/topic"
)

// retained holds the last retained message of each topic, shared by the shards (MQTT 5 3.3.1.3).
type retained struct {
	store storage.Store // nil: memory only
	clock *clock
	count atomic.Int64
	bytes atomic.Int64
	last  atomic.Uint64 // serial of the newest message

	released atomic.Uint64 // bytes of messages that were replaced or removed

	mu    sync.RWMutex // guards names; held during calls to the store, so that it gets changes in the same order
	names topic.Names[*message]

	// Guarded by mu. The topics of messages with an expiry. An entry is stale if its topic's message has another deadline.
	expiring deadlines[string]
	swept    int // index of the next entry to check for staleness
}

// set retains a kept message, or removes the topic's message if the payload is empty [MQTT-3.3.1-6]. It returns false if
// there is no room, even after it has removed expired messages.
func (r *retained) set(m *message, l *Limits, now int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.fits(m, l) {
		if !r.expiring.isDue(now) {
			return false
		}
		r.dropFirst()
	}
	old, had := r.names.Get(m.topic)
	if had {
		r.released.Add(uint64(old.size()))
	}
	m.serial = r.last.Add(1)
	r.bytes.Add(int64(growth(m, old)))
	r.put(m, had)
	if had && old.expires != 0 {
		r.sweep()
	}
	if m.expires != 0 && len(m.payload) > 0 {
		r.expiring.push(m.expires, m.topic)
	}
	if r.store != nil && m.qos == 0 {
		r.store.Later(r.op(m.topic))
	}
	return true
}

// fits reports whether there is room for a message in place of the topic's current one.
func (r *retained) fits(m *message, l *Limits) bool {
	old, had := r.names.Get(m.topic)
	if !had && len(m.payload) > 0 && r.count.Load() >= int64(l.MaxRetainedMessages) {
		return false
	}
	grow := growth(m, old)
	return grow <= 0 || r.bytes.Load()+int64(grow) <= int64(l.MaxRetainedBytes)
}

// growth returns the change in retained bytes when m replaces old, which may be nil.
func growth(m, old *message) (n int) {
	if len(m.payload) > 0 {
		n = m.size()
	}
	if old != nil {
		n -= old.size()
	}
	return n
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

// op returns the operation that stores a topic's current message; mu is held. QoS 0 messages are written later, others by a
// transaction. It is the topic's current message, whichever message the transaction was for.
func (r *retained) op(name string) storage.Op {
	m, ok := r.names.Get(name)
	if !ok {
		return storage.Op{Space: storage.SpaceRetained, Key: name, Delete: true}
	}
	one := m.retainedRecord(r.clock)
	value := one.Append(make([]byte, 0, len(m.payload)+len(m.props)+16))
	return storage.Op{Space: storage.SpaceRetained, Key: name, Value: value}
}

// commit passes changes to the store, with the current retained messages of transactions. It holds mu, so that a newer message of
// another shard is not followed by an older one in the store.
func (r *retained) commit(ops []storage.Op, group []*txn, done func(error)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, t := range group {
		for _, name := range t.retained {
			ops = append(ops, r.op(name))
		}
	}
	r.store.Commit(ops, done)
}

// later lets the store write the retained messages of topics when it has time.
func (r *retained) later(names []string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, name := range names {
		r.store.Later(r.op(name))
	}
}

// findNames is the number of names that one step of a search for retained messages visits. Every shard that retains a message
// waits for such a step.
const findNames = 512

// find makes one step of a search for retained messages that match a filter and have serials in a range, and adds them to
// found. It returns false if there is more to search. It removes expired messages that it meets.
func (r *retained) find(w *retainedSearch, filter string, now int64) (done bool) {
	expired, done := r.step(w, filter, now)
	if len(expired) > 0 {
		r.remove(expired)
	}
	return done
}

// retainedSearch is a search for the retained messages that match a filter.
type retainedSearch struct {
	which serialRange
	begun bool
	names topic.NameSearch
	found []*message
}

func (r *retained) step(w *retainedSearch, filter string, now int64) (expired []*message, done bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	fn := func(_ string, m *message) {
		switch {
		case m == nil: // removed meanwhile
		case m.expired(now):
			expired = append(expired, m)
		case m.serial >= w.which.from && m.serial <= w.which.until:
			w.found = append(w.found, m)
		}
	}
	if w.begun {
		return expired, r.names.Continue(&w.names, findNames, fn)
	}
	w.begun = true
	done = r.names.Search(&w.names, filter, findNames, fn)
	return expired, done
}

// remove removes messages that have not been replaced by newer ones.
func (r *retained) remove(all []*message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range all {
		if now, _ := r.names.Get(m.topic); now != m {
			continue
		}
		r.drop(m)
	}
}

// drop removes a topic's message; mu is held.
func (r *retained) drop(m *message) {
	r.names.Delete(m.topic)
	r.count.Add(-1)
	r.bytes.Add(-int64(m.size()))
	r.released.Add(uint64(m.size()))
	if r.store != nil {
		r.store.Later(storage.Op{Space: storage.SpaceRetained, Key: m.topic, Delete: true})
	}
}

// current reports whether m is still the topic's retained message.
func (r *retained) current(m *message) bool { return r.get(m.topic) == m }

// get returns a topic's retained message; nil: none.
func (r *retained) get(name string) *message {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m, _ := r.names.Get(name)
	return m
}

// retain makes m its topic's retained message. It returns false if there is no room.
func (s *shard) retain(m *message) bool {
	k := m
	if len(m.payload) > 0 {
		k = m.ownCopy()
	}
	if m.stored != nil { // the retained copy is separate from the message in transit
		own := *k
		own.stored, own.own = nil, &own
		k = &own
	}
	if !s.b.retained.set(k, &s.b.limits, s.now) {
		return false
	}
	m.serial = k.serial
	if m.expires != 0 && len(m.payload) > 0 {
		s.armFor(&s.expiry.retained, m.expires)
	}
	if m.qos > 0 && s.b.store != nil {
		t := s.openTxn()
		t.retained = append(t.retained, m.topic)
		t.count(m.size())
		t.grow(0, scatteredUnits-1)
	}
	return true
}

// sendRetained sends a retained message for a subscription. RETAIN is set [MQTT-3.3.1-8].
func (s *shard) sendRetained(m *message, sub *subscription) {
	d := delivery{m: m, qos: min(m.qos, sub.qos), retain: true}
	if sub.id != 0 {
		d.ids = []uint32{sub.id}
	}
	s.deliverRetained(sub.session, &d)
}

// deliverRetained gives a retained message to one session.
func (s *shard) deliverRetained(ss *session, d *delivery) {
	if d.qos > 0 && ss.durable != nil && !s.b.diskFull() { // if the disk is full, in memory only
		own := *d.m
		own.own, own.stored = &own, s.newRetried(d.m)
		d.m = &own
	}
	s.enc.restart()
	s.fan.conflates = s.isTicker(d.m.topic)
	s.handDelivery(ss, d)
	s.fan.conflates = false
}

func (m *message) retainedRecord(c *clock) storage.Retained {
	return storage.Retained{Topic: m.topic, QoS: m.qos, Expires: c.expiryStamp(m.expires), Props: m.props, Payload: m.payload}
}

func restoreRetained(r *storage.Retained, c *clock) *message {
	m := &message{topic: r.Topic, qos: r.QoS, retain: true, expires: c.fromExpiry(r.Expires)}
	m.setBytes(r.Props, r.Payload)
	return m
}

// restore reads the retained messages from the store. Messages with refused topics stay there; left is their number.
func (r *retained) restore(l *Limits) (left int, err error) {
	if r.store == nil {
		return 0, nil
	}
	err = r.store.Load(storage.SpaceRetained, func(key string, value []byte) error {
		var one storage.Retained
		if err := one.Parse(key, value); err != nil {
			return fmt.Errorf("restore retained %q: %w", key, err)
		}
		m := restoreRetained(&one, r.clock)
		if m.expired(r.clock.now()) {
			r.store.Later(storage.Op{Space: storage.SpaceRetained, Key: key, Delete: true})
			return nil
		}
		if l.refuses(key) {
			left++
			return nil
		}
		r.names.Set(key, m)
		r.count.Add(1)
		r.bytes.Add(int64(m.size()))
		if m.expires != 0 {
			r.expiring.push(m.expires, key)
		}
		return nil
	})
	return left, err
}
