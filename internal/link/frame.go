// Package link carries entries from one node to another, in order and exactly once, over a transport that may lose, repeat and
// reorder frames. A Sender and the Receiver of its peer are a sliding window: the sender keeps each frame until it is
// acknowledged, and the receiver takes frames in order only. Neither has a goroutine, a lock or a clock: their owner passes
// frames, the time and the transport.
//
// A stream of entries lasts as long as both nodes' lives. It begins anew, with nothing of the old one, when either end has
// started again or the sender restarts it. Then the sender's owner appends its whole state, and the receiver's owner forgets
// all that it had from the peer.
package link

import (
	"encoding/binary"
	"errors"
)

const (
	// FrameBytes is the size at which a frame is sent without a Flush. A larger entry is divided into several frames.
	FrameBytes = 16 << 10
	// HeaderBytes is the size of a frame's header.
	HeaderBytes = 38
)

const format = 1

// Kinds of frames.
const (
	kindData  = 1 + iota
	kindProbe // has no entries; the peer answers with its incarnation
	kindAck
)

// Flags of a frame.
const (
	flagContinues = 1 << iota // data: its last entry continues in the next frame
	flagNack                  // ack: a frame is missing behind number
)

// header begins each frame.
type header struct {
	kind, flags byte
	from, to    uint64 // incarnations of the frame's sender and of its receiver; to is 0 if unknown
	stream      uint32 // number of the data's stream among those from its sender's incarnation
	number      uint64 // data: of the frame, from 1; ack: of the last frame received in order
	credit      uint64 // ack: bytes of data frames that the stream may have sent in all
}

// Errors of frames from a peer.
var (
	ErrFormat = errors.New("link: a frame of another format")
	ErrFrame  = errors.New("link: an ill-formed frame")
	ErrEntry  = errors.New("link: an entry larger than the limit")
)

func (h *header) append(b []byte) []byte {
	b = append(b, format, h.kind<<4|h.flags)
	b = binary.BigEndian.AppendUint64(b, h.from)
	b = binary.BigEndian.AppendUint64(b, h.to)
	b = binary.BigEndian.AppendUint32(b, h.stream)
	b = binary.BigEndian.AppendUint64(b, h.number)
	return binary.BigEndian.AppendUint64(b, h.credit)
}

func parseHeader(b []byte) (h header, rest []byte, err error) {
	switch {
	case len(b) == 0:
		return h, nil, ErrFrame
	case b[0] != format:
		return h, nil, ErrFormat
	case len(b) < HeaderBytes:
		return h, nil, ErrFrame
	}
	h = header{
		kind: b[1] >> 4, flags: b[1] & 15,
		from: binary.BigEndian.Uint64(b[2:]), to: binary.BigEndian.Uint64(b[10:]), stream: binary.BigEndian.Uint32(b[18:]),
		number: binary.BigEndian.Uint64(b[22:]), credit: binary.BigEndian.Uint64(b[30:]),
	}
	if h.kind < kindData || h.kind > kindAck || h.from == 0 {
		return h, nil, ErrFrame
	}
	return h, b[HeaderBytes:], nil
}

// IsAck reports whether a frame is an acknowledgement, for Sender.Acknowledge, and not one for Receiver.Receive.
func IsAck(frame []byte) bool { return len(frame) > 1 && frame[1]>>4 == kindAck }
