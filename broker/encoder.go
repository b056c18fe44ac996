package broker

import (
	"github.com/outcry-mqtt/outcry/internal/websocket"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// encoder encodes packets for the shard's clients. A message is encoded once for all subscribers that get the same bytes.
type encoder struct {
	current  *message                    // message being delivered; nil: none
	encoded  [8]span                     // by form: the current message in frames; empty: not encoded yet
	frames   []byte                      // this turn's packets; outboxes refer to spans of it
	packer   packer                      // compresses for WebSockets with permessage-deflate
	shared   bool                        // unsent bytes refer to frames or to the packer's blocks, so neither is reused
	pending  int                         // bytes of this turn in the outboxes' own buffers
	publish  wire.Outgoing               // the PUBLISH being encoded
	head     []byte                      // the current large message without its payload
	wsHeader [websocket.HeaderBytes]byte // scratch space
	sink     uint32                      // sink for prefetch, so the compiler cannot drop the reads
}

// begin makes m the current message.
func (e *encoder) begin(m *message) {
	e.current = m
	e.restart()
}

// restart makes the current message be encoded again.
func (e *encoder) restart() { e.encoded = [len(e.encoded)]span{} }

// bytes returns the number of bytes encoded in this turn.
func (e *encoder) bytes() int { return len(e.frames) + len(e.packer.blocks) + e.pending }

// forget drops the turn's frames after they are written.
func (e *encoder) forget() {
	e.frames = e.frames[:0]
	e.packer.forget(e.shared)
	e.restart()
	e.pending = 0
	if e.shared || cap(e.frames) > 4*logBytes {
		e.frames = nil
	}
	e.shared = false
}

// form returns the index of a frame that connections can share, by version, RETAIN flag and QoS.
func form(version byte, d *delivery) int {
	f := 0
	if version == wire.V5 {
		f = 1
	}
	if d.retain {
		f |= 2
	}
	if d.qos > 0 {
		f |= 4
	}
	return f
}

// frame returns the current message as every subscriber of this form gets it, encoded once into the turn's frames. A QoS 1 or 2
// message has a gap for the packet identifier. QoS 1 and 2 differ in the first byte only, which is set when the frame is copied.
func (e *encoder) frame(version byte, d *delivery, now int64) span {
	f := &e.encoded[form(version, d)]
	if f.end == 0 {
		start := len(e.frames)
		if version == wire.V5 {
			o := &e.publish
			d.m.fill(o, now)
			o.QoS, o.Retain = d.qos, d.retain
			e.frames = wire.AppendPublish(e.frames, version, o)
		} else {
			e.frames = wire.AppendPublish3(e.frames, d.qos, d.retain, d.m.topic, d.m.payload)
		}
		*f = span{uint32(start), uint32(len(e.frames))}
	}
	return *f
}
