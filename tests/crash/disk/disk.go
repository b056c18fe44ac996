// Package disk simulates full and failing disks for an unmodified broker: a small file system, and a system call
// filter that makes some calls fail. It needs Linux.
package disk

import "errors"

// ErrUnsupported is returned if this system, or this process's permissions, do not allow it.
var ErrUnsupported = errors.New("not possible on this system")

// Commands that a program with this package must accept as its first argument, because it starts itself again.
const (
	// CommandFiltered has to call Filtered with the remaining arguments.
	CommandFiltered = "filtered"
	// CommandInside has to run the remaining arguments, inside a mount namespace of its own.
	CommandInside = "inside"
)
