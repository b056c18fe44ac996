// Package poller waits for sockets to become readable or writable, for one goroutine that owns them. On Linux it is
// epoll on raw descriptors; elsewhere only Wake works and no descriptor can be added.
package poller

// Interest is what a descriptor is watched for.
type Interest uint32

// What a descriptor can be watched for; they combine. Hang-ups and errors are always reported.
const (
	Read Interest = 1 << iota
	Write
)

// Event is what happened to a descriptor.
type Event struct {
	Token    uint64 // as given to Add
	Readable bool   // there are bytes, an end of file or an error to read
	Writable bool
	HungUp   bool // both directions are closed, or failed
}
