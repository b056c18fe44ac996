package boltstore

import (
	"fmt"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"go.etcd.io/bbolt"
)

// arenaBytes is the minimum allocation for values.
const arenaBytes = 256 << 10

// txWriter applies batches to one transaction.
type txWriter struct {
	tx      *bbolt.Tx
	buckets [storage.Spaces][2]*bbolt.Bucket // by space, and whether the key is long
	key     []byte
	arena   []byte // values in file format; bbolt refers to them until the transaction ends
}

// batch applies commits in order, then the later ops not overtaken by a commit.
func (w *txWriter) batch(b *batch) error {
	var newest map[laterKey]uint64 // only needed if there are later ops
	if len(b.later) > 0 {
		newest = make(map[laterKey]uint64)
	}
	for _, r := range b.commits {
		for _, op := range r.ops {
			if b.relief && isDone(op) {
				continue // see relieve
			}
			if err := w.apply(op); err != nil {
				return err
			}
			if newest != nil {
				newest[laterKey{op.Space, op.Key}] = r.seq
			}
		}
	}
	if b.probe {
		// Changing a page makes the transaction need space.
		if err := w.tx.Bucket(metaBucket).Put(formatKey, formatValue()); err != nil {
			return err
		}
	}
	for _, l := range b.later {
		if l.seq == 0 || newest[laterKey{l.op.Space, l.op.Key}] > l.seq || b.relief && !l.op.Delete {
			continue
		}
		if err := w.apply(l.op); err != nil {
			return err
		}
	}
	return nil
}

func (w *txWriter) apply(op storage.Op) error {
	bucket := w.bucket(op.Space, isLong(op.Key))
	w.key = appendKey(w.key[:0], op.Key)
	if op.Delete {
		return bucket.Delete(w.key)
	}
	if err := bucket.Put(w.key, w.value(op)); err != nil {
		return fmt.Errorf("put %q: %w", op.Key, err)
	}
	return nil
}

func (w *txWriter) bucket(space storage.Space, long bool) *bbolt.Bucket {
	name, i := plainBucket(space), 0
	if long {
		name, i = longBucket(space), 1
	}
	if w.buckets[space][i] == nil {
		w.buckets[space][i] = w.tx.Bucket(name)
	}
	return w.buckets[space][i]
}

// value returns op's value in file format. A full arena stays with the values in it.
func (w *txWriter) value(op storage.Op) []byte {
	need := 4 + len(op.Key) + len(op.Value) + checksumBytes
	if cap(w.arena)-len(w.arena) < need {
		w.arena = make([]byte, 0, max(need, arenaBytes))
	}
	start := len(w.arena)
	w.arena = appendValue(w.arena, op.Key, op.Value)
	return w.arena[start:len(w.arena):len(w.arena)]
}
