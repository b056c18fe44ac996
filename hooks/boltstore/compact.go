package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/outcry-mqtt/outcry/hooks/internal/folder"
)

// compactSuffix is appended to the name of a store's file for its replacement. Opening the store removes a leftover
// of a killed process.
const compactSuffix = ".compact"

// roomIn returns the space available in a folder. Tests change it.
var roomIn = freeBytes

// CompactOptions configure compaction.
type CompactOptions struct {
	// Progress is called often with the work done and the total, in no unit. nil: not called.
	Progress func(done, total int64)
}

// Compaction is the result of a compaction.
type Compaction struct {
	Before int64 `json:"before"` // bytes of the file
	After  int64 `json:"after"`
}

// CompactFile replaces the file of a store that is not open by a new one without free space. It needs space for both.
// In any case one of the two complete files has the name afterwards. Errors are those of OpenSnapshot and Check, and
// lack of space before anything is written.
func CompactFile(ctx context.Context, path string, o CompactOptions) (*Compaction, error) {
	c, err := compactFile(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("compact store %s: %w", path, err)
	}
	return c, nil
}

func compactFile(ctx context.Context, path string, o CompactOptions) (*Compaction, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	snap, err := openSnapshot(path)
	if err != nil {
		return nil, err
	}
	err = errors.Join(mayCompact(ctx, snap, path, o), snap.Close())
	if err != nil {
		return nil, err
	}
	h, err := openDB(path, false) // so that nobody else opens it before it is replaced
	if err != nil {
		return nil, err
	}
	if snap, err = snapshotOf(path, h); err != nil {
		return nil, err
	}
	defer snap.Close() // it was only read
	c, err := writeCompact(ctx, snap, path, o)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(path+compactSuffix, path); err != nil {
		return nil, errors.Join(err, os.Remove(path+compactSuffix))
	}
	return c, folder.Sync(filepath.Dir(path))
}

// mayCompact returns the reason not to compact: damage, or lack of space for the new file.
func mayCompact(ctx context.Context, snap *Snapshot, path string, o CompactOptions) error {
	r, err := snap.Check(ctx, CheckOptions{Progress: half(o.Progress, 0)})
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return err
	}
	needed := r.UsedBytes() + r.UsedBytes()/8 + 1<<20
	free, known := roomIn(filepath.Dir(path))
	if known && free < needed {
		return fmt.Errorf("not enough disk space: it needs %s in %s, and %s are free; free %s more",
			mib(needed), filepath.Dir(path), mib(free), mib(needed-free))
	}
	return nil
}

// writeCompact creates the replacement of the file at path with the content of snap: on disk, checked, and with the
// same owner. After an error there is none.
func writeCompact(ctx context.Context, snap *Snapshot, path string, o CompactOptions) (_ *Compaction, err error) {
	temp := path + compactSuffix
	if err := removeLeftover(path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.Remove(temp)
		}
	}()
	before, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	copied, err := copySnapshot(ctx, snap, temp, before, half(o.Progress, 1))
	if err != nil {
		return nil, err
	}
	r, err := checkCopy(ctx, temp, CheckOptions{})
	if err != nil {
		return nil, err
	}
	if !slices.Equal(r.Spaces, copied.Spaces) {
		return nil, fmt.Errorf("the copy differs from the store and was deleted: it has %+v, want %+v", r.Spaces, copied.Spaces)
	}
	return &Compaction{Before: before.Size(), After: r.FileBytes}, nil
}

// removeLeftover removes the leftover of a process killed while it compacted the file at path.
func removeLeftover(path string) error {
	if err := os.Remove(path + compactSuffix); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// half converts the progress of a step to that of the first or second half of the work.
func half(progress func(done, total int64), n int64) func(done, total int64) {
	return func(done, total int64) {
		if progress != nil {
			progress(n*total+done, 2*total)
		}
	}
}

// mib formats a size in MiB, rounded up.
func mib(bytes int64) string { return fmt.Sprintf("%d MiB", (bytes+1<<20-1)>>20) }

// errCompacting is the error of a second concurrent compaction.
var errCompacting = errors.New("a compaction is already running; wait until it has ended")

// compaction is one call of Compact.
type compaction struct {
	ctx     context.Context
	options CompactOptions
	done    chan error // 1
	result  *Compaction
}

// Compact is CompactFile for an open store. It first checks the store, concurrently with its traffic. Then commits
// and later ops wait, within Options.MaxPendingBytes, until the new file is in place; readers continue with the old
// one. No committed change is lost in any case.
func (s *Store) Compact(ctx context.Context, o CompactOptions) (*Compaction, error) {
	c := &compaction{ctx: ctx, options: o, done: make(chan error, 1)}
	err := s.precheck(c)
	if err == nil {
		err = s.request(c)
	}
	if err == nil {
		err = <-c.done
	}
	if err != nil {
		return nil, fmt.Errorf("compact store %s: %w", s.options.Path, err)
	}
	return c.result, nil
}

func (s *Store) precheck(c *compaction) error {
	snap, err := s.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close() // it was only read
	path, err := filepath.EvalSymlinks(s.options.Path)
	if err != nil {
		return err
	}
	return mayCompact(c.ctx, snap, path, c.options)
}

// request passes c to the writer.
func (s *Store) request(c *compaction) error {
	s.mu.Lock()
	closed, other := s.closed, s.compacting != nil
	if !closed && !other {
		s.compacting = c
	}
	s.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case other:
		return errCompacting
	}
	s.rouse()
	return nil
}

// compact runs a requested compaction. The writer calls it between two transactions.
func (s *Store) compact(c *compaction) {
	s.mu.Lock()
	failure := s.failure
	s.mu.Unlock()
	var err error
	if failure != nil {
		err = fmt.Errorf("the store cannot write at the moment: %w", failure)
	} else {
		err = s.replaceFile(c)
	}
	s.mu.Lock()
	s.compacting = nil
	s.mu.Unlock()
	c.done <- err
}

func (s *Store) replaceFile(c *compaction) error {
	path, err := filepath.EvalSymlinks(s.options.Path)
	if err != nil {
		return err
	}
	old := s.current.Load()
	if err := old.isAt(path); err != nil {
		return fmt.Errorf("the store's file was replaced: %w", err)
	}
	snap, err := s.Snapshot()
	if err != nil {
		return err
	}
	c.result, err = writeCompact(c.ctx, snap, path, c.options)
	if err = errors.Join(err, snap.Close()); err != nil {
		return err
	}
	// It is locked before it gets the name, so that no other process can open it.
	next, err := openDB(path+compactSuffix, false)
	if err != nil {
		return errors.Join(err, os.Remove(path+compactSuffix))
	}
	if err := os.Rename(path+compactSuffix, path); err != nil {
		return errors.Join(err, next.db.Close(), os.Remove(path+compactSuffix))
	}
	s.current.Store(next)
	s.renamed = filepath.Dir(path)
	return errors.Join(s.syncName(), old.retire())
}

// syncName makes the name of the file durable. A crash before that could restore the old file, so nothing is
// committed until it is done.
func (s *Store) syncName() error {
	if s.renamed == "" {
		return nil
	}
	if err := folder.Sync(s.renamed); err != nil {
		return fmt.Errorf("commits wait until the new file's name is on disk: %w", err)
	}
	s.renamed = ""
	return nil
}
