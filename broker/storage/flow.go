package storage

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// Flow is the in-flight state of a session, in both directions. Its key is the session's number.
type Flow struct {
	Session  uint64     // its number
	SentSeq  uint64     // the session's messages up to this one have left its queue
	LastID   uint16     // the packet identifier that was used last
	Outgoing []Outgoing // messages that are not acknowledged, in the order in which they were first sent
	Received []uint16   // packet identifiers of QoS 2 messages of the client that it has not released
	Losses   Losses
	Forgone  []Places // later messages that have left the queue, too, in their order
}

// Outgoing is a QoS 1 or 2 message under way to a client.
type Outgoing struct {
	Seq   uint64 // its place among the session's messages
	ID    uint16 // packet identifier
	State SendState
}

// SendState is the acknowledgement that a message under way waits for.
type SendState uint8

// The states.
const (
	AwaitPuback SendState = 1 + iota
	AwaitPubrec
	AwaitPubcomp // PUBREL was sent
)

// Places is those of a session's messages from one to another, both included.
type Places struct{ From, To uint64 }

// A flow's value is: a version byte, up to where messages have left the queue, the last packet identifier, then the messages
// under way, the QoS 2 messages that the client has not released, the losses, and the places of later messages that have left
// the queue, if there are any. Each list has its length in front.
const flowVersion = 1

// Key is the flow's key.
func (f *Flow) Key() string { return NumberKey(f.Session) }

// Append adds the flow's value to b.
func (f *Flow) Append(b []byte) []byte {
	b = append(b, flowVersion)
	b = binary.AppendUvarint(b, f.SentSeq)
	b = binary.AppendUvarint(b, uint64(f.LastID))
	b = binary.AppendUvarint(b, uint64(len(f.Outgoing)))
	for i := range f.Outgoing {
		o := &f.Outgoing[i]
		b = binary.AppendUvarint(b, o.Seq)
		b = binary.AppendUvarint(b, uint64(o.ID))
		b = append(b, byte(o.State))
	}
	b = binary.AppendUvarint(b, uint64(len(f.Received)))
	for _, id := range f.Received {
		b = binary.AppendUvarint(b, uint64(id))
	}
	b = f.Losses.append(b, len(f.Forgone) > 0)
	if len(f.Forgone) == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(f.Forgone)))
	for _, p := range f.Forgone {
		b = binary.AppendUvarint(b, p.From)
		b = binary.AppendUvarint(b, p.To-p.From)
	}
	return b
}

var (
	errState   = errors.New("an in-flight message has an unknown state")
	errPlaces  = errors.New("ranges of message positions are not in order")
	errTooMany = errors.New("more than 65535 packet identifiers")
)

// Parse reads a flow.
func (f *Flow) Parse(key string, value []byte) error {
	r := reader{rest: value}
	r.version(flowVersion)
	*f = Flow{}
	f.Session = r.numberKey(key)
	f.SentSeq, f.LastID = r.uvarint(), uint16(r.upTo(math.MaxUint16))
	n := r.identifiers(3)
	f.Outgoing = slices.Grow(f.Outgoing, n)
	for range n {
		o := Outgoing{Seq: r.uvarint(), ID: r.packetID(), State: SendState(r.byte())}
		if o.State < AwaitPuback || o.State > AwaitPubcomp {
			r.fail(errState)
			break
		}
		f.Outgoing = append(f.Outgoing, o)
	}
	n = r.identifiers(1)
	f.Received = slices.Grow(f.Received, n)
	for range n {
		f.Received = append(f.Received, r.packetID())
	}
	f.Losses = r.losses()
	f.Forgone = r.forgone()
	return r.result("flow")
}

// identifiers is the number of items that have a packet identifier each.
func (r *reader) identifiers(bytes int) int {
	n := r.count(bytes)
	if n > math.MaxUint16 {
		r.fail(errTooMany)
		return 0
	}
	return n
}

// forgone reads the end of a flow, which may not be there.
func (r *reader) forgone() (f []Places) {
	if len(r.rest) == 0 {
		return nil
	}
	last, n := uint64(0), r.count(2)
	f = slices.Grow(f, n)
	for range n {
		p := Places{From: r.uvarint()}
		p.To = p.From + r.uvarint()
		if p.From <= last || p.To < p.From {
			r.fail(errPlaces)
			break
		}
		f, last = append(f, p), p.To
	}
	return f
}
