package boltstore

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate allocates disk space for a part of the file, and extends it if necessary.
func allocate(f *os.File, from, to int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, from, to-from)
		switch {
		case err == unix.EINTR:
			continue
		case errors.Is(err, errors.ErrUnsupported):
			return fill(f, from, to)
		}
		return err
	}
}

// isWhole reports whether the file has no holes.
func isWhole(f *os.File) bool {
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && st.Blocks*512 >= st.Size
}
