package broker

import "math/bits"

// A message that waits in the queue of a session that is not durable, or for its acknowledgement if it may have to be sent
// again, is mostly one of a few that come and go all the time. Its copy is used again for another one when the last session
// has released it, so that nothing is allocated for it and no garbage left. Whoever keeps a message for longer, or on
// another shard, has the copy to itself from then on (keep).

const (
	heldClasses = 7       // copies with room for 64, 128, … 4096 bytes
	spareHeld   = 4 << 20 // bytes of copies that a shard has ready
)

// heldCopies are the spare copies of a shard, by the room they have.
type heldCopies struct {
	spare [heldClasses][]*message
	bytes int
}

// spoilCopies has spare copies overwritten, for tests: whoever still reads one shows.
var spoilCopies = false

// heldClass is the class of copies for n bytes; heldClasses or more: none.
func heldClass(n int) int { return bits.Len(uint(max(n, 1)-1) / smallBytes) }

// holdCopy has a delivery keep its message until it is released.
func (s *shard) holdCopy(d *delivery) {
	if d.held {
		return
	}
	if d.m.kept == nil {
		d.m.copyInto(s.copies.take(len(d.m.payload) + len(d.m.props)))
		d.m.kept.pooled = true
	}
	d.m = d.m.kept
	if d.m.pooled {
		d.held = true
		d.m.holders++
	}
}

// letGoCopy undoes holdCopy. The delivery's message must not be used any more.
func (s *shard) letGoCopy(d *delivery) {
	if !d.held {
		return
	}
	d.held = false
	if d.m.holders--; d.m.holders == 0 && d.m.pooled {
		s.copies.put(d.m)
	}
}

// take returns a copy with room for n bytes.
func (h *heldCopies) take(n int) *message {
	class := heldClass(n)
	if class >= heldClasses {
		return newKept(n)
	}
	spare := h.spare[class]
	if len(spare) == 0 {
		return newKept(smallBytes << class)
	}
	k := spare[len(spare)-1]
	spare[len(spare)-1] = nil
	h.spare[class] = spare[:len(spare)-1]
	h.bytes -= messageOverhead + cap(k.payload)
	return k
}

// put takes a copy back that nobody uses.
func (h *heldCopies) put(k *message) {
	room := cap(k.payload)
	class := heldClass(room)
	if spoilCopies {
		for i := range k.payload[:room] {
			k.payload[:room][i] = 0xDB
		}
	}
	*k = message{payload: k.payload[:0]}
	if class < heldClasses && h.bytes+messageOverhead+room <= spareHeld {
		h.spare[class] = append(h.spare[class], k)
		h.bytes += messageOverhead + room
	}
}
