package broker

import (
	"encoding/json"
	"time"
)

// losses counts a session's losses: counts for its application, untold for the operator only.
type losses struct {
	counts  map[dropReason]uint64
	untold  map[dropReason]uint64 // expected drops (conflation, expiry): not persisted and not reported to the client
	missed  *missed               // retained messages that were dropped and are still to be sent; nil: none
	last    int64                 // stamp of the last loss
	changed bool                  // changed since the last notice to the client
	listed  bool                  // in the shard's list of clients to notify
	denied  *denials              // refused messages of the client; nil: none, or reported at once
}

// lost records a lost message, and lists the session for a notice to its application.
func (ss *session) lost(why dropReason) {
	s := ss.shard
	s.stats.dropped[why]++
	g := ss.ensureLosses()
	if g.counts == nil {
		g.counts = make(map[dropReason]uint64)
	}
	g.counts[why]++
	g.last, g.changed = s.b.clock.stamp(s.now), true
	ss.save(savingFlow)
	ss.listLosses()
}

// ensureLosses returns the session's losses, which are created with the first loss.
func (ss *session) ensureLosses() *losses {
	if ss.losses == nil {
		ss.losses = new(losses)
	}
	return ss.losses
}

// skip records an expected drop. The application is not notified.
func (ss *session) skip(why dropReason) {
	ss.shard.stats.dropped[why]++
	g := ss.ensureLosses()
	if g.untold == nil {
		g.untold = make(map[dropReason]uint64)
	}
	g.untold[why]++
}

// tells reports whether the application has to know about a loss.
func (g *losses) tells() bool { return g != nil && len(g.counts) > 0 }

// total returns the number of lost messages.
func (g *losses) total() (n uint64) {
	if g == nil {
		return 0
	}
	for _, each := range g.counts {
		n += each
	}
	for _, each := range g.untold {
		n += each
	}
	return n
}

// encode returns a notice's payload: the messages lost in the session's life, by reason, and the time of the last loss.
func (g *losses) encode() []byte {
	notice := struct {
		Dropped uint64            `json:"dropped"`
		Reasons map[string]uint64 `json:"reasons"`
		Last    time.Time         `json:"last"`
	}{Reasons: make(map[string]uint64), Last: time.UnixMilli(g.last).UTC()}
	for why, n := range g.counts {
		notice.Dropped += n
		notice.Reasons[dropLabels[why]] = n
	}
	b, _ := json.Marshal(notice) // strings, numbers and a time: it cannot fail
	return b
}
