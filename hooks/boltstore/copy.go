package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"go.etcd.io/bbolt"
)

const (
	copyBytes   = 4 << 20 // of pairs in one transaction of a copy
	fillPercent = 0.9     // of the copy's pages: they split soon enough
)

// copySnapshot creates a new file with the content of snap without free space, and with the owner and mode of like.
// It fails when ctx ends, or with ErrClosed when the store is closed. The report has the number of copied pairs.
func copySnapshot(ctx context.Context, snap *Snapshot, path string, like fs.FileInfo, progress func(done, total int64)) (*Report, error) {
	ctx, cancel := snap.until(ctx)
	defer cancel()
	to, err := openDB(path, false)
	if err != nil {
		return nil, err
	}
	to.db.NoSync, to.db.NoGrowSync = true, true // synced once, at the end
	c := &copier{ctx: ctx, from: snap, to: to, progress: progress, report: newReport(format)}
	err = c.run()
	if err == nil {
		err = keepOwner(to.file, like)
	}
	if err == nil {
		err = to.complete()
	}
	return c.report, errors.Join(err, to.db.Close())
}

// complete extends the file to the length of its pages, which bbolt leaves to later growth, and syncs it.
func (h *handle) complete() error {
	var want int64
	_ = h.db.View(func(tx *bbolt.Tx) error { want = tx.Size(); return nil })
	size, err := h.size()
	if err == nil && size < want {
		err = h.file.Truncate(want)
	}
	return errors.Join(err, h.file.Sync())
}

// copier copies the pairs of a snapshot to a new file.
type copier struct {
	ctx      context.Context
	from     *Snapshot
	to       *handle
	progress func(done, total int64)
	report   *Report // of the copied pairs
	done     int64   // bytes
}

// stored is a pair in file format.
type stored struct{ key, value []byte }

func (c *copier) run() error {
	meta := c.from.tx.Bucket(metaBucket)
	if meta == nil {
		return ErrEmpty
	}
	if err := c.bucket(metaBucket, meta, func(_, _ []byte) error { return nil }); err != nil {
		return err
	}
	for space := range storage.Space(storage.Spaces) {
		c.report.Spaces = append(c.report.Spaces, SpaceReport{Name: spaceNames[space]})
		for _, long := range []bool{false, true} {
			name := plainBucket(space)
			if long {
				name = longBucket(space)
			}
			b := c.from.tx.Bucket(name)
			if b == nil {
				continue // of an older format
			}
			err := c.bucket(name, b, func(k, v []byte) error {
				key, value, err := parseValue(long, k, v)
				if err != nil {
					return fmt.Errorf("%s: key %s: %w: %w", name, readable(k), err, ErrDamaged)
				}
				c.report.count(key, value)
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// bucket copies a bucket, after calling look for each pair.
func (c *copier) bucket(name []byte, b *bbolt.Bucket, look func(k, v []byte) error) error {
	cursor := b.Cursor()
	step := cursor.First
	for more := true; more; step = cursor.Next {
		var pairs []stored
		var err error
		if pairs, more, err = readStored(step, cursor.Next, look); err != nil {
			return err
		}
		if err := c.to.db.Update(func(tx *bbolt.Tx) error { return putStored(tx, name, pairs) }); err != nil {
			return err
		}
		for _, p := range pairs {
			c.done += int64(len(p.key) + len(p.value))
		}
		c.progress(c.done, c.from.tx.Size())
		if err := context.Cause(c.ctx); err != nil {
			return err
		}
	}
	return nil
}

// readStored copies pairs from the mapped file, so that only here a read can fault.
func readStored(first, next func() (k, v []byte), look func(k, v []byte) error) (pairs []stored, more bool, err error) {
	err = guard(func() error {
		size := 0
		for k, v := first(); k != nil; k, v = next() {
			if err := look(k, v); err != nil {
				return err
			}
			pairs = append(pairs, stored{bytes.Clone(k), bytes.Clone(v)})
			if size += len(k) + len(v); size >= copyBytes {
				more = true
				return nil
			}
		}
		return nil
	})
	return pairs, more, err
}

func putStored(tx *bbolt.Tx, bucket []byte, pairs []stored) error {
	b, err := tx.CreateBucketIfNotExists(bucket)
	if err != nil {
		return err
	}
	b.FillPercent = fillPercent
	for _, p := range pairs {
		if err := b.Put(p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}
