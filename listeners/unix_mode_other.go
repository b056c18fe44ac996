//go:build !linux

package listeners

import (
	"io/fs"
	"syscall"
)

// limitMode does nothing: only Linux lets a socket's mode be chosen before it is bound.
func limitMode(syscall.RawConn, fs.FileMode) error { return nil }
