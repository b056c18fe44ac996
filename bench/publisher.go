package bench

import "sync/atomic"

// publisher is a client that publishes. It belongs to a worker, except for its shared fields.
type publisher struct {
	flow   *flow
	index  uint32
	place  int // index among its worker's publishers
	worker *worker
	conn   *conn
	number uint32 // number of messages sent
	ids    identifiers

	// Closed loop. With several workers, all change these fields, atomically.
	inFlight int32   // messages in flight
	missing  []int32 // by slot: number of workers with missing deliveries
}

// streamOf returns the stream and the number within it of the publisher's n-th message.
func (p *publisher) streamOf(n uint32) (stream, number uint32) {
	first := &p.flow.streams[p.index]
	if first.count == 1 {
		return p.index, n
	}
	return p.index + n%first.count*uint32(p.flow.opts.Publishers), n / first.count
}

// send sends at most limit messages, or none if fewer than least can be sent. It reports whether there is more to
// send.
func (p *publisher) send(w *worker, s *share, limit, least uint32) (more bool) {
	c := p.conn
	if c.state != up || len(c.pending) > 0 {
		return false
	}
	room := min(limit, p.available(least))
	w.now = w.clock()
	sent := uint32(0)
	for ; sent < room && p.bufferNext(w, s); sent++ {
		if len(w.out) >= flushAt {
			if !w.flush(c) || len(c.pending) > 0 {
				return false
			}
			w.now = w.clock()
		}
	}
	return w.flush(c) && len(c.pending) == 0 && sent == limit
}

// available returns the number of messages that fit in the window and the broker's receive maximum; 0 if fewer than least.
func (p *publisher) available(least uint32) uint32 {
	room := ^uint32(0)
	limit := func(taken, most int) {
		free := uint32(max(most-taken, 0))
		if free < min(least, uint32(most)/4) {
			free = 0
		}
		room = min(room, free)
	}
	if p.flow.ring > 0 {
		limit(int(atomic.LoadInt32(&p.inFlight)), int(p.flow.window))
	}
	if p.flow.opts.QoS > 0 {
		limit(p.ids.taken, min(p.conn.receiveMaximum, p.flow.opts.InFlight))
	}
	return room
}

// bufferNext buffers the next message. It returns false if an earlier message still has its slot.
func (p *publisher) bufferNext(w *worker, s *share) bool {
	f := p.flow
	streamIndex, number := p.streamOf(p.number)
	topic := f.streams[streamIndex].topic
	fan := f.fan[topic]
	if f.ring > 0 && fan > 0 && !p.takeSlot(topic) {
		return false
	}
	stamp := w.now
	if s.gap > 0 {
		stamp = s.dueAt(p.place, p.number)
		if f.within(stamp) {
			w.behind.record(w.now - stamp)
		}
	}
	id := uint16(0)
	if f.opts.QoS > 0 {
		id = p.ids.take(w.now)
	}
	w.publish(p.conn, f.topics[topic], id, header{stamp: stamp, run: f.run, stream: streamIndex, number: number})
	p.number++
	w.n.sent++
	w.n.expected += uint64(fan)
	if f.within(stamp) {
		w.n.sentWithin++
		w.n.expectedWithin += uint64(fan)
	}
	return true
}

// publish buffers a message.
func (w *worker) publish(c *conn, topic []byte, id uint16, h header) {
	if w.dialect != nil {
		b := w.begin(c, w.dialect.publishLen(len(topic), w.opts.Payload))
		payload := w.dialect.publish(b, topic)
		copy(payload[headerSize:], w.run.filler)
		w.dialect.putHeader(h, payload)
		w.end(c, b)
		return
	}
	whole, remaining := publishLen(w.opts.Version, len(topic), w.opts.Payload, w.opts.QoS)
	b := w.begin(c, whole)
	payload := putPublish(b, w.opts.Version, topic, w.opts.QoS, false, id, remaining)
	h.put(payload)
	copy(payload[headerSize:], w.run.filler)
	w.end(c, b)
}

// takeSlot takes the slot of the next message.
func (p *publisher) takeSlot(topic uint32) bool {
	left := &p.missing[p.number&(p.flow.ring-1)]
	if p.flow.solo {
		if *left > 0 {
			return false
		}
		*left = 1
		p.inFlight++
		return true
	}
	if atomic.LoadInt32(left) > 0 {
		return false
	}
	n := int32(0)
	for _, s := range p.flow.shares {
		if s.fan[topic] > 0 {
			n++
		}
	}
	atomic.StoreInt32(left, n)
	atomic.AddInt32(&p.inFlight, 1)
	return true
}

// delivered records that a message has come to all subscribers of one worker.
func (p *publisher) delivered(number uint32, s *share) {
	left := &p.missing[number&(p.flow.ring-1)]
	if p.flow.solo {
		*left = 0
		p.inFlight--
		return
	}
	if atomic.AddInt32(left, -1) == 0 {
		atomic.AddInt32(&p.inFlight, -1)
		s.wakes[p.worker.number], s.anyWakes = true, true
	}
}

// giveUpAll gives up all messages in flight.
func (p *publisher) giveUpAll() {
	for i := range p.missing {
		atomic.StoreInt32(&p.missing[i], 0)
	}
	atomic.StoreInt32(&p.inFlight, 0)
}

func (p *publisher) up(*worker, *conn) {}

func (p *publisher) message(w *worker, _ *conn, _ *publication) { w.n.foreign++ }

func (p *publisher) down(*worker, *conn) {}

func (p *publisher) acknowledged(w *worker, c *conn, kind byte, id uint16, code byte) {
	sent, final := p.ids.answer(w, c, kind, id, code)
	if final && p.flow.within(sent) {
		w.acks.record(w.now - sent)
	}
}

// identifiers are the packet identifiers of one publisher, from 1 to a power of two.
type identifiers struct {
	qos   byte
	state []byte  // awaited packet type by identifier, or 0
	sent  []int64 // ns since the run began
	next  uint32
	taken int
}

func newIdentifiers(qos byte, inFlight int) identifiers {
	n := 64
	for n < 2*inFlight {
		n *= 2
	}
	return identifiers{qos: qos, state: make([]byte, n), sent: make([]int64, n), next: 1}
}

// take takes a free identifier: there are always more than may be in flight.
func (i *identifiers) take(now int64) uint16 {
	last := uint32(len(i.state) - 1)
	id := i.next
	for id == 0 || i.state[id] != 0 {
		id = (id + 1) & last
	}
	i.next = (id + 1) & last
	i.state[id] = typePuback
	if i.qos == 2 {
		i.state[id] = typePubrec
	}
	i.sent[id] = now
	i.taken++
	return uint16(id)
}

// answer handles an acknowledgement, and answers PUBREC. final reports that the identifier is free again.
func (i *identifiers) answer(w *worker, c *conn, kind byte, id uint16, code byte) (sent int64, final bool) {
	if int(id) >= len(i.state) || i.state[id] != kind {
		w.note("the broker acknowledged a message that was not sent")
		w.n.rejected++
		return 0, false
	}
	if code >= 0x80 {
		w.n.rejected++
		w.note("a message was rejected: " + reason(code, 5))
	} else if kind == typePubrec {
		i.state[id] = typePubcomp
		w.putAck(c, typePubrel, id)
		return 0, false
	}
	i.state[id] = 0
	i.taken--
	w.n.acknowledged++
	return i.sent[id], true
}
