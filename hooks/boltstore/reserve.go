package boltstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	"go.etcd.io/bbolt"
)

// Bounds of the reserve, in bytes. It is a share of the file, so that it grows with the amount to delete.
const (
	leastReserve = 1 << 20
	mostReserve  = 64 << 20
	reserveShare = 16 // the share of the file
)

// isSpace reports whether an error means that the disk is full, or the user's quota.
func isSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// fence keeps the next transaction within the allocated part of the file. bbolt would extend the file by a hole, and
// notice the lack of space at the write there.
func (h *handle) fence() { h.db.AllocSize, h.db.MaxSize = 0, int(h.backed) }

// unfence lets the next transaction extend the file.
func (h *handle) unfence() { h.db.AllocSize, h.db.MaxSize = int(h.growth()), 0 }

// reserve returns the number of bytes kept free for writes to a full disk: bbolt writes each changed page to another
// place, even for a deletion. A large value is rewritten with its neighbours.
func (h *handle) reserve() int64 {
	size, _ := h.size()
	return min(max(size/reserveShare, leastReserve), mostReserve) + 4*h.largest
}

// room returns the bytes that can be written without more disk space, and the end of the used part of the file.
func (h *handle) room() (bytes, high int64, err error) {
	err = h.db.View(func(tx *bbolt.Tx) error {
		high = tx.Size()
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	if h.backed == 0 {
		h.backed = h.findBacked(high)
	}
	st := h.db.Stats()
	free := st.FreePageN
	if st.OpenTxN == 0 { // or they are still read
		free += st.PendingPageN
	}
	return int64(free)*int64(h.pageSize) + max(h.backed-high, 0), high, nil
}

// findBacked returns the end of the file's part with allocated disk space: its end may be a hole. high is the end of
// the used part.
func (h *handle) findBacked(high int64) int64 {
	size, err := h.size()
	if err != nil || size <= high || !isWhole(h.file) && allocate(h.file, high, size) != nil {
		return high
	}
	return size
}

// makeRoom allocates that many bytes beyond the reserve. It fails, with an error that isSpace, if the disk has no
// space for them.
func (h *handle) makeRoom(bytes int64) error {
	have, high, err := h.room()
	short := bytes + h.reserve() - have
	if err != nil || short <= 0 {
		return err
	}
	from, step := max(h.backed, high), h.growth()
	if free, known := roomIn(filepath.Dir(h.file.Name())); known && free < 4*(short+step) {
		step = 0
	}
	err = h.extend(from, short+step)
	if isSpace(err) && step > 0 {
		err = h.extend(from, short)
	}
	if err != nil {
		return fmt.Errorf("no room for %d bytes: %w", bytes, err)
	}
	return nil
}

// extend allocates disk space for the file up to a number of bytes.
func (h *handle) extend(from, bytes int64) error {
	page := int64(h.pageSize)
	to := from + (bytes+page-1)/page*page
	if err := allocate(h.file, from, to); err != nil {
		return err
	}
	h.backed = to
	return h.file.Sync()
}

// fill writes zeros to the unused part of the file, on systems that cannot allocate space otherwise.
func fill(f interface {
	WriteAt(b []byte, at int64) (int, error)
}, from, to int64) error {
	zeros := make([]byte, min(to-from, 64<<10))
	for from < to {
		n, err := f.WriteAt(zeros[:min(to-from, int64(len(zeros)))], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}
