package listeners

import (
	"io/fs"
	"syscall"
)

// limitMode sets the mode of an unbound socket. Linux gives the file created by bind this mode minus the umask, so
// that a stranger can connect at no moment.
func limitMode(c syscall.RawConn, mode fs.FileMode) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), uint32(mode.Perm())) })
	if err != nil {
		return err
	}
	return failed
}
