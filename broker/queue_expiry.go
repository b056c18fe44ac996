package broker

import "github.com/outcry-mqtt/outcry/internal/wheel"

// expiries holds the deadlines of a session's unsent messages: the queued ones, and those in the in-flight window that wait
// for the disk or for the client to return.
type expiries struct {
	timer wheel.Timer // fires at the earliest deadline
	heap  deadlines[int64]
	first int64 // place of the queue's items[0]; places increase by one per message, and only the last one is reused
	holes int   // number of holes in the queue's items
	most  int   // length of the heap above which stale entries are removed
}

// minExpiries is the length up to which the heap may hold stale entries.
const minExpiries = 64

// expectExpiry records a message's deadline. Its place is the one in the queue, or the negative packet identifier.
func (ss *session) expectExpiry(at, place int64) {
	e := ss.queue.expiring
	e.heap.push(at, place)
	if len(e.heap) > e.most {
		ss.renewExpiries()
	}
	ss.shard.armFor(&e.timer, at)
}

// expectQueued is expectExpiry for the message at index i of the queue.
func (ss *session) expectQueued(i int) {
	e := ss.needExpiries()
	ss.expectExpiry(ss.queue.items[i].m.expires, e.first+int64(i))
}

// expectUnsent is expectExpiry for a message in the in-flight window.
func (ss *session) expectUnsent(o *outgoing) {
	ss.needExpiries()
	ss.expectExpiry(o.d.m.expires, -int64(o.id))
}

func (ss *session) needExpiries() *expiries {
	q := &ss.queue
	if q.expiring == nil {
		q.expiring = &expiries{most: minExpiries}
		q.expiring.timer.Owner = ss
	}
	return q.expiring
}

// reap drops messages that have expired.
func (ss *session) reap(s *shard) (more bool) {
	for range reapBatch {
		if !ss.dropExpired() {
			break
		}
	}
	e := ss.queue.expiring
	switch {
	case e == nil:
		return false
	case e.heap.isDue(s.now):
		return true
	case len(e.heap) > 0:
		s.armFor(&e.timer, e.heap[0].at)
	case e.holes == 0:
		ss.forgetExpiries()
	}
	return false
}

// dropExpired drops the expired message with the earliest deadline, unless it was sent or dropped already. It returns false
// if none is due.
func (ss *session) dropExpired() bool {
	q := &ss.queue
	e := q.expiring
	if e == nil || !e.heap.isDue(ss.shard.now) {
		return false
	}
	place := e.heap.pop().item
	if place < 0 {
		if o := ss.inflight.find(uint16(-place)); o != nil && o.expires() && o.d.m.expired(ss.shard.now) {
			ss.countExpired(&o.d)
			ss.settle(o)
		}
		return true
	}
	i := int(place - e.first)
	if i < q.head || i >= len(q.items) || q.items[i].m == nil || !q.items[i].m.expired(ss.shard.now) {
		return true
	}
	d := q.take(ss, i)
	ss.countExpired(&d)
	ss.release(&d)
	if e.holes > minExpiries && e.holes > q.len() {
		ss.renewExpiries()
	}
	return true
}

// countExpired counts an expired message as dropped, unless its publisher will send it again.
func (ss *session) countExpired(d *delivery) {
	if !d.lost() {
		ss.skip(dropExpired)
	}
}

// expires reports whether a message in the in-flight window can still expire. A sent message cannot, because it may be
// retransmitted at any time [MQTT-4.4.0-1].
func (o *outgoing) expires() bool { return !o.sent && o.d.m != nil && o.d.m.expires != 0 }

// renewExpiries removes the holes in the queue and the stale deadlines. It runs when half of the entries are stale.
func (ss *session) renewExpiries() {
	q := &ss.queue
	e := q.expiring
	q.closeHoles()
	e.heap = e.heap[:0]
	for i := range q.items {
		if m := q.items[i].m; m != nil && m.expires != 0 {
			e.heap = append(e.heap, due[int64]{m.expires, e.first + int64(i)})
		}
	}
	ss.inflight.each(func(o *outgoing) {
		if o.expires() {
			e.heap = append(e.heap, due[int64]{o.d.m.expires, -int64(o.id)})
		}
	})
	e.heap.order()
	e.most = max(2*len(e.heap), q.len()+ss.inflight.n, minExpiries)
}

// closeHoles moves the messages to the front and removes the holes.
func (q *queue) closeHoles() {
	live := q.items[:0]
	for _, d := range q.items[q.head:] {
		if d.m != nil {
			live = append(live, d)
		}
	}
	clear(q.items[len(live):])
	q.expiring.first += int64(len(q.items)) // no place is used again
	q.expiring.holes = 0
	q.items, q.head = live, 0
}

// forgetExpiries frees the deadlines of a session without expiring messages.
func (ss *session) forgetExpiries() {
	if e := ss.queue.expiring; e != nil {
		ss.shard.wheel.Stop(&e.timer)
		ss.queue.expiring = nil
	}
}
