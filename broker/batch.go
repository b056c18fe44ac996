package broker

import "sync"

// batch is the messages that one shard hands to another in a turn, with all their bytes in one buffer. It is a post to
// the shard that gets it, and goes back to a pool when that is done.
type batch struct {
	messages []message
	subs     []*subscription // the member of a group that a message is for; nil: all who want it
	txns     []*txn          // that messages of this batch belong to
	buf      []byte
	bytes    int64
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// hand gives a message to another shard, by the end of this turn at the latest.
func (s *shard) hand(to *shard, m *message, sub *subscription) {
	b := s.out[to.index]
	if b == nil {
		b = batches.Get().(*batch)
		s.out[to.index] = b
	}
	b.add(m, sub)
	if b.bytes > batchBytes {
		s.sendBatch(to)
	}
}

// add copies a message into the batch; one that is kept already shares its bytes.
func (b *batch) add(m *message, sub *subscription) {
	b.messages = append(b.messages, *m)
	one := &b.messages[len(b.messages)-1]
	if m.kept != nil {
		k := m.keep() // others look at it from now on
		one.payload, one.props = k.payload, k.props
	} else {
		n := len(b.buf)
		b.buf = append(append(b.buf, m.payload...), m.props...)
		split := n + len(m.payload)
		one.payload, one.props = b.buf[n:split:split], b.buf[split:]
	}
	if m.stored != nil {
		b.join(m.stored.txn)
	}
	b.subs = append(b.subs, sub)
	b.bytes += int64(m.size())
}

// join makes the batch a part of a transaction, which is not complete before the batch has been handled.
func (b *batch) join(t *txn) {
	if n := len(b.txns); n > 0 && b.txns[n-1] == t {
		return
	}
	t.left.Add(1)
	b.txns = append(b.txns, t)
}

// sendBatches posts what this turn has for other shards.
func (s *shard) sendBatches() {
	for i, b := range s.out {
		if b != nil {
			s.sendBatch(s.b.shards[i])
		}
	}
}

// sendBatch posts to a shard. If that shard has fallen behind, this one stops reading whoever publishes to it, from
// their next message on, until it has caught up.
func (s *shard) sendBatch(to *shard) {
	b := s.out[to.index]
	s.out[to.index] = nil
	bytes := b.bytes // when it has been posted it is the other's
	waiting := to.stats.inboxBytes.Add(bytes)
	if !to.in.put(b) {
		b.drop()
		return
	}
	if !s.sendSoon(to, bytes) {
		to.poll.Wake()
	}
	if waiting > inboxBytes && !s.choked[to.index] {
		s.choked[to.index] = true
		to.post(call(func(t *shard) { t.waiters = append(t.waiters, s) }))
	}
}

// run delivers the messages to the shard's own subscribers.
func (b *batch) run(s *shard) {
	for i := range b.messages {
		m := &b.messages[i]
		s.oldest = min(s.oldest, m.read)
		if sub := b.subs[i]; sub != nil {
			s.deliverShared(m, sub)
		} else {
			s.deliver(m, s.routeOf(m.topic))
		}
		s.relieve()
	}
	s.stats.inboxBytes.Add(-b.bytes)
	for _, t := range b.txns {
		t.finish()
	}
	b.drop()
}

// drop gives the batch back.
func (b *batch) drop() {
	if cap(b.buf) > 4*batchBytes {
		b.buf = nil
	}
	clear(b.messages)
	clear(b.subs)
	clear(b.txns)
	b.messages, b.subs, b.txns, b.buf, b.bytes = b.messages[:0], b.subs[:0], b.txns[:0], b.buf[:0], 0
	batches.Put(b)
}

// hold stops reading a connection that publishes to a shard which has fallen behind.
func (s *shard) hold(c *conn, to int) {
	if c != nil && s.choked[to] && c.paused&pauseChoked == 0 {
		s.held[to] = append(s.held[to], c)
		c.setPause(pauseChoked, true)
	}
}

// releaseWaiters lets the shards that wait for this one read on.
func (s *shard) releaseWaiters() {
	me := s.index
	for _, w := range s.waiters {
		w.post(call(func(w *shard) {
			w.choked[me] = false
			for _, c := range w.held[me] {
				if c.shard == w && c.state != stateClosed {
					c.setPause(pauseChoked, false)
				}
			}
			clear(w.held[me])
			w.held[me] = w.held[me][:0]
		}))
	}
	clear(s.waiters)
	s.waiters = s.waiters[:0]
}
