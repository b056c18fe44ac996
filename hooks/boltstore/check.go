package boltstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"go.etcd.io/bbolt"
)

// checkBatch is the number of pairs between two checks of the context.
const checkBatch = 256

// CheckOptions configure Snapshot.Check. The zero value checks the store's own structure.
type CheckOptions struct {
	// Content are checks of the pairs' meaning, run if everything else is sound.
	Content []ContentCheck
	// Progress is called often with the work done and the total, in no unit. nil: not called.
	Progress func(done, total int64)
}

// ContentCheck checks the meaning of a store's pairs. It calls problem for each error found, and returns an error if
// it could not check.
type ContentCheck func(from storage.Loader, problem func(error)) error

// Check reads the whole snapshot: the tree, the checksum of each value, then the pairs' meaning. The report holds the
// damage, see Report.Err. The error is the reason why the check could not be completed: ctx has ended, the store was
// closed (ErrClosed), or the format is another (ErrForeign, ErrNewer).
func (s *Snapshot) Check(ctx context.Context, o CheckOptions) (*Report, error) {
	ctx, cancel := s.until(ctx)
	defer cancel()
	c := &checker{Snapshot: s, ctx: ctx, CheckOptions: o, report: newReport(0)}
	if err := c.run(); err != nil {
		return nil, fmt.Errorf("check store %s: %w", s.path, err)
	}
	return c.report, nil
}

// checker is the state of one check.
type checker struct {
	*Snapshot
	CheckOptions
	ctx    context.Context
	report *Report
	done   int64 // bytes of pages, then of pairs
}

// run runs the steps. It stops before a step that relies on something damaged.
func (c *checker) run() error {
	if err := c.tree(); err != nil || len(c.report.Problems) > 0 {
		return err
	}
	if err := c.pairs(); err != nil || len(c.report.Problems) > 0 {
		return err
	}
	for _, check := range c.Content {
		if err := check(c.Snapshot, c.report.problem); err != nil {
			return err
		}
	}
	return nil
}

// tree checks the pages and the format.
func (c *checker) tree() error {
	fileBytes, err := c.h.size()
	if err != nil {
		return err
	}
	r := c.report
	r.PageBytes, r.FileBytes = c.h.pageSize, fileBytes
	r.UsedPages, err = verify(c.tx, c.h, func(used int64) error {
		return c.goOn(used * int64(r.PageBytes))
	})
	r.FreePages = max(0, fileBytes/int64(r.PageBytes)-r.UsedPages)
	if stopped := context.Cause(c.ctx); stopped != nil {
		return stopped
	}
	if err == nil {
		err = guard(func() (err error) {
			r.Format, err = readFormat(c.tx)
			return err
		})
	}
	if errors.Is(err, ErrForeign) || errors.Is(err, ErrNewer) {
		return err
	}
	if err != nil {
		r.problem(err)
	}
	return nil
}

// pairs checks the checksum of each pair.
func (c *checker) pairs() error {
	c.done = c.tx.Size()
	for space := range storage.Space(storage.Spaces) {
		c.report.Spaces = append(c.report.Spaces, SpaceReport{Name: spaceNames[space]})
		for _, long := range []bool{false, true} {
			b := spaceBucket(c.tx, space, long)
			if b == nil {
				continue // of an older format
			}
			if err := c.bucket(b, space, long); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) bucket(b *bbolt.Bucket, space storage.Space, long bool) error {
	cursor := b.Cursor()
	step := cursor.First
	for more := true; more; step = cursor.Next {
		err := guard(func() error {
			more = c.batch(step, cursor.Next, space, long)
			return nil
		})
		if err != nil {
			c.report.problem(fmt.Errorf("%s: %w", spaceNames[space], err))
			return nil
		}
		if err := c.goOn(c.done); err != nil {
			return err
		}
	}
	return nil
}

// batch checks some pairs and reports whether there may be more.
func (c *checker) batch(first, next func() (k, v []byte), space storage.Space, long bool) bool {
	k, v := first()
	for n := 1; k != nil; n++ {
		key, value, err := parseValue(long, k, v)
		if err != nil {
			c.report.problem(fmt.Errorf("%s: key %s: %w", spaceNames[space], readable(k), err))
		} else {
			c.report.count(key, value)
		}
		c.done += int64(len(k) + len(v))
		if n == checkBatch {
			return true
		}
		k, v = next()
	}
	return false
}

// goOn reports progress, and returns the reason to end the check, if any.
func (c *checker) goOn(done int64) error {
	if c.Progress != nil {
		c.Progress(done, 2*c.tx.Size())
	}
	return context.Cause(c.ctx)
}
