//go:build unix && !solaris && !aix

package folder

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Lock waits for the lock of a folder and takes it. The system releases it at the latest when the process ends; no
// file is left behind.
func Lock(path string) (unlock func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}

// keepOwner gives a file the owner of the old one, if the system permits.
func keepOwner(file *os.File, old fs.FileInfo) {
	if st, ok := old.Sys().(*syscall.Stat_t); ok {
		_ = file.Chown(int(st.Uid), int(st.Gid))
	}
}
