package storage

import (
	"encoding/binary"
	"errors"
	"slices"
)

// Losses counts the messages that a session should have received and did not. It is a part of the session's flow.
type Losses struct {
	Counts    []Loss
	Last      int64 // stamp of the last of them; 0 if there are none
	Missed    bool  // retained messages were dropped, and must still be sent
	MissedQoS byte  // if it has: the highest QoS with which one was to be sent
}

// Loss is a number of messages that were lost for one reason.
type Loss struct {
	Reason string // a label of the broker's counters
	Count  uint64
}

var errMissed = errors.New("the QoS of missed messages is above 2")

// append encodes the losses: the counts by reason with their number in front, the stamp of the last if there are any, and a
// byte that is 0 or one more than the QoS of the missed messages. That byte is left out if it is 0 and nothing follows.
func (l *Losses) append(b []byte, isFollowed bool) []byte {
	b = binary.AppendUvarint(b, uint64(len(l.Counts)))
	for i := range l.Counts {
		b = appendBytes(b, l.Counts[i].Reason)
		b = binary.AppendUvarint(b, l.Counts[i].Count)
	}
	if len(l.Counts) > 0 {
		b = binary.AppendVarint(b, l.Last)
	}
	switch {
	case l.Missed:
		return append(b, l.MissedQoS+1)
	case isFollowed:
		return append(b, 0)
	}
	return b
}

func (r *reader) losses() (l Losses) {
	n := r.count(2)
	l.Counts = slices.Grow(l.Counts, n)
	for range n {
		l.Counts = append(l.Counts, Loss{Reason: string(r.bytes()), Count: r.uvarint()})
	}
	if n > 0 {
		l.Last = r.varint()
	}
	if len(r.rest) == 0 {
		return l
	}
	switch qos := r.byte(); {
	case qos > 3:
		r.fail(errMissed)
	case qos > 0:
		l.Missed, l.MissedQoS = true, qos-1
	}
	return l
}
