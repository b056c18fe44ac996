package boltstore

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// After a failure the writer pauses. The pause doubles up to maxBackoff.
const (
	firstBackoff   = 100 * time.Millisecond
	maxBackoff     = 5 * time.Second
	maxFullBackoff = time.Second
)

// run is the writer: the only goroutine that changes the file and that calls Commit's done.
func (s *Store) run() {
	defer close(s.stopped)
	for {
		b, ok := s.next()
		if !ok {
			return
		}
		err := s.write(b)
		s.settle(b, err)
		for _, r := range b.commits {
			r.done(cmp.Or(r.err, b.refuse, err))
		}
		if b.compact != nil {
			s.compact(b.compact)
		}
	}
}

// write writes a batch in one transaction. If the disk has no space for it, it writes the part that frees space.
func (s *Store) write(b *batch) error {
	if b.refuse != nil || b.isEmpty() {
		return nil
	}
	start := time.Now()
	if err := s.admit(b); err != nil {
		return s.explain(err)
	}
	if b.isEmpty() {
		return nil
	}
	write := s.writeBatch
	if b.relief {
		write = s.relieve
	}
	err := write(b)
	if errors.Is(err, errNoRoom) && !b.relief && s.lengthen(b) == nil {
		err = write(b)
	}
	if err != nil {
		if isSpace(err) {
			_, largest := b.growth()
			s.wanted = max(s.wanted, 2*largest)
		}
		return s.explain(err)
	}
	b.wrote, b.took = true, time.Since(start)
	return nil
}

// admit refuses ops that there is no space for.
func (s *Store) admit(b *batch) error {
	if b.relief {
		return s.refuseGrowth(b, s.failure)
	}
	err := s.makeRoom(b)
	if !isSpace(err) {
		return err
	}
	b.full, b.probe = s.explain(err), false
	return s.refuseGrowth(b, b.full)
}

func (s *Store) explain(err error) error {
	return fmt.Errorf("write store %s: %w", s.options.Path, err)
}

func (s *Store) writeBatch(b *batch) error {
	if err := s.syncName(); err != nil {
		return err
	}
	if s.suspect {
		if err := rewriteMetas(s.current.Load()); err != nil {
			return err
		}
		s.suspect = false
	}
	err := s.update(b)
	s.suspect = err != nil
	return err
}

// update runs the transaction. If it panics, as bbolt does when it finds the file damaged, the store is broken: bbolt
// may still hold its locks.
func (s *Store) update(b *batch) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v: %w", r, ErrDamaged)
			s.mu.Lock()
			s.broken = true
			s.mu.Unlock()
		}
	}()
	h := s.current.Load()
	apply := func(tx *bbolt.Tx) error {
		w := txWriter{tx: tx, arena: s.arena[:0]}
		defer func() { s.arena = w.arena }()
		return w.batch(b)
	}
	h.fence()
	err = h.db.Update(apply)
	if errors.Is(err, berrors.ErrMaxSizeReached) && !b.relief && !b.piece {
		h.unfence() // so many pages change that the batch may need more space than was requested; the disk may have it
		err = h.db.Update(apply)
	}
	if err == nil && b.probe && s.wanted > 0 {
		err = s.tryWanted(h)
	}
	if errors.Is(err, berrors.ErrMaxSizeReached) || err != nil && strings.Contains(err.Error(), "file resize error") {
		return errNoRoom // bbolt keeps only the text of the system's error
	}
	return err
}

// tryWanted writes one value of wanted bytes, the size of the refused value and a neighbour, since the file's free space
// may be fragmented. Then it deletes it.
func (s *Store) tryWanted(h *handle) error {
	err := h.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(metaBucket).Put(roomKey, make([]byte, s.wanted))
	})
	if err != nil {
		return err
	}
	s.wanted = 0
	return h.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Delete(roomKey) })
}

// settle records the result of a batch.
func (s *Store) settle(b *batch, err error) {
	s.mu.Lock()
	s.writingSince = time.Time{}
	was := s.failure
	switch {
	case b.refuse != nil:
	case err != nil:
		s.failed(err)
	case b.full != nil:
		s.applied(b)
		s.failed(b.full)
	case b.relief:
		s.applied(b)
	default:
		s.written(b)
	}
	now := s.failure
	s.mu.Unlock()
	switch {
	case was == nil && now != nil:
		s.options.Logger.Error("store cannot write; trying again until it can", "error", now)
	case was != nil && now == nil:
		s.options.Logger.Info("store writes again", "path", s.options.Path)
	}
}

// failed keeps the later ops for another attempt, unless there will be none. s.mu is held.
func (s *Store) failed(err error) {
	s.stats.Failures++
	s.failure = err
	s.full.Store(isSpace(err))
	s.backoff = min(max(2*s.backoff, firstBackoff), maxBackoff)
	if s.full.Load() {
		s.backoff = min(s.backoff, maxFullBackoff) // checking for space costs nothing
	}
	s.retryAt = time.Now().Add(s.backoff)
	if s.closed || s.broken {
		s.lost = len(s.later) + s.windowOps
		s.stats.Dropped += uint64(s.lost)
		clear(s.later)
		s.window, s.windowOps, s.laterBytes = nil, 0, 0
		s.sorting, s.overtaken = nil, nil
	}
}

// written forgets the later ops that are on disk now, or were overtaken by a commit. s.mu is held.
func (s *Store) written(b *batch) {
	s.failure, s.backoff, s.retryAt = nil, 0, time.Time{}
	s.full.Store(false)
	for _, l := range b.later {
		s.count(l.op)
	}
	s.laterBytes -= b.later.bytes()
	s.window = s.window[len(b.later):]
	s.windowOps -= len(b.later)
	s.applied(b)
	if len(s.later) == 0 {
		s.windowEnd = time.Time{}
	}
}

// applied records the ops that a full disk took of a batch, or the commits that any disk took. s.mu is held.
func (s *Store) applied(b *batch) {
	if b.relief {
		for i := range b.later { // deleted ops are not deleted again
			if b.later[i].op.Delete {
				b.later[i].seq = 0
			}
		}
	}
	for _, r := range b.commits {
		for _, op := range r.ops {
			s.overtake(op, r.seq)
			s.count(op)
		}
	}
	if b.wrote {
		s.stats.Commits++
		s.durations.observe(b.took)
	}
}

// overtake drops the queued op with op's key, unless it is newer than seq.
func (s *Store) overtake(op storage.Op, seq uint64) {
	if s.sorting != nil {
		s.overtaken = append(s.overtaken, laterOp{op, seq})
	}
	s.window.overtake(op, seq)
	if len(s.later) == 0 {
		return
	}
	key := laterKey{op.Space, op.Key}
	if l, ok := s.later[key]; ok && l.seq < seq {
		delete(s.later, key)
		s.laterBytes -= bytesOf(l.op)
	}
}

func (s *Store) count(op storage.Op) {
	s.stats.Ops++
	s.stats.Bytes += uint64(len(op.Key) + len(op.Value))
}
