package boltstore

import (
	"fmt"

	"github.com/outcry-mqtt/outcry/broker"
	"go.etcd.io/bbolt"
)

// loadBatch is how many pairs are read and checked before fn is called with them.
const loadBatch = 256

type pair struct {
	key   string
	value []byte
}

// Load calls fn with every key and value of a space. A value is valid only during the call. An error of fn ends it and
// is returned; a value that is damaged ends it with ErrDamaged.
func (s *Store) Load(space broker.Space, fn func(key string, value []byte) error) error {
	if int(space) >= broker.Spaces {
		return fmt.Errorf("load space %d: there are %d", space, broker.Spaces)
	}
	h := s.acquire()
	defer h.release() // nothing is written any more to a file that is closed here
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

// loadSpace calls fn with what tx sees of a space. A file of an older format may lack its buckets.
func loadSpace(tx *bbolt.Tx, space broker.Space, fn func(key string, value []byte) error) error {
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

func spaceBucket(tx *bbolt.Tx, space broker.Space, long bool) *bbolt.Bucket {
	if long {
		return tx.Bucket(longBucket(space))
	}
	return tx.Bucket(plainBucket(space))
}

// loadBucket reads in batches, so that only reading is guarded against faults, and fn is not.
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

// readPairs takes up to loadBatch pairs of a cursor, the first by first and the others by next.
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
