package broker

import "math/bits"

// A session that is not durable holds copies of messages in its queue, and of messages that may have to be retransmitted. Few such
// copies exist at a time, and they change all the time. So a copy is reused when the last session has released it: nothing is
// allocated, and no garbage is left. keep excludes a copy from reuse, for a message that is needed for longer or on another shard.

const (
	pinClasses  = 7       // size classes: copies with room for 64, 128, … 4096 bytes
	sparePinned = 4 << 20 // bytes of spare copies that a shard keeps
)

// pinnedCopies holds a shard's spare copies by size class.
type pinnedCopies struct {
	spare [pinClasses][]*message
	bytes int
}

// spoilCopies makes tests overwrite spare copies, so that a read after release shows.
var spoilCopies = false

// pinClass returns the size class for n bytes; pinClasses or more: none.
func pinClass(n int) int { return bits.Len(uint(max(n, 1)-1) / smallBytes) }

// pinCopy pins a delivery's message until unpinCopy.
func (s *shard) pinCopy(d *delivery) {
	if d.pinned {
		return
	}
	if d.m.own == nil {
		d.m.copyInto(s.pools.copies.take(len(d.m.payload) + len(d.m.props)))
		d.m.own.pooled = true
	}
	d.m = d.m.own
	if d.m.pooled {
		d.pinned = true
		d.m.pins++
	}
}

// unpinCopy unpins a delivery's message. The delivery must not use it any more.
func (s *shard) unpinCopy(d *delivery) {
	if !d.pinned {
		return
	}
	d.pinned = false
	if d.m.pins--; d.m.pins > 0 || !d.m.pooled {
		return
	}
	if s.enc.current != nil && s.enc.current.own == d.m { // the message being delivered has more subscribers
		s.enc.current.own = nil
	}
	s.pools.copies.put(d.m)
}

// take returns a copy with room for n bytes.
func (h *pinnedCopies) take(n int) *message {
	class := pinClass(n)
	if class >= pinClasses {
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

// put takes back an unused copy.
func (h *pinnedCopies) put(k *message) {
	room := cap(k.payload)
	class := pinClass(room)
	if spoilCopies {
		for i := range k.payload[:room] {
			k.payload[:room][i] = 0xDB
		}
	}
	*k = message{payload: k.payload[:0]}
	if class < pinClasses && h.bytes+messageOverhead+room <= sparePinned {
		h.spare[class] = append(h.spare[class], k)
		h.bytes += messageOverhead + room
	}
}
