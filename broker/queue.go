package broker

// delivery is a message for one session, with the options of the matching subscriptions.
type delivery struct {
	m      *message
	ids    []uint32 // subscription identifiers (MQTT 5 3.3.2.3.8)
	pinned bool     // m is pinned for this delivery
	qos    byte     // the lower of the message's and the subscription's
	retain bool     // RETAIN flag in the packet to the client [MQTT-3.3.1-12, MQTT-3.3.1-13]
	seq    uint64   // number of the message in a durable session; 0: the session is not durable
}

// queue holds the messages that wait for a client, in order. The zero value is empty.
type queue struct {
	items    []delivery // from head, which is a message unless the queue is empty; m is nil for an expired message
	head     int
	bytes    int
	expiring *expiries // deadlines of these messages; nil: none expires
}

func (q *queue) len() int {
	n := len(q.items) - q.head
	if q.expiring != nil {
		n -= q.expiring.holes
	}
	return n
}

// first returns the oldest message. The queue must not be empty.
func (q *queue) first() *delivery { return &q.items[q.head] }

// isFull reports whether the queue has no room for another message. n is the size of the message and of the inflight messages, in bytes.
func (q *queue) isFull(l *Limits, n int) bool {
	return q.len() >= l.MaxQueuedMessages || q.bytes+n > l.MaxQueuedBytes
}

func (q *queue) push(ss *session, d delivery) {
	if q.head > 32 && q.head*2 > len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items = q.items[:n]
		q.advance(-q.head)
	}
	q.items = append(q.items, d)
	if d.m.expires != 0 {
		ss.expectQueued(len(q.items) - 1)
	}
	q.count(ss, 1, d.m.size())
}

// count updates the counters for added messages; negative numbers mean removed ones.
func (q *queue) count(ss *session, messages, bytes int) {
	s := ss.shard
	q.bytes += bytes
	s.stats.queued += int64(messages)
	s.stats.queuedBytes += int64(bytes)
	s.countWaiting(messages, bytes)
	ss.rerank()
}

// pop removes and returns the oldest message.
func (q *queue) pop(ss *session) delivery { return q.take(ss, q.head) }

// popLast removes and returns the newest message.
func (q *queue) popLast(ss *session) delivery {
	last := len(q.items) - 1
	for ; q.items[last].m == nil; last-- {
		q.expiring.holes--
	}
	q.items = q.items[:last+1]
	if last == q.head {
		return q.pop(ss)
	}
	d := q.items[last]
	q.items[last] = delivery{}
	q.items = q.items[:last]
	q.count(ss, -1, -d.m.size())
	return d
}

// take removes and returns the message at index i.
func (q *queue) take(ss *session, i int) delivery {
	d := q.items[i]
	q.items[i] = delivery{}
	if i == q.head {
		q.head++
		q.skipHoles()
	} else {
		q.expiring.holes++
	}
	q.count(ss, -1, -d.m.size())
	return d
}

// skipHoles moves the head to the next message, or resets the queue if there is none.
func (q *queue) skipHoles() {
	for e := q.expiring; e != nil && q.head < len(q.items) && q.items[q.head].m == nil; q.head++ {
		e.holes--
	}
	if q.head == len(q.items) {
		q.items = q.items[:0]
		q.advance(-q.head)
	}
}

// advance notes that the items have moved by n places.
func (q *queue) advance(n int) {
	q.head += n
	if q.expiring != nil {
		q.expiring.first -= int64(n)
	}
}

func (q *queue) trim() {
	if q.len() == 0 {
		q.items = nil
	}
}

// filter keeps the messages for which ok returns true, in order, and passes the others to drop.
func (q *queue) filter(ss *session, ok func(*delivery) bool, drop func(*delivery)) {
	for n := q.len(); n > 0; n-- {
		d := q.pop(ss)
		if ok(&d) {
			q.push(ss, d)
			continue
		}
		drop(&d)
	}
}
