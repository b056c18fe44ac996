package bench

import "bytes"

// subscriber is a client that checks its messages. It belongs to a worker.
type subscriber struct {
	flow     *flow
	share    *share
	topic    int // -1: all
	trackers []tracker
}

func newSubscriber(f *flow, s *share, topic int) *subscriber {
	return &subscriber{flow: f, share: s, topic: topic, trackers: make([]tracker, f.trackers(topic))}
}

func (s *subscriber) up(*worker, *conn) {}

func (s *subscriber) down(*worker, *conn) {}

func (s *subscriber) acknowledged(w *worker, _ *conn, _ byte, _ uint16, _ byte) { w.n.rejected++ }

// message checks a message and counts it.
func (s *subscriber) message(w *worker, _ *conn, p *publication) {
	f := s.flow
	h, ok := w.headerOf(f, p.payload)
	if !ok {
		return
	}
	st := &f.streams[h.stream]
	if s.topic >= 0 && st.topic != uint32(s.topic) {
		w.n.misrouted++
		return
	}
	if f.opts.Check {
		s.compare(w, p, st)
	}
	if !s.first(w, h, st) {
		return
	}
	w.n.received++
	if f.within(w.now) {
		w.n.arrived++
	}
	if f.within(h.stamp) {
		w.n.receivedWithin++
		w.latency.record(w.now - h.stamp)
	} else if f.isCalm(h.stamp) {
		w.calm.record(w.now - h.stamp)
	}
	if f.ring > 0 {
		s.count(h, st)
	}
}

// headerOf reads a message's header. It counts foreign messages.
func (w *worker) headerOf(f *flow, payload []byte) (header, bool) {
	h, ok := w.header(payload)
	if !ok || h.run != f.run || h.stream >= uint32(len(f.streams)) {
		w.n.foreign++
		return h, false
	}
	return h, true
}

// header reads a message's header.
func (w *worker) header(payload []byte) (header, bool) {
	if w.dialect != nil {
		return w.dialect.readHeader(payload)
	}
	return readHeader(payload)
}

// first updates the stream's tracker, and reports whether the message is no duplicate.
func (s *subscriber) first(w *worker, h header, st *stream) bool {
	at := st.nth
	if s.topic < 0 {
		at = h.stream
	}
	v := inOrder
	if t := &s.trackers[at]; t.next == h.number {
		t.next, t.seen = t.next+1, t.seen<<1|1 // take, inlined for the common case
	} else {
		v = t.take(h.number)
	}
	if v != duplicate && s.flow.groups != nil && !s.flow.groups[h.stream].add(h.number) {
		v = duplicate // another member of the group has got it
	}
	switch v {
	case duplicate:
		w.n.duplicated++
		return false
	case late:
		w.n.reordered++
	}
	return true
}

// count counts a delivery for its publisher's window.
func (s *subscriber) count(h header, st *stream) {
	f := s.flow
	number := h.number*st.count + st.place
	slot := &s.share.slots[st.publisher*f.ring+number&(f.ring-1)]
	if slot.number != number {
		slot.number, slot.count = number, 0
	}
	if slot.count++; slot.count == s.share.fan[st.topic] {
		f.publishers[st.publisher].delivered(number, s.share)
	}
}

// compare checks the parts that are not in the header.
func (s *subscriber) compare(w *worker, p *publication, st *stream) {
	if !bytes.Equal(p.topic, s.flow.topics[st.topic]) {
		w.n.misrouted++
	}
	if len(p.payload) != s.flow.opts.Payload || !bytes.Equal(p.payload[headerSize:], w.run.filler) {
		w.n.corrupted++
	}
}
