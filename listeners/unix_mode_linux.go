package listeners

import (
	"io/fs"
	"syscall"
)

// limitMode sets the mode of a socket that is not bound yet. Linux gives the file that bind makes this mode without
// the umask's bits, so there is no moment in which a stranger could connect.
func limitMode(c syscall.RawConn, mode fs.FileMode) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), uint32(mode.Perm())) })
	if err != nil {
		return err
	}
	return failed
}
