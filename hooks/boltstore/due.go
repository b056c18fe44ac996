package boltstore

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// A group holds everything that arrived while the last one was written, within these bounds: under load there are
// fewer syncs, and a transaction still ends soon.
const (
	groupFactor = 16 // times Options.MaxOps
	groupBytes  = 16 << 20
)

func (o *Options) groupOps() int { return groupFactor * o.MaxOps }

// batch is the input of one transaction.
type batch struct {
	commits []request
	later   window
	refuse  error       // the disk is failing: fail the commits, write nothing
	compact *compaction // to run afterwards
	probe   bool        // write something, to check whether the disk works again
	relief  bool        // the disk is full: write only ops that free space, or need hardly any
	piece   bool        // a part of such a batch
	full    error       // there was no space for the rest

	wrote bool          // there was a transaction
	took  time.Duration // its duration
}

func (b *batch) isEmpty() bool {
	if len(b.later) > 0 || b.probe {
		return false
	}
	for _, r := range b.commits {
		if len(r.ops) > 0 {
			return false
		}
	}
	return true
}

// next waits for the next due batch and returns it. It reports false when the store is closed and nothing is left.
func (s *Store) next() (*batch, bool) {
	for {
		s.mu.Lock()
		s.takeSorted()
		now := time.Now()
		at, something := s.nextDue(now)
		if s.closed && !something {
			s.mu.Unlock()
			return nil, false
		}
		if something && !at.After(now) {
			b, ended := s.take(now)
			s.mu.Unlock()
			if ended != nil {
				s.sort(ended)
			}
			if b.refuse == nil {
				b.later = s.window.chunk()
			}
			return b, true
		}
		s.mu.Unlock()
		s.wait(at.Sub(now), something)
	}
}

// wait waits until it is roused, or, if timed, for at most d.
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

// nextDue returns the time of the writer's next work, if there is any. s.mu is held.
func (s *Store) nextDue(now time.Time) (at time.Time, something bool) {
	earliest := func(t time.Time) {
		if !something || t.Before(at) {
			at, something = t, true
		}
	}
	if len(s.queue) > 0 {
		earliest(s.commitsDue(now))
	}
	if s.compacting != nil {
		earliest(now)
	}
	if s.broken {
		return at, something
	}
	if len(s.later)+len(s.window) > 0 && s.sorting == nil {
		earliest(s.laterDue(now))
	}
	if s.failure != nil && !s.closed {
		earliest(s.retryAt)
	}
	return at, something
}

func (s *Store) commitsDue(now time.Time) time.Time {
	if s.closed || s.queuedOps >= s.options.MaxOps || now.Before(s.retryAt) && !s.full.Load() {
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
	case len(s.window) > 0:
		return now
	}
	return s.windowEnd
}

// sort makes a window of the later ops. Another goroutine sorts a long one, so that no commit waits for that.
func (s *Store) sort(ended map[laterKey]laterOp) {
	if len(ended) <= chunkOps {
		s.window = newWindow(ended)
		return
	}
	s.sorting = make(chan window, 1)
	go func(sorted chan<- window) {
		sorted <- newWindow(ended)
		s.rouse()
	}(s.sorting)
}

// takeSorted takes over a window that another goroutine has sorted, and waits for it at the end. s.mu is held.
func (s *Store) takeSorted() {
	if s.sorting == nil || len(s.sorting) == 0 && !s.closed {
		return
	}
	s.window, s.sorting = <-s.sorting, nil
	for _, o := range s.overtaken {
		s.window.overtake(o.op, o.seq)
	}
	s.overtaken = nil
}

// take removes the due commits from the queue, and the later ops if their window has ended and the one before is
// written. s.mu is held.
func (s *Store) take(now time.Time) (b *batch, ended map[laterKey]laterOp) {
	early := !s.closed && now.Before(s.retryAt)
	most := s.options.groupOps()
	if early && s.full.Load() {
		most = maxReliefOps
	}
	b = &batch{commits: s.takeCommits(most), compact: s.compacting}
	if s.broken || early && !s.full.Load() {
		b.refuse = s.failure
		s.stats.Refused += uint64(len(b.commits))
		return b, nil
	}
	if s.windowOps == 0 && len(s.later) > 0 && !s.laterDue(now).After(now) {
		ended, s.later = s.later, make(map[laterKey]laterOp)
		s.windowOps = len(ended)
		s.windowEnd = time.Time{}
	}
	b.relief = early
	b.probe = s.failure != nil && !early
	s.writingSince = now
	return b, ended
}

// takeCommits removes commits with at most most ops, but at least one commit. s.mu is held.
func (s *Store) takeCommits(most int) []request {
	ops, bytes, n := 0, int64(0), 0
	for n < len(s.queue) && (n == 0 || ops+len(s.queue[n].ops) <= most && bytes+s.queue[n].bytes <= groupBytes) {
		ops += len(s.queue[n].ops)
		bytes += s.queue[n].bytes
		n++
	}
	s.queuedOps -= ops
	s.queuedBytes -= bytes
	commits := s.queue[:n:n]
	s.queue = s.queue[n:]
	if len(s.queue) == 0 {
		s.queue = nil
	}
	return commits
}

const (
	// chunkOps and chunkBytes bound the part of a window in one transaction, so that commits need not wait for all of
	// it.
	chunkOps   = 8192
	chunkBytes = 16 << 20
)

// laterKey identifies a later op.
type laterKey struct {
	space storage.Space
	key   string
}

// laterOp is an op passed to Later, with its sequence number.
type laterOp struct {
	op  storage.Op
	seq uint64
}

// window holds later ops that are due, in the order of their keys, because neighbours share pages. It
// belongs to the writer: new ops go into the next one.
type window []laterOp

func newWindow(later map[laterKey]laterOp) window {
	w := make(window, 0, len(later))
	for _, l := range later {
		w = append(w, l)
	}
	slices.SortFunc(w, func(a, b laterOp) int { return compareOps(a.op, b.op) })
	return w
}

func compareOps(a, b storage.Op) int {
	return cmp.Or(cmp.Compare(a.Space, b.Space), strings.Compare(a.Key, b.Key))
}

// chunk returns the part of w for the next transaction.
func (w window) chunk() window {
	bytes := int64(0)
	for i, l := range w {
		if i == chunkOps || bytes >= chunkBytes {
			return w[:i]
		}
		bytes += bytesOf(l.op)
	}
	return w
}

// overtake drops the op with op's key, if it is older than seq.
func (w window) overtake(op storage.Op, seq uint64) {
	i, found := slices.BinarySearchFunc(w, op, func(l laterOp, op storage.Op) int { return compareOps(l.op, op) })
	if found && w[i].seq < seq {
		w[i].seq = 0
	}
}

func (w window) bytes() (n int64) {
	for _, l := range w {
		n += bytesOf(l.op)
	}
	return n
}
