package broker

import (
	"slices"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// sendState is the packet that a message sent to a client waits for.
type sendState uint8

const (
	settled   = sendState(0) // none: its packet identifier is free
	awaitAck  = sendState(storage.AwaitPuback)
	awaitRec  = sendState(storage.AwaitPubrec)
	awaitComp = sendState(storage.AwaitPubcomp) // PUBREL was sent
)

func firstState(qos byte) sendState {
	if qos == 2 {
		return awaitRec
	}
	return awaitAck
}

// outgoing is a QoS 1 or 2 message with a packet identifier that the client has not acknowledged.
type outgoing struct {
	d     delivery
	id    uint16
	state sendState
	sent  bool   // on an earlier connection or this one, so the next transmission sets DUP
	after uint32 // version of the session's flow that must be on disk before it is sent
}

// inflight is the in-flight window: the messages with packet identifiers that the client has not acknowledged, in the order of
// their first transmission. In the ring their packet identifiers are consecutive (1 follows 65535), so an entry is found by
// its distance from the first. Stragglers are messages that a client leaves unacknowledged while it acknowledges thousands of
// later ones. They are moved out of the ring so that they do not block it. The zero value is empty.
type inflight struct {
	ring   []outgoing // its length is a power of two
	head   int
	n      int // entries in use, from the oldest unsettled one
	live   int // unsettled messages, stragglers included
	redo   int // entries from the head already retransmitted on this connection; n: all
	lastID uint16
	units  uint32 // size of the messages in units of inflightUnit bytes, each rounded up

	stragglers []outgoing // unsettled messages older than the ring
	redone     int        // stragglers already retransmitted on this connection
}

const (
	maxWindow = 65535
	// longWindow is the number of entries above which sparsely used ones at the head become stragglers.
	longWindow = 4096
)

// full reports whether all packet identifiers are in use.
func (w *inflight) full() bool { return w.n+len(w.stragglers) >= maxWindow }

func following(id uint16) uint16 {
	if id == 65535 {
		return 1 // never 0 [MQTT-2.2.1-3]
	}
	return id + 1
}

// next returns the packet identifier for the next push. It skips the identifiers of stragglers.
func (w *inflight) next() uint16 {
	for w.straggler(following(w.lastID)) >= 0 {
		w.place(&outgoing{id: following(w.lastID)})
	}
	return following(w.lastID)
}

// push adds a message with the identifier from next. If the message was not sent yet, again will return it.
func (w *inflight) push(o *outgoing) {
	w.place(o)
	w.live++
	for w.n > longWindow && w.n > 2*w.live {
		w.putAside()
	}
}

func (w *inflight) place(o *outgoing) {
	if w.n == len(w.ring) {
		w.grow()
	}
	w.ring[(w.head+w.n)&(len(w.ring)-1)] = *o
	if w.redo == w.n && (o.sent || o.state == settled) {
		w.redo++
	}
	w.n++
	w.lastID = o.id
}

func (w *inflight) grow() {
	ring := make([]outgoing, max(2*len(w.ring), 4))
	for i := range w.n {
		ring[i] = *w.at(i)
	}
	w.ring, w.head = ring, 0
}

// putAside makes the oldest message in the ring a straggler.
func (w *inflight) putAside() {
	if w.redo > 0 && w.redone == len(w.stragglers) {
		w.redone++
	}
	w.stragglers = append(w.stragglers, *w.at(0))
	w.drop()
	w.dropSettled()
}

func (w *inflight) at(i int) *outgoing { return &w.ring[(w.head+i)&(len(w.ring)-1)] }

// find returns the message with a packet identifier, or nil.
func (w *inflight) find(id uint16) *outgoing {
	if i := w.straggler(id); i >= 0 {
		return &w.stragglers[i]
	}
	if w.n == 0 || id == 0 {
		return nil
	}
	first := w.at(0).id
	i := int(id) - int(first)
	if id < first {
		i += maxWindow
	}
	if i >= w.n {
		return nil
	}
	if o := w.at(i); o.state != settled {
		return o
	}
	return nil
}

// straggler returns the index of a message among the stragglers, or -1.
func (w *inflight) straggler(id uint16) int {
	for i := range w.stragglers {
		if w.stragglers[i].id == id {
			return i
		}
	}
	return -1
}

// settle frees a message's packet identifier.
func (w *inflight) settle(o *outgoing) {
	w.live--
	if i := w.straggler(o.id); i >= 0 {
		w.stragglers = slices.Delete(w.stragglers, i, i+1)
		if i < w.redone {
			w.redone--
		}
		return
	}
	o.state, o.d = settled, delivery{}
	w.dropSettled()
}

func (w *inflight) dropSettled() {
	for w.n > 0 && w.at(0).state == settled {
		w.drop()
	}
}

func (w *inflight) drop() {
	*w.at(0) = outgoing{}
	w.head = (w.head + 1) & (len(w.ring) - 1)
	w.n--
	w.redo = max(w.redo-1, 0)
}

func (w *inflight) trim() {
	if w.live == 0 {
		w.dropSettled()
		w.ring, w.head, w.stragglers = nil, 0, nil
	}
}

// unsent returns the largest possible number of entries not yet sent on this connection.
func (w *inflight) unsent() int { return w.n - w.redo + len(w.stragglers) - w.redone }

// restore adds a message from before the broker's restart; messages come in order. Entries of missing identifiers count as
// settled; messages far behind become stragglers.
func (w *inflight) restore(o outgoing) {
	if w.n > 0 && (int(o.id)-int(w.lastID)+maxWindow-1)%maxWindow >= longWindow {
		for w.n > 0 {
			w.putAside()
		}
	}
	for w.n > 0 && following(w.lastID) != o.id {
		w.place(&outgoing{id: following(w.lastID)})
	}
	w.place(&o)
	w.live++
}

// disconnect notes that everything must be retransmitted on the next connection.
func (w *inflight) disconnect() { w.redo, w.redone = 0, 0 }

// again returns the next message to transmit again on this connection, or nil.
func (w *inflight) again() *outgoing {
	if w.redone < len(w.stragglers) {
		return &w.stragglers[w.redone]
	}
	for w.redo < w.n {
		if o := w.at(w.redo); o.state != settled {
			return o
		}
		w.redo++
	}
	return nil
}

// resent moves past the message that again returned.
func (w *inflight) resent() {
	if w.redone < len(w.stragglers) {
		w.redone++
		return
	}
	w.redo++
}

// each calls fn for every unacknowledged message, oldest first.
func (w *inflight) each(fn func(*outgoing)) {
	for i := range w.stragglers {
		fn(&w.stragglers[i])
	}
	for i := range w.n {
		if o := w.at(i); o.state != settled {
			fn(o)
		}
	}
}

// eachUnsent calls fn for every message that again has yet to return.
func (w *inflight) eachUnsent(fn func(*outgoing)) {
	for i := w.redone; i < len(w.stragglers); i++ {
		fn(&w.stragglers[i])
	}
	for i := w.redo; i < w.n; i++ {
		if o := w.at(i); o.state != settled {
			fn(o)
		}
	}
}

// inflightFloor is the number of bytes that a client may always leave unacknowledged, regardless of other sessions.
const inflightFloor = 64 << 10

// inflightUnit is the number of bytes in a unit of an in-flight window.
const inflightUnit = 16

// mayFly reports whether a message may be sent now, given the unacknowledged messages. Copies of those are kept until the client
// acknowledges them, and count toward MaxQueuedBytes as the queue does. Across all sessions they take at most half of the account,
// because unlike queued messages they cannot give way. One message may always be sent.
func (ss *session) mayFly(d *delivery) bool {
	held := ss.inflightBytes()
	if held == 0 || ss.sendsOnce(d) {
		return true
	}
	s, n := ss.shard, d.m.size()
	if held+n <= inflightFloor {
		return true
	}
	a := &s.b.account
	return held+n <= s.b.limits.MaxQueuedBytes && a.bytes.Load()+s.waits.unentered.bytes+int64(n) <= a.most.bytes/2
}

// inflightBytes returns the bytes of kept messages in flight.
func (ss *session) inflightBytes() int { return int(ss.inflight.units) * inflightUnit }

// countInflight adds a message to the account before it enters the window, or subtracts it before it leaves.
func (ss *session) countInflight(o *outgoing, sign int) {
	if o.d.m == nil {
		return
	}
	units := sign * ((o.d.m.size() + inflightUnit - 1) / inflightUnit)
	ss.inflight.units = uint32(int(ss.inflight.units) + units)
	ss.shard.countInflight(units * inflightUnit)
}

func (s *shard) countInflight(bytes int) {
	s.stats.inflightBytes += int64(bytes)
	s.countWaiting(0, bytes)
}
