package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/outcry-mqtt/outcry/hooks/internal/folder"
)

// errCompacting is the error of a second concurrent compaction.
var errCompacting = errors.New("it is being compacted already; wait until that has ended")

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
		err = fmt.Errorf("it cannot be written at the moment: %w", failure)
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
		return fmt.Errorf("another file is in its place: %w", err)
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
		return fmt.Errorf("the new file's name is not on disk yet, for which commits wait: %w", err)
	}
	s.renamed = ""
	return nil
}
