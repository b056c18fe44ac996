package boltstore

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"go.etcd.io/bbolt"
)

// After a failure the disk is left alone for a while, which doubles up to maxBackoff.
const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// run is the writer: the only goroutine that changes the file and that calls what was handed to Commit.
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

// write puts a batch on disk in one transaction.
func (s *Store) write(b *batch) error {
	if b.refuse != nil || b.isEmpty() {
		return nil
	}
	start := time.Now()
	if err := s.writeBatch(b); err != nil {
		s.suspect = true
		return fmt.Errorf("write store %s: %w", s.options.Path, err)
	}
	b.wrote, b.took = true, time.Since(start)
	return nil
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
	return s.update(b)
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
	h.setGrowth()
	return h.db.Update(func(tx *bbolt.Tx) error {
		w := txWriter{tx: tx, arena: s.arena[:0]}
		defer func() { s.arena = w.arena }()
		return w.batch(b)
	})
}

// settle notes the outcome of a batch.
func (s *Store) settle(b *batch, err error) {
	s.mu.Lock()
	s.writingSince = time.Time{}
	was := s.failure
	switch {
	case b.refuse != nil:
	case err != nil:
		s.failed(err)
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

// failed keeps the later ops for another try, unless there will be none. s.mu is held.
func (s *Store) failed(err error) {
	s.stats.Failures++
	s.failure = err
	s.backoff = min(max(2*s.backoff, firstBackoff), maxBackoff)
	s.retryAt = time.Now().Add(s.backoff)
	if s.closed || s.broken {
		s.lost = len(s.later) + len(s.window)
		s.stats.Dropped += uint64(s.lost)
		clear(s.later)
		s.window, s.windowOps, s.laterBytes = nil, 0, 0
	}
}

// written forgets the later ops that are on disk now, or that a commit has overtaken. s.mu is held.
func (s *Store) written(b *batch) {
	s.failure, s.backoff, s.retryAt = nil, 0, time.Time{}
	for _, l := range b.later {
		s.count(l.op)
	}
	s.laterBytes -= b.later.bytes()
	s.window = s.window[len(b.later):]
	s.windowOps = len(s.window)
	for _, r := range b.commits {
		for _, op := range r.ops {
			s.overtake(op, r.seq)
			s.count(op)
		}
	}
	if len(s.later) == 0 {
		s.windowEnd = time.Time{}
	}
	if b.wrote {
		s.stats.Commits++
		s.durations.observe(b.took)
	}
}

// overtake drops what waits for op's key, unless it is newer than seq.
func (s *Store) overtake(op broker.Op, seq uint64) {
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

func (s *Store) count(op broker.Op) {
	s.stats.Ops++
	s.stats.Bytes += uint64(len(op.Key) + len(op.Value))
}
