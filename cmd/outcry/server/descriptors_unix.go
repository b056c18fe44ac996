//go:build unix

package server

import (
	"math"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFiles returns the limit of open files; 0: unknown.
func openFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || uint64(limit.Cur) > math.MaxInt32 {
		return 0
	}
	return int(limit.Cur)
}

// mayWrite reports whether this process may create files in a folder.
func mayWrite(folder string) bool { return unix.Access(folder, unix.W_OK|unix.X_OK) == nil }
