package broker

import "slices"

// sendState is what a message under way to a client waits for.
type sendState uint8

const (
	settled   sendState = iota // nothing: its packet identifier is free
	awaitAck                   // PUBACK
	awaitRec                   // PUBREC
	awaitComp                  // PUBCOMP; PUBREL was sent
)

func firstState(qos byte) sendState {
	if qos == 2 {
		return awaitRec
	}
	return awaitAck
}

// outgoing is a QoS 1 or 2 message under way to a client.
type outgoing struct {
	d     delivery
	id    uint16
	state sendState
	sent  bool   // on some connection, so that the next time is a duplicate
	after uint32 // the version of the session's flow that must be on disk before it is sent
}

// window is the messages under way to a client, in the order in which they were first sent. In the ring their packet
// identifiers are consecutive (after 65535 comes 1), so that one is found by its distance from the first. Those that a
// client leaves behind while it acknowledges thousands of later ones are put aside, so that they hold up nobody. The
// zero value is empty.
type window struct {
	ring   []outgoing // its length is a power of two
	head   int
	n      int // places in use, from the oldest that is not settled
	live   int // messages that are not settled, in all
	redo   int // places from the head that the connection has been sent again; n: all
	lastID uint16

	stragglers []outgoing // none is settled; they come before the ring
	redone     int        // stragglers that the connection has been sent again
}

const (
	maxWindow = 65535
	// longWindow is how many places there may be before those at the head that are hardly used are put aside.
	longWindow = 4096
)

// full tells that no packet identifier is free.
func (w *window) full() bool { return w.n+len(w.stragglers) >= maxWindow }

func following(id uint16) uint16 {
	if id == 65535 {
		return 1 // never 0 [MQTT-2.2.1-3]
	}
	return id + 1
}

// next is the packet identifier that push will use. One that a straggler has is passed over.
func (w *window) next() uint16 {
	for w.straggler(following(w.lastID)) >= 0 {
		w.place(&outgoing{id: following(w.lastID)})
	}
	return following(w.lastID)
}

// push adds a message with the identifier next. If it was not sent yet, again will return it.
func (w *window) push(o *outgoing) {
	w.place(o)
	w.live++
	for w.n > longWindow && w.n > 2*w.live {
		w.putAside()
	}
}

func (w *window) place(o *outgoing) {
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

func (w *window) grow() {
	ring := make([]outgoing, max(2*len(w.ring), 4))
	for i := range w.n {
		ring[i] = *w.at(i)
	}
	w.ring, w.head = ring, 0
}

// putAside makes the oldest message in the ring a straggler.
func (w *window) putAside() {
	if w.redo > 0 && w.redone == len(w.stragglers) {
		w.redone++
	}
	w.stragglers = append(w.stragglers, *w.at(0))
	w.drop()
	w.dropSettled()
}

func (w *window) at(i int) *outgoing { return &w.ring[(w.head+i)&(len(w.ring)-1)] }

// find returns the message with a packet identifier, or nil.
func (w *window) find(id uint16) *outgoing {
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

// straggler is the place of a message among the stragglers, or -1.
func (w *window) straggler(id uint16) int {
	for i := range w.stragglers {
		if w.stragglers[i].id == id {
			return i
		}
	}
	return -1
}

// settle frees a message's packet identifier.
func (w *window) settle(o *outgoing) {
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

func (w *window) dropSettled() {
	for w.n > 0 && w.at(0).state == settled {
		w.drop()
	}
}

func (w *window) drop() {
	*w.at(0) = outgoing{}
	w.head = (w.head + 1) & (len(w.ring) - 1)
	w.n--
	w.redo = max(w.redo-1, 0)
}

// trim gives back the memory of an empty window.
func (w *window) trim() {
	if w.live == 0 {
		w.dropSettled()
		w.ring, w.head, w.stragglers = nil, 0, nil
	}
}

// unsent is how many places there are that the connection has not been sent, at most.
func (w *window) unsent() int { return w.n - w.redo + len(w.stragglers) - w.redone }

// restore adds a message that was under way when the broker went, in the order of the messages. Where identifiers are
// missing the places are taken as settled; what is far behind is put aside.
func (w *window) restore(o outgoing) {
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

// disconnect notes that everything has to be sent again on the next connection.
func (w *window) disconnect() { w.redo, w.redone = 0, 0 }

// again is the next message to be sent again, or nil.
func (w *window) again() *outgoing {
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

// resent moves on past the message that again returned.
func (w *window) resent() {
	if w.redone < len(w.stragglers) {
		w.redone++
		return
	}
	w.redo++
}

// each calls fn with every message under way, oldest first.
func (w *window) each(fn func(*outgoing)) {
	for i := range w.stragglers {
		fn(&w.stragglers[i])
	}
	for i := range w.n {
		if o := w.at(i); o.state != settled {
			fn(o)
		}
	}
}
