package broker

import "sync"

// batch holds one turn's messages from a shard to another, with their bytes in one buffer. It is a post to the receiving shard, and
// returns to a pool afterwards.
type batch struct {
	messages []message
	subs     []*subscription  // group member that the message at this index is for; nil: all subscribers
	matches  map[int]*matches // by message index: its subscribers, if finding them took a long search
	txns     []*txn           // transactions of the messages in this batch
	buf      []byte
	bytes    int64
	work     int64 // cost in units of delivering the messages
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// hand adds a message to another shard's batch, which is posted by the end of this turn at the latest. work is the cost in units of
// delivering it. found is the result of a long search for its subscribers, or nil.
func (s *shard) hand(to *shard, m *message, sub *subscription, work int64, found *matches) {
	b := s.fan.batches[to.index]
	if b == nil {
		b = batches.Get().(*batch)
		s.fan.batches[to.index] = b
	}
	b.add(m, sub)
	b.work += work
	if found != nil {
		b.note(found)
	}
	if b.bytes > batchBytes || b.work > batchWork {
		s.sendBatch(to)
	}
}

// add copies a message into the batch. A message with a kept copy shares its bytes.
func (b *batch) add(m *message, sub *subscription) {
	b.messages = append(b.messages, *m)
	one := &b.messages[len(b.messages)-1]
	if m.own != nil || m.isLarge() {
		k := m.ownCopy() // another shard reads the bytes from now on
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

// note attaches the result of a long search to the last message.
func (b *batch) note(found *matches) {
	if b.matches == nil {
		b.matches = make(map[int]*matches)
	}
	b.matches[len(b.messages)-1] = found
}

// join makes the batch part of a transaction, which is incomplete until the batch has been handled.
func (b *batch) join(t *txn) {
	if n := len(b.txns); n > 0 && b.txns[n-1] == t {
		return
	}
	t.left.Add(1)
	b.txns = append(b.txns, t)
}

func (s *shard) sendBatches() {
	for i, b := range s.fan.batches {
		if b != nil {
			s.sendBatch(s.b.shards[i])
		}
	}
}

// sendBatch posts a batch to a shard. If that shard has fallen behind, this one holds back the connections that publish to it, from
// their next message on, until it has caught up.
func (s *shard) sendBatch(to *shard) {
	b := s.fan.batches[to.index]
	s.fan.batches[to.index] = nil
	bytes := b.bytes // the receiver owns the batch once it is posted
	waiting, work := to.stats.inboxBytes.Add(bytes), to.stats.inboxWork.Add(b.work)
	if !to.in.put(b) {
		b.drop()
		return
	}
	if !s.wakeLater(to, bytes) {
		to.poll.Wake()
	}
	s.choke(to, waiting, work)
}

// run delivers the messages to the shard's own subscribers.
func (b *batch) run(s *shard) {
	for i := range b.messages {
		m := &b.messages[i]
		s.turns.oldest = min(s.turns.oldest, m.read)
		if sub := b.subs[i]; sub != nil {
			s.deliverShared(m, sub)
		} else if b.matches != nil && b.matches[i] != nil { // testing for nil first is faster: a lookup in a nil map is a function call
			s.deliverTo(m, b.matches[i].of(s, s.topics.of(m.topic)))
		} else {
			s.deliver(m, s.topics.of(m.topic))
		}
		s.relieve()
	}
	s.stats.inboxBytes.Add(-b.bytes)
	s.stats.inboxWork.Add(-b.work)
	for _, t := range b.txns {
		t.finish()
	}
	b.drop()
}

func (b *batch) drop() {
	if cap(b.buf) > 4*batchBytes {
		b.buf = nil
	}
	clear(b.messages)
	clear(b.subs)
	clear(b.txns)
	b.matches = nil
	b.messages, b.subs, b.txns, b.buf, b.bytes, b.work = b.messages[:0], b.subs[:0], b.txns[:0], b.buf[:0], 0, 0
	batches.Put(b)
}
