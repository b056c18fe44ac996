package jwt

import (
	"sync/atomic"

	"github.com/outcry-mqtt/outcry/broker"
)

// Stats are an Authenticator's counters since New. Counters only grow; gauges are marked.
type Stats struct {
	Accepted  uint64            // accepted tokens
	CacheHits uint64            // of them, cached ones
	Refused   map[string]uint64 // refused tokens by the label of the Refusal; all labels are present

	Cached int // gauge: tokens in the cache
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
