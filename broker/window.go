package broker

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
	sent  bool // on some connection, so that the next time is a duplicate
}

// window is the messages under way to a client, in the order in which they were first sent. Their packet identifiers
// are consecutive (after 65535 comes 1), so that one is found by its distance from the first. The zero value is empty.
type window struct {
	ring   []outgoing // its length is a power of two
	head   int
	n      int // places in use, from the oldest that is not settled
	live   int // of them not settled
	redo   int // places from the head that the connection has been sent again; n: all
	lastID uint16
}

const maxWindow = 65535

// full tells that no packet identifier is free in order.
func (w *window) full() bool { return w.n >= maxWindow }

// next is the packet identifier that push will use: never 0 [MQTT-2.2.1-3].
func (w *window) next() uint16 {
	if w.lastID == 65535 {
		return 1
	}
	return w.lastID + 1
}

// push adds a message that was just sent with the identifier next.
func (w *window) push(o outgoing) {
	if w.n == len(w.ring) {
		w.grow()
	}
	w.ring[(w.head+w.n)&(len(w.ring)-1)] = o
	if w.redo == w.n {
		w.redo++
	}
	w.n++
	w.live++
	w.lastID = o.id
}

func (w *window) grow() {
	ring := make([]outgoing, max(2*len(w.ring), 4))
	for i := range w.n {
		ring[i] = *w.at(i)
	}
	w.ring, w.head = ring, 0
}

func (w *window) at(i int) *outgoing { return &w.ring[(w.head+i)&(len(w.ring)-1)] }

// find returns the message with a packet identifier, or nil.
func (w *window) find(id uint16) *outgoing {
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

// settle frees a message's packet identifier.
func (w *window) settle(o *outgoing) {
	o.state, o.d = settled, delivery{}
	w.live--
	for w.n > 0 && w.at(0).state == settled {
		w.head = (w.head + 1) & (len(w.ring) - 1)
		w.n--
		w.redo = max(w.redo-1, 0)
	}
}

// trim gives back the memory of an empty window.
func (w *window) trim() {
	if w.n == 0 {
		w.ring, w.head = nil, 0
	}
}

// disconnect notes that everything has to be sent again on the next connection.
func (w *window) disconnect() { w.redo = 0 }

// again is the next message to be sent again, or nil.
func (w *window) again() *outgoing {
	for w.redo < w.n {
		if o := w.at(w.redo); o.state != settled {
			return o
		}
		w.redo++
	}
	return nil
}

// resent moves on past the message that again returned.
func (w *window) resent() { w.redo++ }

// each calls fn with every message under way, oldest first.
func (w *window) each(fn func(*outgoing)) {
	for i := range w.n {
		if o := w.at(i); o.state != settled {
			fn(o)
		}
	}
}

// receipts is the packet identifiers of QoS 2 messages that a client has sent and not released (MQTT 5 4.3.3).
type receipts map[uint16]struct{}

// add notes an identifier and tells whether it is new.
func (r *receipts) add(id uint16) bool {
	if _, known := (*r)[id]; known {
		return false
	}
	if *r == nil {
		*r = make(receipts)
	}
	(*r)[id] = struct{}{}
	return true
}

// remove forgets an identifier and tells whether it was there.
func (r *receipts) remove(id uint16) bool {
	_, known := (*r)[id]
	delete(*r, id)
	if known && len(*r) == 0 {
		*r = nil
	}
	return known
}
