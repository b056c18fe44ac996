// Package poller waits until sockets are readable or writable, for the one goroutine that owns them, and reads and
// writes them. On Linux it is epoll on raw descriptors; elsewhere only Wake works and no descriptor can be added.
package poller

import "errors"

// ErrAgain is ReadFD's error if the socket has no data now.
var ErrAgain = errors.New("no data to read yet")

// Interest is a set of conditions to watch a descriptor for.
type Interest uint8

// The conditions; they combine. Hang-ups and errors are always reported.
const (
	Read Interest = 1 << iota
	Write
)

// Event reports the conditions of a descriptor.
type Event struct {
	Token    uint64 // as given to Add
	Readable bool   // there are bytes, an end of file or an error to read
	Writable bool
	HungUp   bool // both directions are closed or failed
}
