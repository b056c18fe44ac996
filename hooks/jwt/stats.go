package jwt

import (
	"sync/atomic"

	"github.com/outcry-mqtt/outcry/broker"
)

// Stats are the counters of an Authenticator since it was made. Counters only grow; gauges say so.
type Stats struct {
	Accepted  uint64            // tokens that were accepted
	CacheHits uint64            // of them, those that were known from before
	Refused   map[string]uint64 // tokens that were refused, by the label of the Refusal: all labels are there

	Cached int // gauge: tokens that are remembered
}

type counters struct {
	accepted, hits atomic.Uint64
	refusals       map[string]*atomic.Uint64 // by label; the map does not change
}

func newCounters() *counters {
	c := &counters{refusals: map[string]*atomic.Uint64{}}
	for _, label := range labels {
		c.refusals[label] = new(atomic.Uint64)
	}
	return c
}

// refused counts a refusal and returns it.
func (c *counters) refused(r *broker.Refusal) *broker.Refusal {
	c.refusals[r.Label].Add(1)
	return r
}

// Stats returns the counters.
func (a *Authenticator) Stats() Stats {
	s := Stats{
		Accepted:  a.counts.accepted.Load(),
		CacheHits: a.counts.hits.Load(),
		Refused:   map[string]uint64{},
		Cached:    a.current.Load().cache.len(),
	}
	for label, n := range a.counts.refusals {
		s.Refused[label] = n.Load()
	}
	return s
}
