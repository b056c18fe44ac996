// Package boltstore is the broker's store in one bbolt file: durable changes are written in groups, synced, and then
// acknowledged.
//
// It never reports a change as committed that a crash could still lose. It refuses a damaged file, or one of a newer
// format, with an error that gives the remedy.
package boltstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// stallTime is the duration of a transaction after which Err reports it. Tests shorten it.
var stallTime = 5 * time.Second

// Store is a storage.Store in a bbolt file. Its methods are safe for concurrent use.
type Store struct {
	// Static after construction.
	options Options
	wake    chan struct{} // 1: there may be work
	stopped chan struct{} // closed when the writer has ended
	ending  context.Context
	end     context.CancelFunc // called by Close: readers should stop

	current atomic.Pointer[handle] // changed by the writer only

	// Owned by the writer.
	window    window      // later ops that are due, in the order of their keys
	sorting   chan window // delivers the next window, while another goroutine sorts it; nil: none
	overtaken []laterOp   // commits since sorting began, which win over the same keys of that window
	renamed   string      // folder of a compacted file whose new name is not synced yet
	suspect   bool        // the last transaction failed: the meta pages must be rewritten first
	wanted    int64       // bytes that the largest value refused by a full disk needs
	piece     int         // messages in the last deletion from a full disk
	arena     []byte      // values in file format, for one transaction

	fileBytes atomic.Int64 // as last measured
	full      atomic.Bool  // failure is a full disk; changed with mu held

	closing  sync.Once
	closeErr error // result of the first Close

	mu sync.Mutex // guards the fields below; never held across I/O or a callback

	closed bool
	seq    uint64 // of the latest Commit or Later; a greater one wins

	queue       []request // commits, oldest first
	queuedOps   int
	queuedBytes int64
	gatherUntil time.Time // when the oldest of queue is due

	later      map[laterKey]laterOp // the newest of each key
	laterBytes int64                // of later and the writer's window
	windowEnd  time.Time            // when later is due; zero while it is empty
	windowOps  int                  // in the writer's window, also while it is sorted

	compacting *compaction // waits for the writer, or runs

	writingSince time.Time // zero between transactions
	failure      error     // of the last transaction; nil: it succeeded
	broken       bool      // failure is final
	retryAt      time.Time // while failure is not nil
	backoff      time.Duration
	lost         int // ops that Close could not write

	stats     Stats
	durations durations
}

var _ storage.Store = (*Store)(nil)

// request is one Commit.
type request struct {
	ops   []storage.Op
	done  func(error)
	seq   uint64
	bytes int64
	err   error // refused with this
}

// Open opens the store at o.Path, and creates a missing one. It checks the whole file, and waits a second for another
// process to release it. Its errors wrap ErrInUse, ErrDamaged, ErrForeign or ErrNewer where one applies.
func Open(o Options) (*Store, error) {
	h, err := openFile(o.Path)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Path, err)
	}
	s := &Store{
		options: o.withDefaults(),
		wake:    make(chan struct{}, 1),
		stopped: make(chan struct{}),
		later:   make(map[laterKey]laterOp),
	}
	s.current.Store(h)
	s.ending, s.end = context.WithCancel(context.Background())
	go s.run()
	return s, nil
}

// Commit queues ops for the next transaction and calls done once they are synced, or with the error that prevented
// it. done is called by the store's own goroutine, in the order of the calls of Commit; after Close, done is called
// before Commit returns. A Commit of no ops is a barrier.
func (s *Store) Commit(ops []storage.Op, done func(error)) {
	r := request{ops: ops, done: done, bytes: opBytes(ops)}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		done(ErrClosed)
		return
	}
	if s.queuedBytes > 0 && s.queuedBytes+r.bytes > s.options.MaxPendingBytes { // alone, a commit of any size is accepted
		// It keeps its place, so that done is called in order.
		r = request{done: done, err: ErrFull}
		s.stats.Refused++
	}
	s.seq++
	r.seq = s.seq
	if len(s.queue) == 0 {
		s.gatherUntil = time.Now().Add(s.options.CommitInterval)
	}
	s.queue = append(s.queue, r)
	s.queuedOps += len(r.ops)
	s.queuedBytes += r.bytes
	rouse := len(s.queue) == 1 || s.queuedOps >= s.options.MaxOps
	s.mu.Unlock()
	if rouse {
		s.rouse()
	}
}

// Later queues op to be written within the window. It replaces a queued op of the same key. It is dropped and counted
// if too many bytes are queued, or after Close.
func (s *Store) Later(op storage.Op) {
	key := laterKey{op.Space, op.Key}
	s.mu.Lock()
	bytes := bytesOf(op)
	if old, ok := s.later[key]; ok {
		bytes -= bytesOf(old.op)
	}
	if s.closed || s.broken || bytes > 0 && s.laterBytes+bytes > s.options.MaxPendingBytes {
		s.stats.Dropped++
		s.mu.Unlock()
		return
	}
	s.seq++
	s.later[key] = laterOp{op, s.seq}
	s.laterBytes += bytes
	rouse := s.windowEnd.IsZero()
	if rouse {
		s.windowEnd = time.Now().Add(s.options.Window)
	}
	if s.laterBytes > s.options.MaxPendingBytes/2 && time.Until(s.windowEnd) > 0 {
		s.windowEnd = time.Now() // rather than drop some
		rouse = true
	}
	s.mu.Unlock()
	if rouse {
		s.rouse()
	}
}

// Err returns nil while the store works, and otherwise the reason why not: the last transaction failed, or one has
// been waiting for the disk for more than five seconds. It becomes nil again by itself when the disk recovers.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return s.failure
	}
	if s.closed {
		return ErrClosed
	}
	if waits := time.Since(s.writingSince); !s.writingSince.IsZero() && waits > stallTime {
		return fmt.Errorf("write store %s: the disk has not answered for %s", s.options.Path, waits.Round(time.Second))
	}
	return nil
}

// Close writes all queued ops, then closes the file after its snapshots are closed; their running methods end with
// ErrClosed. Its error describes unwritten ops. It is idempotent.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.end()
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.rouse()
		<-s.stopped
		s.closeErr = s.closeFile()
	})
	return s.closeErr
}

// closeFile runs after the writer has ended.
func (s *Store) closeFile() error {
	s.mu.Lock()
	lost, failure, broken := s.lost, s.failure, s.broken
	s.mu.Unlock()
	s.measure()
	h := s.current.Load()
	var err error
	if broken {
		err = h.file.Close() // bbolt may hold its own locks for ever
	} else {
		err = h.db.Close()
	}
	if lost > 0 {
		err = errors.Join(fmt.Errorf("%d changes could not be written: %w", lost, failure), err)
	}
	if err != nil {
		return fmt.Errorf("close store %s: %w", s.options.Path, err)
	}
	return nil
}

// rouse makes the writer check again for due work.
func (s *Store) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func opBytes(ops []storage.Op) (n int64) {
	for _, op := range ops {
		n += bytesOf(op)
	}
	return n
}

func bytesOf(op storage.Op) int64 {
	return int64(len(op.Key)) + int64(len(op.Value)) + storage.OpOverhead
}
