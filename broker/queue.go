package broker

// delivery is a message for one session, with what its subscriptions make of it.
type delivery struct {
	m      *message
	ids    []uint32 // subscription identifiers (MQTT 5 3.3.2.3.8)
	held   bool     // m is held for it
	qos    byte     // the lower of the message's and the subscription's
	retain bool     // the RETAIN flag that the client is shown [MQTT-3.3.1-12, MQTT-3.3.1-13]
	seq    uint64   // its place among the messages of a durable session; 0: the session is none
}

// queue is messages that wait for a client, in order. The zero value is empty.
type queue struct {
	items []delivery
	head  int
	bytes int
}

func (q *queue) len() int { return len(q.items) - q.head }

// isFull tells whether a message of n bytes is too much for the queue, or for all queues together.
func (q *queue) isFull(b *Broker, n int) bool {
	l := &b.limits
	return q.len() >= l.MaxQueuedMessages || q.bytes+n > l.MaxQueuedBytes ||
		int(b.queued.Load()) >= l.MaxQueuedMessagesTotal || int(b.queuedBytes.Load())+n > l.MaxQueuedBytesTotal
}

func (q *queue) push(s *shard, d delivery) {
	if q.head > 32 && q.head*2 > len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, d)
	n := d.m.size()
	q.bytes += n
	s.stats.queued++
	s.stats.queuedBytes += int64(n)
	s.b.queued.Add(1)
	s.b.queuedBytes.Add(int64(n))
}

func (q *queue) pop(s *shard) delivery {
	d := q.items[q.head]
	q.items[q.head] = delivery{}
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	n := d.m.size()
	q.bytes -= n
	s.stats.queued--
	s.stats.queuedBytes -= int64(n)
	s.b.queued.Add(-1)
	s.b.queuedBytes.Add(int64(-n))
	return d
}

// trim gives back the memory of an empty queue.
func (q *queue) trim() {
	if q.len() == 0 {
		q.items = nil
	}
}

// filter keeps what ok says yes to, in order, and hands the rest to drop.
func (q *queue) filter(s *shard, ok func(*delivery) bool, drop func(*delivery)) {
	for n := q.len(); n > 0; n-- {
		d := q.pop(s)
		if ok(&d) {
			q.push(s, d)
			continue
		}
		drop(&d)
	}
}
