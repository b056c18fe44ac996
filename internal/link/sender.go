package link

import (
	"encoding/binary"
	"time"
)

// ResendTime is the time without an acknowledgement after which the oldest frame is sent again.
const ResendTime = 200 * time.Millisecond

// Sender is the sending end of a link. Its owner calls Tick at least every ResendTime.
type Sender struct {
	self   uint64       // incarnation of this node
	peer   uint64       // of the other node; 0: unknown
	most   int          // bytes of frames that may wait for an acknowledgement
	send   func([]byte) // must not keep the frame
	stream uint32

	open      []byte // the frame being filled; empty: none
	openFlags byte
	window    [][]byte // frames without an acknowledgement, in order
	waiting   int      // bytes of window
	last      uint64   // number of the last frame in window, or of the last one acknowledged
	sent      uint64   // bytes of the stream's frames
	credit    uint64   // bytes that the receiver lets the stream send

	heard      time.Time // last progress: the first frame of the window was sent, or frames were acknowledged
	wentBack   time.Time // when the window was last sent again
	recovering uint64    // number of the last frame that may have been lost with the first one; 0: none
	spare      [][]byte  // memory of acknowledged frames
}

// firstCredit is the bytes that a stream may send before the receiver's first answer.
const firstCredit = 256 << 10

// NewSender returns a sender for a node with a new incarnation, greater than those of its earlier lives and not 0. most is the limit of
// bytes that wait for an acknowledgement. send passes a frame to the transport, and must not keep it.
func NewSender(self uint64, most int, send func(frame []byte)) *Sender {
	return &Sender{self: self, most: most, send: send, stream: 1, credit: firstCredit}
}

// Room returns the bytes of entries that the limit and the receiver's credit leave. The owner drops or holds back entries beyond.
func (s *Sender) Room() int {
	room := s.most - s.waiting - len(s.open)
	return max(0, min(room, int(min(s.credit-min(s.sent, s.credit), 1<<30))-len(s.open)))
}

// Waiting returns the bytes of frames that wait for an acknowledgement.
func (s *Sender) Waiting() int { return s.waiting + len(s.open) }

// Append adds an entry to the open frame, and sends frames that are full. It copies the entry.
func (s *Sender) Append(entry []byte, now time.Time) {
	var prefix [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(prefix[:], uint64(len(entry)))
	if len(s.open) > 0 && len(s.open)+n+len(entry) > FrameBytes {
		s.Flush(now)
	}
	s.begin()
	s.open = append(s.open, prefix[:n]...)
	for {
		part := entry[:min(len(entry), max(FrameBytes-len(s.open), 0))]
		s.open = append(s.open, part...)
		if entry = entry[len(part):]; len(entry) == 0 {
			break
		}
		s.openFlags |= flagContinues
		s.Flush(now)
		s.begin()
	}
	if len(s.open) >= FrameBytes {
		s.Flush(now)
	}
}

// begin opens a frame, unless one is open.
func (s *Sender) begin() {
	if len(s.open) > 0 {
		return
	}
	if n := len(s.spare); n > 0 {
		s.open, s.spare = s.spare[n-1], s.spare[:n-1]
	}
	s.open = append(s.open[:0], make([]byte, HeaderBytes)...)
}

// Flush sends the open frame, if there is one.
func (s *Sender) Flush(now time.Time) {
	if len(s.open) == 0 {
		return
	}
	s.last++
	h := header{kind: kindData, flags: s.openFlags, from: s.self, to: s.peer, stream: s.stream, number: s.last}
	h.append(s.open[:0])
	if len(s.window) == 0 {
		s.heard = now
	}
	s.window = append(s.window, s.open)
	s.waiting += len(s.open)
	s.sent += uint64(len(s.open))
	frame := s.open
	s.open, s.openFlags = nil, 0
	if s.peer != 0 {
		s.send(frame)
	}
}

// Tick sends again what has waited too long. Before the peer's first answer it sends a probe.
func (s *Sender) Tick(now time.Time) {
	switch {
	case s.peer == 0:
		s.probe()
	case now.Sub(s.heard) < ResendTime:
	case len(s.window) > 0:
		s.heard, s.recovering = now, s.last
		s.send(s.window[0])
	case s.credit < s.sent+FrameBytes: // the answer with more may be lost
		s.heard = now
		s.probe()
	}
}

// probe asks for an acknowledgement.
func (s *Sender) probe() {
	h := header{kind: kindProbe, from: s.self, stream: s.stream}
	var b [HeaderBytes]byte
	s.send(h.append(b[:0]))
}

// Acknowledge handles an acknowledgement. It returns true if the peer has started again: the stream has begun anew, and the owner
// appends its whole state. It ignores acknowledgements of other streams, and of an earlier life of either node.
func (s *Sender) Acknowledge(frame []byte, now time.Time) (anew bool, err error) {
	h, _, err := parseHeader(frame)
	switch {
	case err != nil:
		return false, err
	case h.kind != kindAck:
		return false, ErrFrame
	case h.to != s.self || h.from < s.peer:
		return false, nil
	case s.peer == 0: // frames so far were not sent
		s.meet(h.from, now)
		return false, nil
	case h.from > s.peer:
		s.Restart(now)
		s.peer = h.from
		return true, nil
	case h.stream != s.stream:
		return false, nil
	case h.number > s.last:
		return false, ErrFrame
	}
	s.credit = max(s.credit, h.credit)
	first := s.last - uint64(len(s.window)) + 1
	if h.number >= first {
		s.release(int(h.number - first + 1))
		s.heard = now
		if h.number < s.recovering && len(s.window) > 0 {
			s.goBack(now)
		}
		if h.number >= s.recovering {
			s.recovering = 0
		}
	}
	if h.flags&flagNack != 0 && h.number+1 >= first && now.Sub(s.wentBack) >= ResendTime/4 {
		s.goBack(now)
	}
	return false, nil
}

// meet sends the frames that waited for the peer's incarnation.
func (s *Sender) meet(peer uint64, now time.Time) {
	s.peer, s.heard = peer, now
	for _, frame := range s.window {
		binary.BigEndian.PutUint64(frame[10:], peer)
		s.send(frame)
	}
}

// goBack sends the whole window again.
func (s *Sender) goBack(now time.Time) {
	s.wentBack, s.heard = now, now
	for _, frame := range s.window {
		s.send(frame)
	}
}

// spareFrames is the number of frames that a sender keeps for reuse.
const spareFrames = 16

// release drops the first n frames of the window.
func (s *Sender) release(n int) {
	for _, frame := range s.window[:n] {
		s.waiting -= len(frame)
		if len(s.spare) < spareFrames {
			s.spare = append(s.spare, frame)
		}
	}
	rest := copy(s.window, s.window[n:])
	clear(s.window[rest:])
	s.window = s.window[:rest]
}

// Restart drops everything that waits, and begins the stream anew. The owner appends its whole state.
func (s *Sender) Restart(now time.Time) {
	s.release(len(s.window))
	s.open, s.openFlags = nil, 0
	s.stream++
	s.last, s.sent, s.credit, s.recovering = 0, 0, firstCredit, 0
	s.heard = now
}
