package boltstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/outcry-mqtt/outcry/broker"
	"go.etcd.io/bbolt"
)

// checkBatch is how many pairs are checked between two looks at whether to go on.
const checkBatch = 256

// CheckOptions say what Snapshot.Check does. The zero value is a check of everything that the store itself knows about.
type CheckOptions struct {
	// Content are checks of what the pairs mean. They are called if all else is sound.
	Content []ContentCheck
	// Progress is called often, with how much of how much is done, in no unit. nil: nobody is told.
	Progress func(done, total int64)
}

// ContentCheck is a check of what the pairs of a store mean: it calls problem with each thing that is wrong, and returns
// an error if it could not look.
type ContentCheck func(from Loader, problem func(error)) error

// Loader is what pairs are read from: all of one moment.
type Loader interface {
	// Load calls fn with every key and value of a space. A value is valid only during the call. An error of fn ends it
	// and is returned.
	Load(space broker.Space, fn func(key string, value []byte) error) error
}

// Check reads all of the snapshot: the tree, the checksum of each value, then what the pairs mean. What is wrong stands
// in the report, see Report.Err; the error tells why it could not be checked: ctx has ended, the store was closed
// (ErrClosed), or it is none of this format (ErrForeign, ErrNewer).
func (s *Snapshot) Check(ctx context.Context, o CheckOptions) (*Report, error) {
	ctx, cancel := s.until(ctx)
	defer cancel()
	c := &checker{Snapshot: s, ctx: ctx, CheckOptions: o, report: newReport(0)}
	if err := c.run(); err != nil {
		return nil, fmt.Errorf("check store %s: %w", s.path, err)
	}
	return c.report, nil
}

// checker is one check.
type checker struct {
	*Snapshot
	CheckOptions
	ctx    context.Context
	report *Report
	done   int64 // bytes of pages, then of pairs
}

// run looks no further where something is wrong already that the next step relies on.
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
	for space := range broker.Space(broker.Spaces) {
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

func (c *checker) bucket(b *bbolt.Bucket, space broker.Space, long bool) error {
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

// batch checks some pairs and tells whether there may be more.
func (c *checker) batch(first, next func() (k, v []byte), space broker.Space, long bool) bool {
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

// goOn tells how much is done, pages and pairs alike, and why the check should end.
func (c *checker) goOn(done int64) error {
	if c.Progress != nil {
		c.Progress(done, 2*c.tx.Size())
	}
	return context.Cause(c.ctx)
}
