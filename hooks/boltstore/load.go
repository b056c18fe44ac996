package boltstore

import (
	"fmt"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"go.etcd.io/bbolt"
)

// loadBatch is the number of pairs read and checked before fn is called with them.
const loadBatch = 256

type pair struct {
	key   string
	value []byte
}

// Load calls fn with every key and value of a space. A value is valid only during the call. An error of fn ends it
// and is returned; a damaged value ends it with ErrDamaged.
func (s *Store) Load(space storage.Space, fn func(key string, value []byte) error) error {
	if int(space) >= storage.Spaces {
		return fmt.Errorf("load space %d: there are %d", space, storage.Spaces)
	}
	h := s.acquire()
	defer h.release() // nothing more is written to a file closed here
	tx, err := h.begin()
	if err == nil {
		defer tx.Rollback()
		err = loadSpace(tx, space, fn)
	}
	if err != nil {
		return fmt.Errorf("load %s of store %s: %w", spaceNames[space], s.options.Path, err)
	}
	return nil
}

// loadSpace calls fn with a space's pairs in tx. A file of an older format may lack its buckets.
func loadSpace(tx *bbolt.Tx, space storage.Space, fn func(key string, value []byte) error) error {
	for _, long := range []bool{false, true} {
		b := spaceBucket(tx, space, long)
		if b == nil {
			continue
		}
		if err := loadBucket(b, long, fn); err != nil {
			return err
		}
	}
	return nil
}

func spaceBucket(tx *bbolt.Tx, space storage.Space, long bool) *bbolt.Bucket {
	if long {
		return tx.Bucket(longBucket(space))
	}
	return tx.Bucket(plainBucket(space))
}

// loadBucket reads in batches, so that only the reads, and not fn, are guarded against faults.
func loadBucket(b *bbolt.Bucket, long bool, fn func(key string, value []byte) error) error {
	c := b.Cursor()
	step := c.First
	for {
		pairs, err := readPairs(step, c.Next, long)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			if err := fn(p.key, p.value); err != nil {
				return err
			}
		}
		if len(pairs) < loadBatch {
			return nil
		}
		step = c.Next
	}
}

// readPairs reads up to loadBatch pairs of a cursor, the first by first and the others by next.
func readPairs(first, next func() (k, v []byte), long bool) (pairs []pair, err error) {
	err = guard(func() error {
		k, v := first()
		for k != nil {
			key, value, err := parseValue(long, k, v)
			if err != nil {
				return fmt.Errorf("key %q: %w: %w", k, err, ErrDamaged)
			}
			pairs = append(pairs, pair{string(key), value})
			if len(pairs) == loadBatch {
				break
			}
			k, v = next()
		}
		return nil
	})
	return pairs, err
}
