package boltstore

import (
	"errors"
	"os"
	"sync"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Bounds of the step by which a file grows, in bytes: it doubles up to the upper one.
const (
	leastGrowth = 32 << 10
	mostGrowth  = 16 << 20
)

// handle is an open bbolt file. Compaction replaces it; its last reader then closes it.
type handle struct {
	// Static after construction.
	db       *bbolt.DB
	file     *os.File // as used by db
	pageSize int

	// Owned by the writer.
	backed  int64 // end of the part with allocated disk space; 0: unknown
	largest int64 // size of the largest value ever put, in bytes

	mu      sync.Mutex // guards the fields below
	readers int
	retired bool // replaced by another
}

// acquire keeps the file open until release. It returns false if the file was closed.
func (h *handle) acquire() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.retired {
		return false
	}
	h.readers++
	return true
}

func (h *handle) release() error {
	h.mu.Lock()
	h.readers--
	last := h.retired && h.readers == 0
	h.mu.Unlock()
	if last {
		return h.db.Close()
	}
	return nil
}

// retire closes the file as soon as it has no readers.
func (h *handle) retire() error {
	h.mu.Lock()
	h.readers++
	h.retired = true
	h.mu.Unlock()
	return h.release()
}

// size returns the size of the file in bytes.
func (h *handle) size() (int64, error) {
	info, err := h.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// growth returns the number of bytes by which the file grows. bbolt would derive it from the size of its map, which
// is unsuitable here: see mapBytes.
func (h *handle) growth() int64 {
	size, err := h.size()
	if err != nil {
		return leastGrowth
	}
	return min(max(size, leastGrowth), mostGrowth)
}

// begin starts a read transaction.
func (h *handle) begin() (*bbolt.Tx, error) {
	tx, err := h.db.Begin(false)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		err = ErrClosed
	}
	return tx, err
}

// acquire returns the current file, which stays open until it is released.
func (s *Store) acquire() *handle {
	for {
		if h := s.current.Load(); h.acquire() {
			return h
		}
	}
}
