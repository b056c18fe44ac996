package broker

import (
	"cmp"
	"iter"
	"slices"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

// unreleased holds the packet identifiers of QoS 2 messages that a client has sent and not released (MQTT 5 4.3.3). Clients use
// ascending identifiers and release them in this order, so entries are added at the end and removed at the front.
type unreleased struct{ list *unreleasedList } // nil: none

type unreleasedList struct {
	all  []unreleasedID // from head, ordered by identifier
	head int
}

// unreleasedID is the state of an unreleased QoS 2 identifier.
type unreleasedID struct {
	id       uint16
	released bool // remove it when the transaction is on disk
	txn      *txn // transaction that it waits for; nil: none
}

// idleReceipts is the largest capacity of an empty list.
const idleUnreleased = 256

func (r *unreleased) len() int {
	if r.list == nil {
		return 0
	}
	return len(r.list.all) - r.list.head
}

// find returns the index of an identifier, or the index to insert it, and whether it is present.
func (r *unreleased) find(id uint16) (i int, known bool) {
	if r.len() == 0 {
		return 0, false
	}
	l := r.list
	switch last := len(l.all) - 1; {
	case l.all[last].id < id:
		return last + 1, false
	case l.all[l.head].id >= id:
		return l.head, l.all[l.head].id == id
	}
	i, known = slices.BinarySearchFunc(l.all[l.head:], id, func(x unreleasedID, id uint16) int { return cmp.Compare(x.id, id) })
	return l.head + i, known
}

// get returns the state of an identifier; false if it is not present.
func (r *unreleased) get(id uint16) (unreleasedID, bool) {
	i, known := r.find(id)
	if !known {
		return unreleasedID{}, false
	}
	return r.list.all[i], true
}

// set adds an identifier or replaces its state.
func (r *unreleased) set(x unreleasedID) {
	if r.list == nil {
		r.list = new(unreleasedList)
	}
	l := r.list
	switch i, known := r.find(x.id); {
	case known:
		l.all[i] = x
	case i == l.head && l.head > 0:
		l.head--
		l.all[l.head] = x
	default:
		if len(l.all) == cap(l.all) && l.head > len(l.all)/2 {
			n := copy(l.all, l.all[l.head:])
			clear(l.all[n:])
			l.all, i, l.head = l.all[:n], i-l.head, 0
		}
		l.all = slices.Insert(l.all, i, x)
	}
}

func (r *unreleased) remove(id uint16) {
	i, known := r.find(id)
	if !known {
		return
	}
	l := r.list
	if i == l.head {
		l.all[i] = unreleasedID{}
		l.head++
	} else {
		l.all = slices.Delete(l.all, i, i+1)
	}
	if r.len() > 0 {
		return
	}
	if l.all, l.head = l.all[:0], 0; cap(l.all) > idleUnreleased {
		r.trim()
	}
}

func (r *unreleased) trim() {
	if r.len() == 0 {
		r.list = nil
	}
}

// stored applies the result of the transaction that the PUBREC or PUBCOMP for an identifier waits for.
func (r *unreleased) stored(id uint16, t *txn, ack wire.Type, ok bool) {
	now, known := r.get(id)
	if !known || now.txn != t {
		return
	}
	if noted := ack == wire.TypePubrec; noted == ok { // still unreleased: it was recorded, or its removal failed
		r.set(unreleasedID{id: id})
		return
	}
	r.remove(id)
}

// held returns the unreleased identifiers.
func (r *unreleased) held() iter.Seq[uint16] {
	return func(yield func(uint16) bool) {
		if r.list == nil {
			return
		}
		for _, x := range r.list.all[r.list.head:] {
			if !x.released && !yield(x.id) {
				return
			}
		}
	}
}
