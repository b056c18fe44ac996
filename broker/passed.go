package broker

import (
	"cmp"
	"slices"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// A failed message may be on disk all the same, with the state of its publisher's session, until the next transaction of its shard
// deletes it. A session on another shard passes it over, because the publisher will send it again. If the store had that position, and
// the process ended before the deletion, the message would be lost: after the start the session would not want it, and a publisher's
// repetition with QoS 2 would be a duplicate. So until then the position in the store excludes the message.

// passedOver is a failed message that a session has passed over.
type passedOver struct {
	seq uint64 // the message's number in the session
	m   *storedMessage
}

// passOver notes that a failed message has left the session's queue or its in-flight window.
func (ss *session) passOver(d *delivery) {
	if d.seq == 0 || d.m.stored.state.Load() != storeFailed {
		return
	}
	j := &ss.shard.journal
	if j.passed == nil {
		j.passed = make(map[*session][]passedOver)
	}
	j.passed[ss] = append(j.passed[ss], passedOver{d.seq, d.m.stored})
}

// position returns the session's position in its messages for the store: those up to sent have left the queue, and so have the
// forgone ones. Failed messages that may be on disk count as if they had not.
func (ss *session) position() (sent uint64, gone forgone) {
	d, j := ss.durable, &ss.shard.journal
	if len(j.passed) == 0 {
		return d.sentSeq, d.forgone
	}
	all := slices.DeleteFunc(j.passed[ss], func(p passedOver) bool { return p.m.state.Load() != storeFailed })
	if len(all) == 0 {
		delete(j.passed, ss)
		return d.sentSeq, d.forgone
	}
	slices.SortFunc(all, func(a, b passedOver) int { return cmp.Compare(a.seq, b.seq) })
	j.passed[ss] = all
	from := all[0].seq + 1
	for _, p := range all[1:] {
		if from < p.seq {
			gone = append(gone, storage.Places{From: from, To: p.seq - 1})
		}
		from = p.seq + 1
	}
	if from <= d.sentSeq {
		gone = append(gone, storage.Places{From: from, To: d.sentSeq})
	}
	return all[0].seq - 1, append(gone, d.forgone...)
}
