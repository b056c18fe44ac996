package boltstore

import (
	"fmt"

	"github.com/outcry-mqtt/outcry/broker"
	"go.etcd.io/bbolt"
)

// arenaBytes is the least that is allocated for values.
const arenaBytes = 256 << 10

// txWriter applies batches to one transaction.
type txWriter struct {
	tx      *bbolt.Tx
	buckets [broker.Spaces][2]*bbolt.Bucket // by space, and whether the key is long
	key     []byte
	arena   []byte // bbolt keeps values as they are until the transaction ends
}

// batch applies commits in their order, then the later ops that none of the commits has overtaken.
func (w *txWriter) batch(b *batch) error {
	var newest map[laterKey]uint64 // only needed if there are later ops
	if len(b.later) > 0 {
		newest = make(map[laterKey]uint64)
	}
	for _, r := range b.commits {
		for _, op := range r.ops {
			if err := w.apply(op); err != nil {
				return err
			}
			if newest != nil {
				newest[laterKey{op.Space, op.Key}] = r.seq
			}
		}
	}
	if b.probe {
		// A page that changes, so that space is needed.
		if err := w.tx.Bucket(metaBucket).Put(formatKey, formatValue()); err != nil {
			return err
		}
	}
	for _, l := range b.later {
		if l.seq == 0 || newest[laterKey{l.op.Space, l.op.Key}] > l.seq {
			continue
		}
		if err := w.apply(l.op); err != nil {
			return err
		}
	}
	return nil
}

func (w *txWriter) apply(op broker.Op) error {
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

func (w *txWriter) bucket(space broker.Space, long bool) *bbolt.Bucket {
	name, i := plainBucket(space), 0
	if long {
		name, i = longBucket(space), 1
	}
	if w.buckets[space][i] == nil {
		w.buckets[space][i] = w.tx.Bucket(name)
	}
	return w.buckets[space][i]
}

// value returns what is to stand in the file for op. A full arena is left to the values that are in it.
func (w *txWriter) value(op broker.Op) []byte {
	need := 4 + len(op.Key) + len(op.Value) + checksumBytes
	if cap(w.arena)-len(w.arena) < need {
		w.arena = make([]byte, 0, max(need, arenaBytes))
	}
	start := len(w.arena)
	w.arena = appendValue(w.arena, op.Key, op.Value)
	return w.arena[start:len(w.arena):len(w.arena)]
}
