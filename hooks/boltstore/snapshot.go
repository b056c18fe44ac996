package boltstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"go.etcd.io/bbolt"
)

// Snapshot is the state of a store at one moment. It must be closed. Its methods must not be called concurrently.
//
// A snapshot of an open Store delays nobody, but its pages are not reused until it is closed, so the file grows by
// everything written meanwhile.
type Snapshot struct {
	path    string
	h       *handle
	tx      *bbolt.Tx
	ending  context.Context // ends the methods with ErrClosed
	release func() error
}

// Snapshot returns the store's present state on disk. Close waits until it is closed.
func (s *Store) Snapshot() (*Snapshot, error) {
	h := s.acquire()
	tx, err := h.begin()
	if err != nil {
		return nil, fmt.Errorf("read store %s: %w", s.options.Path, errors.Join(err, h.release()))
	}
	return &Snapshot{path: s.options.Path, h: h, tx: tx, ending: s.ending, release: h.release}, nil
}

// OpenSnapshot opens the file of a store that is not open, without changing it. Meanwhile others may read the file
// too, and no broker can start with it. Errors wrap ErrInUse, ErrDamaged, ErrForeign, ErrNewer or ErrEmpty where one
// applies.
func OpenSnapshot(path string) (*Snapshot, error) {
	s, err := openSnapshot(path)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	return s, nil
}

func openSnapshot(path string) (*Snapshot, error) {
	if err := checkRegular(path); err != nil {
		return nil, err
	}
	h, err := openDB(path, true)
	if err != nil {
		return nil, err
	}
	return snapshotOf(path, h)
}

// snapshotOf returns a snapshot of h, and closes h when it is closed.
func snapshotOf(path string, h *handle) (*Snapshot, error) {
	tx, err := h.begin()
	if err != nil {
		return nil, errors.Join(err, h.db.Close())
	}
	return &Snapshot{path: path, h: h, tx: tx, ending: context.Background(), release: h.db.Close}, nil
}

// checkRegular refuses anything but a regular, non-empty file.
func checkRegular(path string) error {
	if path == "" {
		return errNoPath
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errNotRegular
	case info.Size() == 0:
		return ErrEmpty
	}
	return nil
}

// Close releases the snapshot. It is idempotent.
func (s *Snapshot) Close() error {
	if s.tx.DB() == nil {
		return nil // the transaction has ended
	}
	return errors.Join(s.tx.Rollback(), s.release())
}

// Size returns the number of bytes that WriteTo writes.
func (s *Snapshot) Size() int64 { return s.tx.Size() }

// Load calls fn with every key and value of a space, as Store.Load does.
func (s *Snapshot) Load(space storage.Space, fn func(key string, value []byte) error) error {
	if int(space) >= storage.Spaces {
		return fmt.Errorf("load space %d: there are %d", space, storage.Spaces)
	}
	if err := loadSpace(s.tx, space, fn); err != nil {
		return fmt.Errorf("load %s of store %s: %w", spaceNames[space], s.path, err)
	}
	return nil
}

// WriteTo writes a store's file to w: Size bytes, with undefined content in the unused part. It does not check the
// content. It ends with ErrClosed, at w's next write, when the store is closed.
func (s *Snapshot) WriteTo(w io.Writer) (n int64, err error) {
	var failed error // of w; bbolt does not wrap it
	to := writerFunc(func(b []byte) (n int, err error) {
		if s.ending.Err() != nil {
			failed = ErrClosed
			return 0, failed
		}
		n, failed = w.Write(b)
		return n, failed
	})
	err = guard(func() (err error) {
		n, err = s.tx.WriteTo(to)
		return err
	})
	if err = cmp.Or(failed, err); err != nil {
		return n, fmt.Errorf("copy store %s: %w", s.path, err)
	}
	return n, nil
}

// until returns a context that ends with ctx, or with ErrClosed as its cause when the store is closed.
func (s *Snapshot) until(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ending, func() { cancel(ErrClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

// writerFunc is a function that is an io.Writer.
type writerFunc func([]byte) (int, error)

// Write calls the function.
func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
