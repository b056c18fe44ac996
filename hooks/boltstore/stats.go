package boltstore

import (
	"time"

	"github.com/outcry-mqtt/outcry/broker/histogram"
)

// Stats is a snapshot of a Store's counters since Open. Counters only grow; gauges are marked.
type Stats struct {
	Commits  uint64 // written and synced transactions
	Ops      uint64 // changes in them
	Bytes    uint64 // bytes of keys and values in them
	Failures uint64 // failed transactions
	Refused  uint64 // refused calls of Commit: too many bytes were queued, or the disk was failing
	Dropped  uint64 // dropped ops of Later: too many bytes were queued, or the store was closed

	Pending      int64 // gauge: ops in the queue
	PendingBytes int64 // gauge: their bytes
	FileBytes    int64 // gauge: size of the file

	Duration histogram.Histogram // seconds per transaction, sync included
}

// durationBounds are the upper bounds of Stats.Duration in seconds: a sync takes some 50 µs to 10 ms on solid state
// and up to some 100 ms on a rotating disk.
var durationBounds = [...]float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// durations counts by bucket, not cumulatively.
type durations struct {
	counts [len(durationBounds) + 1]uint64
	sum    time.Duration
}

func (d *durations) observe(took time.Duration) {
	i := 0
	for i < len(durationBounds) && took.Seconds() > durationBounds[i] {
		i++
	}
	d.counts[i]++
	d.sum += took
}

func (d *durations) histogram() histogram.Histogram {
	h := histogram.Histogram{
		Bounds: append([]float64(nil), durationBounds[:]...),
		Counts: make([]uint64, len(d.counts)),
		Sum:    d.sum.Seconds(),
	}
	var sum uint64
	for i, n := range d.counts {
		sum += n
		h.Counts[i] = sum
	}
	return h
}

// measure returns the size of the file, after Close its last size.
func (s *Store) measure() int64 {
	if size, err := s.current.Load().size(); err == nil {
		s.fileBytes.Store(size)
	}
	return s.fileBytes.Load()
}

// Stats returns a snapshot of the counters.
func (s *Store) Stats() Stats {
	fileBytes := s.measure()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.FileBytes = fileBytes
	st.Pending = int64(s.queuedOps + len(s.later) + s.windowOps)
	st.PendingBytes = s.queuedBytes + s.laterBytes
	st.Duration = s.durations.histogram()
	return st
}
