package link

import "encoding/binary"

// Receiver is the receiving end of a link.
type Receiver struct {
	self    uint64 // incarnation of this node
	room    int    // bytes of frames that the sender may be ahead of what was taken
	most    int    // bytes of an entry
	deliver func(entry []byte)
	busy    func() int // bytes of entries that the owner has not handled yet; nil: none

	peer     uint64 // incarnation of the other node; 0: nothing received yet
	stream   uint32
	number   uint64 // of the last frame in order
	received uint64 // bytes of the stream's frames in order
	partial  []byte // the beginning of an entry that continues in the next frame
	needs    int    // bytes of that entry in all
	due      bool   // an acknowledgement is due
	missing  bool   // it reports a gap
}

// ReceiverOptions are the limits of a receiver.
type ReceiverOptions struct {
	Room     int        // bytes of frames that the sender may send beyond those that were handled
	MaxEntry int        // bytes of an entry
	Busy     func() int // bytes of entries that are not handled yet; nil: they are when deliver returns
}

// NewReceiver returns a receiver for a node with an incarnation. deliver gets the entries in order. It must not keep them.
func NewReceiver(self uint64, o ReceiverOptions, deliver func(entry []byte)) *Receiver {
	return &Receiver{self: self, room: o.Room, most: o.MaxEntry, busy: o.Busy, deliver: deliver}
}

// Receive handles a frame. It calls anew before the first entry of a stream that has begun anew: all that came before from the peer
// no longer counts. After an error the frame counts as lost; a peer that sends such a frame again and again must be given up.
func (r *Receiver) Receive(frame []byte, anew func()) error {
	h, body, err := parseHeader(frame)
	switch {
	case err != nil:
		return err
	case h.kind == kindAck:
		return ErrFrame
	case h.from < r.peer: // from an earlier life of the peer
		return nil
	case h.kind == kindProbe || h.to != r.self: // the peer does not know this life
		r.due = r.due || h.from >= r.peer
		if r.peer == 0 || h.from > r.peer {
			r.begin(h, anew)
		}
		return nil
	case h.from > r.peer || h.stream > r.stream:
		r.begin(h, anew)
	case h.stream < r.stream:
		return nil
	}
	r.due = true
	if h.number != r.number+1 {
		r.missing = r.missing || h.number > r.number
		return nil
	}
	if err := r.check(body, h.flags); err != nil {
		return err
	}
	r.number++
	r.received += uint64(len(frame))
	r.missing = false
	r.take(body)
	return nil
}

// begin starts a stream. Its frames may arrive in another order than they were sent in.
func (r *Receiver) begin(h header, anew func()) {
	first := r.peer == 0
	r.peer, r.stream = h.from, h.stream
	r.number, r.received, r.partial, r.needs, r.missing = 0, 0, nil, 0, false
	if !first {
		anew()
	}
}

// check reports whether a frame's entries are well-formed, before any of them is delivered.
func (r *Receiver) check(body []byte, flags byte) error {
	needs, have := r.needs, len(r.partial)
	for len(body) > 0 || needs == 0 {
		if needs == 0 {
			if len(body) == 0 {
				break
			}
			size, n := binary.Uvarint(body)
			if n <= 0 {
				return ErrFrame
			}
			if size > uint64(r.most) {
				return ErrEntry
			}
			body, needs, have = body[n:], int(size)+1, 0 // one more, so that 0 means none
		}
		n := min(needs-1-have, len(body))
		body, have = body[n:], have+n
		if have == needs-1 {
			needs = 0
			continue
		}
		break
	}
	if (needs != 0) != (flags&flagContinues != 0) {
		return ErrFrame
	}
	return nil
}

// take delivers the entries of a frame that check has accepted.
func (r *Receiver) take(body []byte) {
	for len(body) > 0 {
		if r.needs == 0 {
			size, n := binary.Uvarint(body)
			body = body[n:]
			if size <= uint64(len(body)) {
				r.deliver(body[:size])
				body = body[size:]
				continue
			}
			r.needs = int(size) + 1
		}
		n := min(r.needs-1-len(r.partial), len(body))
		r.partial = append(r.partial, body[:n]...) // grows with the bytes that have arrived
		body = body[n:]
		if len(r.partial) == r.needs-1 {
			r.deliver(r.partial)
			r.partial, r.needs = r.partial[:0], 0
		}
	}
	if r.needs == 0 && cap(r.partial) > 4*FrameBytes {
		r.partial = nil
	}
}

// IsDue reports whether frames have arrived since the last acknowledgement.
func (r *Receiver) IsDue() bool { return r.due }

// AppendAck appends an acknowledgement, a frame for the peer's Sender. One for all frames of a turn is enough. The owner sends another
// one when it has handled entries and the credit of the last one was low.
func (r *Receiver) AppendAck(b []byte) []byte {
	h := header{kind: kindAck, from: r.self, to: r.peer, stream: r.stream, number: r.number}
	if r.missing {
		h.flags = flagNack
	}
	behind := 0
	if r.busy != nil {
		behind = r.busy()
	}
	if room := r.room - behind; room > 0 {
		h.credit = r.received + uint64(room)
	}
	r.due, r.missing = false, false
	return h.append(b)
}
