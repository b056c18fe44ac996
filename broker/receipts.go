package broker

import (
	"cmp"
	"iter"
	"slices"

	"github.com/outcry-mqtt/outcry/broker/wire"
)

// receipts is the packet identifiers of QoS 2 messages that a client has sent and not released (MQTT 5 4.3.3). Clients count
// their identifiers up and release them in this order, so they come at the end and go at the front.
type receipts struct{ list *receiptList } // nil: none

type receiptList struct {
	all  []receipt // by identifier, from head on
	head int
}

// receipt is what becomes of one of them.
type receipt struct {
	id       uint16
	released bool // it is forgotten when the transaction is on disk
	txn      *txn // that it waits for; nil: none
}

// idleReceipts is for how many identifiers there is room while there are none.
const idleReceipts = 256

func (r *receipts) len() int {
	if r.list == nil {
		return 0
	}
	return len(r.list.all) - r.list.head
}

// find is where an identifier stands, or would, and whether it is there.
func (r *receipts) find(id uint16) (i int, known bool) {
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
	i, known = slices.BinarySearchFunc(l.all[l.head:], id, func(x receipt, id uint16) int { return cmp.Compare(x.id, id) })
	return l.head + i, known
}

// get returns what becomes of an identifier; false if it is not there.
func (r *receipts) get(id uint16) (receipt, bool) {
	i, known := r.find(id)
	if !known {
		return receipt{}, false
	}
	return r.list.all[i], true
}

// set notes an identifier, or anew what becomes of it.
func (r *receipts) set(x receipt) {
	if r.list == nil {
		r.list = new(receiptList)
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

// remove forgets an identifier.
func (r *receipts) remove(id uint16) {
	i, known := r.find(id)
	if !known {
		return
	}
	l := r.list
	if i == l.head {
		l.all[i] = receipt{}
		l.head++
	} else {
		l.all = slices.Delete(l.all, i, i+1)
	}
	if r.len() > 0 {
		return
	}
	if l.all, l.head = l.all[:0], 0; cap(l.all) > idleReceipts {
		r.trim()
	}
}

// trim gives back the memory of what is empty.
func (r *receipts) trim() {
	if r.len() == 0 {
		r.list = nil
	}
}

// stored tells what has become of the transaction that PUBREC, or PUBCOMP, for an identifier waits for.
func (r *receipts) stored(id uint16, t *txn, ack wire.Type, ok bool) {
	now, known := r.get(id)
	if !known || now.txn != t {
		return
	}
	if noted := ack == wire.TypePubrec; noted == ok { // it is held: it was noted, or could not be removed
		r.set(receipt{id: id})
		return
	}
	r.remove(id)
}

// held is the identifiers that are not released.
func (r *receipts) held() iter.Seq[uint16] {
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
