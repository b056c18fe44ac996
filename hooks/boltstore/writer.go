package boltstore

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"go.etcd.io/bbolt"
)

const (
	// laterOps and laterChunkBytes bound how much of an ended window goes into one transaction, so that commits need
	// not wait for all of it.
	laterOps        = 8192
	laterChunkBytes = 16 << 20

	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second

	arenaBytes = 256 << 10
)

// batch is what goes into one transaction.
type batch struct {
	commits []request
	later   []laterOp
	refuse  error // the disk is failing: tell the commits, write nothing
	probe   bool  // write something, to see whether the disk works again

	wrote bool          // there was a transaction
	took  time.Duration // for it
}

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
	}
}

// next waits until something is due and takes it. It reports false when the store is closed and nothing is left.
func (s *Store) next() (*batch, bool) {
	for {
		s.mu.Lock()
		now := time.Now()
		at, something := s.nextDue(now)
		if s.closed && !something {
			s.mu.Unlock()
			return nil, false
		}
		if something && !at.After(now) {
			b := s.take(now)
			s.mu.Unlock()
			return b, true
		}
		s.mu.Unlock()
		s.wait(at.Sub(now), something)
	}
}

// wait waits until it is roused, or, if timed, for d at most.
func (s *Store) wait(d time.Duration, timed bool) {
	if !timed {
		<-s.wake
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.wake:
	case <-timer.C:
	}
}

// nextDue tells when the writer has something to do, if ever. s.mu is held.
func (s *Store) nextDue(now time.Time) (at time.Time, something bool) {
	earliest := func(t time.Time) {
		if !something || t.Before(at) {
			at, something = t, true
		}
	}
	if len(s.queue) > 0 {
		earliest(s.commitsDue(now))
	}
	if s.broken {
		return at, something
	}
	if len(s.later) > 0 {
		earliest(s.laterDue(now))
	}
	if s.failure != nil && !s.closed {
		earliest(s.retryAt)
	}
	return at, something
}

func (s *Store) commitsDue(now time.Time) time.Time {
	if s.closed || s.queuedOps >= s.options.MaxOps || now.Before(s.retryAt) {
		return now
	}
	return s.gatherUntil
}

func (s *Store) laterDue(now time.Time) time.Time {
	switch {
	case s.closed:
		return now
	case s.failure != nil:
		return s.retryAt
	case len(s.due) > 0:
		return now
	}
	return s.windowEnd
}

// take removes what is due from what waits; later ops stay until they are written. s.mu is held.
func (s *Store) take(now time.Time) *batch {
	b := &batch{}
	if s.broken || !s.closed && now.Before(s.retryAt) {
		b.refuse = s.failure
	}
	s.takeCommits(b)
	if b.refuse != nil {
		s.stats.Refused += uint64(len(b.commits))
		return b
	}
	if len(s.later) > 0 && !s.laterDue(now).After(now) {
		s.takeLater(b)
	}
	b.probe = s.failure != nil
	s.writingSince = now
	return b
}

func (s *Store) takeCommits(b *batch) {
	ops, n := 0, 0
	for n < len(s.queue) && (n == 0 || ops+len(s.queue[n].ops) <= s.options.MaxOps) {
		ops += len(s.queue[n].ops)
		s.queuedBytes -= s.queue[n].bytes
		n++
	}
	s.queuedOps -= ops
	b.commits, s.queue = s.queue[:n:n], s.queue[n:]
	if len(s.queue) == 0 {
		s.queue = nil
	}
}

// takeLater takes the next part of the window that has ended. Keys are written in order, because then they share pages.
func (s *Store) takeLater(b *batch) {
	if len(s.due) == 0 {
		s.due = make([]laterKey, 0, len(s.later))
		for key := range s.later {
			s.due = append(s.due, key)
		}
		slices.SortFunc(s.due, func(a, b laterKey) int {
			return cmp.Or(cmp.Compare(a.space, b.space), strings.Compare(a.key, b.key))
		})
		s.windowEnd = time.Time{}
	}
	n, bytes := 0, int64(0)
	for n < len(s.due) && n < laterOps && bytes < laterChunkBytes {
		if l, ok := s.later[s.due[n]]; ok {
			b.later = append(b.later, l)
			bytes += opBytes1(l.op)
		}
		n++
	}
	s.due = s.due[n:]
}

// write puts a batch on disk in one transaction.
func (s *Store) write(b *batch) error {
	if b.refuse != nil || !b.probe && b.ops() == 0 {
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
	if s.suspect {
		if err := rewriteMetas(s.file, s.pageSize); err != nil {
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
	return s.db.Update(func(tx *bbolt.Tx) error {
		w := txWriter{tx: tx, arena: s.arena[:0]}
		defer func() { s.arena = w.arena }()
		return w.batch(b)
	})
}

func (b *batch) ops() int {
	n := len(b.later)
	for _, r := range b.commits {
		n += len(r.ops)
	}
	return n
}

// settle notes the outcome of a batch.
func (s *Store) settle(b *batch, err error) {
	s.mu.Lock()
	s.writingSince = time.Time{}
	was := s.failure
	switch {
	case b.refuse != nil:
	case err != nil:
		s.failed(b, err)
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

// failed keeps the later ops for another try, except after Close. s.mu is held.
func (s *Store) failed(b *batch, err error) {
	s.stats.Failures++
	s.failure = err
	s.backoff = min(max(2*s.backoff, firstBackoff), maxBackoff)
	s.retryAt = time.Now().Add(s.backoff)
	s.due = nil
	if s.closed || s.broken {
		s.lost += len(s.later)
		s.stats.Dropped += uint64(len(s.later))
		clear(s.later)
		s.laterBytes = 0
	}
}

// written forgets the later ops that are on disk now, or that a commit has overtaken. s.mu is held.
func (s *Store) written(b *batch) {
	s.failure, s.backoff, s.retryAt = nil, 0, time.Time{}
	for _, l := range b.later {
		s.forget(l.op, l.seq)
		s.count(l.op)
	}
	for _, r := range b.commits {
		for _, op := range r.ops {
			s.forget(op, r.seq)
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

// forget drops what waits for op's key, unless it is newer than seq.
func (s *Store) forget(op broker.Op, seq uint64) {
	if len(s.later) == 0 {
		return
	}
	key := laterKey{op.Space, op.Key}
	if l, ok := s.later[key]; ok && l.seq <= seq {
		delete(s.later, key)
		s.laterBytes -= opBytes1(l.op)
	}
}

func (s *Store) count(op broker.Op) {
	s.stats.Ops++
	s.stats.Bytes += uint64(len(op.Key) + len(op.Value))
}
