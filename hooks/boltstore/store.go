package boltstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
)

// opOverhead is what a waiting op is reckoned to cost beside its key and value.
const opOverhead = 128

// stallTime is how long the disk may take over a transaction before Err reports it. Tests shorten it.
var stallTime = 5 * time.Second

// Store is a broker.Store in a bbolt file. Its methods may be called from any goroutine.
type Store struct {
	// Static after construction.
	options Options
	wake    chan struct{} // 1: there may be something to do
	stopped chan struct{} // closed when the writer has ended
	ending  context.Context
	end     context.CancelFunc // Close has been called: whoever reads should stop

	current atomic.Pointer[handle] // changed by the writer only

	// Owned by the writer.
	window  window // later ops whose time has come
	renamed string // the folder in which a compacted file has come in the place of the old, and which is not synced
	suspect bool   // the last transaction failed: the meta pages must be rewritten first
	arena   []byte // of values as they stand in the file, for the length of a transaction

	fileBytes atomic.Int64 // as last measured

	closing  sync.Once
	closeErr error // of the only close

	mu sync.Mutex // guards what follows; never held across I/O or a callback

	closed bool
	seq    uint64 // of the latest Commit or Later; a greater one wins

	queue       []request // commits, oldest first
	queuedOps   int
	queuedBytes int64
	gatherUntil time.Time // when the oldest of queue is to be written

	later      map[laterKey]laterOp // the newest of each key
	laterBytes int64                // of later and the writer's window
	windowEnd  time.Time            // when later is to be written; zero while nothing is in it
	windowOps  int                  // in the writer's window

	compacting *compaction // waits for the writer, or is under way

	writingSince time.Time // zero while no transaction is under way
	failure      error     // of the last transaction; nil if it went well
	broken       bool      // failure is final
	retryAt      time.Time // while failure is not nil
	backoff      time.Duration
	lost         int // ops that Close could not write

	stats     Stats
	durations durations
}

var _ broker.Store = (*Store)(nil)

// request is one Commit.
type request struct {
	ops   []broker.Op
	done  func(error)
	seq   uint64
	bytes int64
	err   error // refused with this
}

// Open opens the store at o.Path, which is made if it is missing. It checks the whole file, and waits a second for
// another process to let go of it. Its errors wrap ErrInUse, ErrDamaged, ErrForeign or ErrNewer where one applies.
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

// Commit queues ops for the next transaction and calls done once they are synced, or with the error that prevented it.
// Calls of done come from the store's own goroutine, in the order of the calls of Commit; after Close, done is called
// before Commit returns. Commit of no ops is a barrier.
func (s *Store) Commit(ops []broker.Op, done func(error)) {
	r := request{ops: ops, done: done, bytes: opBytes(ops)}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		done(ErrClosed)
		return
	}
	if s.queuedBytes+r.bytes > s.options.MaxPendingBytes {
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

// Later notes op to be written within the window. It replaces an op of the same key that waits. It is dropped and
// counted if too much waits, or after Close.
func (s *Store) Later(op broker.Op) {
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

// Err returns nil while the store works, and otherwise why it does not: the last transaction failed, or one has been
// waiting for the disk for more than five seconds. It becomes nil again by itself when the disk recovers.
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

// Close writes what waits, then closes the file, for which it waits until its snapshots are closed; what is under way in
// them ends with ErrClosed. Its error tells what could not be written. It is idempotent.
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

// rouse makes the writer look again at what is due.
func (s *Store) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func opBytes(ops []broker.Op) (n int64) {
	for _, op := range ops {
		n += bytesOf(op)
	}
	return n
}

func bytesOf(op broker.Op) int64 { return int64(len(op.Key)) + int64(len(op.Value)) + opOverhead }
