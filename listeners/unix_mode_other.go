//go:build !linux

package listeners

import (
	"io/fs"
	"syscall"
)

// limitMode does nothing: only Linux supports it.
func limitMode(syscall.RawConn, fs.FileMode) error { return nil }
