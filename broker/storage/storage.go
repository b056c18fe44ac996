// Package storage defines the Store of a broker and the records in it, as plain values with codecs.
// It never touches a live session or a file.
//
// Time stamps in records are milliseconds of the broker's clock, see Clock.
package storage

import "errors"

// Space is a family of keys in a Store.
type Space uint8

// The spaces. Numbers in keys are 8 bytes, the most significant first, so that they are loaded in their order.
const (
	SpaceRetained      Space = iota // key: topic; value: an encoded retained message
	SpaceSessions                   // key: client identifier; value: an encoded session
	SpaceSubscriptions              // key: number of the session, filter with its $share prefix; value: options
	SpaceFlows                      // key: number of the session; value: the in-flight window, unreleased QoS 2 identifiers, position and losses
	SpaceMessages                   // key: number of the message; value: the message and the sessions that it is for
	SpaceNotes                      // key: a word; value: state of the broker itself, such as its clock
	spaceCount
)

// Spaces is the number of spaces: every Space is below it.
const Spaces = int(spaceCount)

// Op is one change to a Store: it sets Key of Space to Value, or deletes Key if Delete is true. The store owns Key and
// Value from the moment it is handed the Op; nobody may change them.
type Op struct {
	Space  Space
	Delete bool
	Key    string
	Value  []byte
	Atomic bool // of a deletion: a store on a full disk, too, makes it in one transaction with the rest of its Commit
}

// ErrFull is the error of a Commit while too much waits for the disk. Nothing of the commit was written, and it may be tried again.
// Any other error means that the store fails.
var ErrFull = errors.New("store full: too many unflushed writes")

// OpOverhead is the bytes that a waiting Op is reckoned to take beside its key and value.
const OpOverhead = 128

// Loader reads records, from a Store or from a copy of one.
type Loader interface {
	// Load calls fn with every key and value of a space. Value is valid only during the call. An error of fn ends it and
	// is returned.
	Load(space Space, fn func(key string, value []byte) error) error
}

// Store persists records. Its methods may be called from any goroutine and never wait for the disk,
// except Load and Close. Load is called before anything else.
type Store interface {
	Loader
	// Commit writes ops as one group and calls done once they are on disk, or with the error that prevented it. done is
	// called from the store's own goroutine and must not block. Ops of one caller are committed in the order of the calls.
	Commit(ops []Op, done func(error))
	// Later is write-behind: it notes op and writes it within the store's window (a second by default); of several ops
	// for the same key only the newest is written. A later Commit of the same key wins over it.
	Later(op Op)
	// Close writes everything that waits, then closes. It is idempotent.
	Close() error
}

// Bounded is a Store on a disk that may be full. While it is, a Commit that puts a message fails, and one that deletes
// or puts flows succeeds.
type Bounded interface {
	Store
	// DiskFull tells whether there is no room for messages.
	DiskFull() bool
}
