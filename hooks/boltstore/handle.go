package boltstore

import (
	"errors"
	"os"
	"sync"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Bounds of the step, in bytes, by which a file grows: it doubles until it grows by the most.
const (
	leastGrowth = 32 << 10
	mostGrowth  = 16 << 20
)

// handle is a bbolt file that is open. Compacting puts another in its place; then this one is closed by its last reader.
type handle struct {
	// Static after construction.
	db       *bbolt.DB
	file     *os.File // the one that db uses
	pageSize int

	mu      sync.Mutex // guards what follows
	readers int
	retired bool // another is in its place
}

// acquire tells whether the file may still be read, and if so keeps it open until release.
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

// retire closes the file as soon as nobody reads it.
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

// setGrowth says by how much the file grows when the transaction that comes next needs more room. bbolt would decide by
// the size of its map, which says nothing here: see mapBytes.
func (h *handle) setGrowth() {
	if size, err := h.size(); err == nil {
		h.db.AllocSize = int(min(max(size, leastGrowth), mostGrowth))
	}
}

// begin begins a read transaction.
func (h *handle) begin() (*bbolt.Tx, error) {
	tx, err := h.db.Begin(false)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		err = ErrClosed
	}
	return tx, err
}

// acquire returns the file that is open now, which stays open until it is released.
func (s *Store) acquire() *handle {
	for {
		if h := s.current.Load(); h.acquire() {
			return h
		}
	}
}
