package boltstore

import (
	"math"
	"slices"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"go.etcd.io/bbolt"
)

// maxReliefOps bounds a write to a full disk, so that the reserve is enough for the changed pages.
const maxReliefOps = 256

// unaffordable is the growth of ops that a full disk never takes: messages.
const unaffordable = math.MaxInt64

// DiskFull reports whether the disk has no space for more messages. Deletions and acknowledgements are still written,
// and records of sessions and subscriptions as long as half of the reserve is left.
func (s *Store) DiskFull() bool { return s.full.Load() }

// makeRoom allocates space for a batch's puts. A probe asks for the size of the refused ops plus leastReserve, so
// that the disk is not full again a moment later.
func (s *Store) makeRoom(b *batch) error {
	h := s.current.Load()
	total, largest := b.growth()
	total *= 2 // pages are half full at worst
	h.largest = max(h.largest, largest)
	if b.probe {
		total = max(total, s.wanted) + leastReserve
	}
	err := h.makeRoom(total)
	if isSpace(err) {
		if total == 0 {
			return nil // the reserve is for this
		}
		s.wanted = max(s.wanted, 2*largest)
	}
	return err
}

// relieve writes the part of a batch that a full disk takes. It deletes messages last, and in pieces, because a
// deletion may rewrite its page: a crash in between leaves only unused messages. Atomic deletions are not divided.
func (s *Store) relieve(b *batch) error {
	done, others := b.done()
	if others {
		if err := s.writeBatch(b); err != nil {
			return err
		}
	}
	for len(done) > 0 {
		n := min(max(s.piece, 1), len(done))
		err := s.writeBatch(&batch{piece: true, commits: []request{{ops: done[:n]}}})
		switch {
		case isSpace(err) && n > 1:
			s.piece = n / 2
		case err != nil:
			return err
		default:
			s.piece = min(2*s.piece+1, maxReliefOps)
			done = done[n:]
		}
	}
	return nil
}

// done returns the deletions of messages in the order of their keys, and whether the batch has any other ops.
func (b *batch) done() (ops []storage.Op, others bool) {
	for _, r := range b.commits {
		for _, op := range r.ops {
			if isDone(op) {
				ops = append(ops, op)
			} else {
				others = true
			}
		}
	}
	slices.SortFunc(ops, compareOps)
	return ops, others || len(b.later) > 0
}

// isDone reports whether an op deletes a message, whose key is never used again.
func isDone(op storage.Op) bool { return op.Delete && !op.Atomic && op.Space == storage.SpaceMessages }

// lengthen allocates space for a batch at the end of the file: the file's free space may be too fragmented.
func (s *Store) lengthen(b *batch) error {
	h := s.current.Load()
	_, high, err := h.room()
	if err != nil {
		return err
	}
	total, _ := b.growth()
	return h.extend(max(h.backed, high), 2*total+h.reserve())
}

// growth returns the bytes that a batch puts outside flows, in total and by its largest op.
func (b *batch) growth() (total, largest int64) {
	count := func(op storage.Op) {
		if !isRelief(op) {
			total += bytesOf(op)
			largest = max(largest, bytesOf(op))
		}
	}
	for _, r := range b.commits {
		for _, op := range r.ops {
			count(op)
		}
	}
	for _, l := range b.later {
		count(l.op)
	}
	return total, largest
}

// isRelief reports whether an op may always use the reserve. Acknowledgements shrink flows by more than flows grow.
func isRelief(op storage.Op) bool { return op.Delete || op.Space == storage.SpaceFlows }

// refuseGrowth fails the commits that a full disk does not take, with err, and later ops that put something.
func (s *Store) refuseGrowth(b *batch, err error) error {
	h := s.current.Load()
	have, _, roomErr := h.room()
	if roomErr != nil {
		return roomErr
	}
	b.relief = true
	budget := have - h.reserve()/2
	return guard(func() error {
		return h.db.View(func(tx *bbolt.Tx) error {
			w := txWriter{tx: tx}
			for i := range b.commits {
				r := &b.commits[i]
				growth := w.growthOf(r.ops)
				if growth > 0 && growth > budget {
					r.ops, r.err = nil, err
					continue
				}
				budget -= growth
			}
			return nil
		})
	})
}

func (w *txWriter) growthOf(ops []storage.Op) (bytes int64) {
	for _, op := range ops {
		growth := w.growth(op)
		if growth == unaffordable {
			return unaffordable
		}
		bytes += growth
	}
	return bytes
}

// growth estimates the bytes by which op makes the file grow.
func (w *txWriter) growth(op storage.Op) int64 {
	switch {
	case isRelief(op):
		return 0
	case op.Space == storage.SpaceMessages || op.Space == storage.SpaceRetained:
		return unaffordable
	}
	w.key = appendKey(w.key[:0], op.Key)
	old := w.bucket(op.Space, isLong(op.Key)).Get(w.key)
	if old == nil {
		return 2 * bytesOf(op)
	}
	return 2 * max(int64(len(op.Value)+checksumBytes-len(old)), 0)
}
