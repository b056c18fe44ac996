// Package disk gives a broker disks that are full or that fail, without a change to the broker: a small file system of
// its own, and a filter of system calls that answers some of them with an error. It needs Linux.
package disk

import "errors"

// ErrUnsupported means that this system, or what this process may do on it, does not allow it.
var ErrUnsupported = errors.New("not possible on this system")

// Commands that a program which uses this package must know as its first argument, because it starts itself again.
const (
	// CommandFiltered has to call Filtered with the arguments that follow.
	CommandFiltered = "filtered"
	// CommandInside has to do what the arguments that follow say, inside a mount namespace of its own.
	CommandInside = "inside"
)
