package broker

// Space is a family of keys in a Store.
type Space uint8

// The spaces. Numbers in keys are 8 bytes, the most significant first, so that they are loaded in their order.
const (
	SpaceRetained      Space = iota // key: topic; value: an encoded retained message
	SpaceSessions                   // key: client identifier; value: an encoded session
	SpaceSubscriptions              // key: number of the session, filter with its $share prefix; value: options
	SpaceFlows                      // key: number of the session; value: what is under way in both directions
	SpaceMessages                   // key: number of the message; value: the message and the sessions that it is for
	SpaceNotes                      // key: a word; value: what the broker has to know about itself
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
}

// Store keeps what must outlive the process. Its methods may be called from any goroutine and never wait for the disk,
// except Load and Close.
type Store interface {
	// Load calls fn with every key and value of a space, before anything else is called. Value is valid only during
	// the call. An error of fn ends it and is returned.
	Load(space Space, fn func(key string, value []byte) error) error
	// Commit writes ops as one group and calls done once they are on disk, or with the error that prevented it. done is
	// called from the store's own goroutine and must not block. Ops of one caller are committed in the order of the calls.
	Commit(ops []Op, done func(error))
	// Later is write-behind: it notes op and writes it within the store's window (a second by default); of several ops
	// for the same key only the newest is written. A later Commit of the same key wins over it.
	Later(op Op)
	// Close writes everything that waits, then closes. It is idempotent.
	Close() error
}
