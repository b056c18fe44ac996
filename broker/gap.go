package broker

import (
	"encoding/binary"
	"encoding/json"
	"time"
)

// The topics that begin with $me/ are a client's own: it hears on them what the broker has to tell it about itself, and
// nobody else does. They are no part of any wildcard but their own, and nobody may publish to them.
const (
	meTopics     = "$me"
	droppedTopic = "$me/dropped"
)

// noticeEvery is the shortest time between two notices to one client.
const noticeEvery = time.Second

// gap is what a session was to get and has lost: counts so that its application knows, untold for the operator only.
type gap struct {
	counts  map[dropReason]uint64
	untold  map[dropReason]uint64 // of these it is right that they were not sent: nothing of them is kept in the store
	last    int64                 // stamp
	changed bool                  // since the client was told
	listed  bool                  // among those whom the shard will tell
}

// lost notes a message that the session was to get and did not, for a reason that its application has to know about.
func (ss *session) lost(why dropReason) {
	s := ss.shard
	s.stats.dropped[why]++
	g := ss.gapped()
	if g.counts == nil {
		g.counts = make(map[dropReason]uint64)
	}
	g.counts[why]++
	g.last, g.changed = s.b.clock.stamp(s.now), true
	ss.save(savingFlow)
	if !g.listed {
		g.listed = true
		s.gaps = append(s.gaps, ss)
		if !s.notices.armed() {
			s.wheel.arm(&s.notices, deadline(s.now, noticeEvery))
		}
	}
}

// gapped returns the session's gap, which it gets with the first message that it does not.
func (ss *session) gapped() *gap {
	if ss.gap == nil {
		ss.gap = new(gap)
	}
	return ss.gap
}

// skip notes a message that the session did not get, for a reason that need not concern its application.
func (ss *session) skip(why dropReason) {
	ss.shard.stats.dropped[why]++
	g := ss.gapped()
	if g.untold == nil {
		g.untold = make(map[dropReason]uint64)
	}
	g.untold[why]++
}

// tells whether there is something in the gap that the application has to know about.
func (g *gap) tells() bool { return g != nil && len(g.counts) > 0 }

// total is how many messages are in the gap.
func (g *gap) total() (n uint64) {
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

// tellGaps tells the clients what they have lost since they were told last.
func (s *shard) tellGaps() {
	for i, ss := range s.gaps {
		s.gaps[i] = nil
		ss.gap.listed = false
		ss.tellGap()
	}
	s.gaps = s.gaps[:0]
}

// tellGap sends the session's gap to its client, if that is there and has subscribed to it.
func (ss *session) tellGap() {
	if ss.gap != nil && ss.gap.changed && ss.conn != nil {
		ss.gap.changed = false
		ss.tell(droppedTopic, ss.gap.encode())
	}
}

// encode is the payload of a notice: how many messages were lost in the life of the session, by reason, and when the
// last of them was.
func (g *gap) encode() []byte {
	notice := struct {
		Dropped uint64            `json:"dropped"`
		Reasons map[string]uint64 `json:"reasons"`
		Last    time.Time         `json:"last"`
	}{Reasons: make(map[string]uint64), Last: time.UnixMilli(g.last).UTC()}
	for why, n := range g.counts {
		notice.Dropped += n
		notice.Reasons[dropLabels[why]] = n
	}
	b, _ := json.Marshal(notice) // of strings, numbers and a time: it cannot fail
	return b
}

// append encodes the gap for the store.
func (g *gap) append(b []byte) []byte {
	if !g.tells() {
		return binary.AppendUvarint(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(g.counts)))
	for why, n := range g.counts {
		b = appendBytes(b, dropLabels[why])
		b = binary.AppendUvarint(b, n)
	}
	return binary.AppendVarint(b, g.last)
}

func (r *reader) gap() *gap {
	n := r.uvarint()
	if n == 0 {
		return nil
	}
	g := &gap{counts: make(map[dropReason]uint64), changed: true}
	for range min(n, uint64(dropReasons)) {
		label, count := string(r.bytes()), r.uvarint()
		for why := range dropReasons {
			if dropLabels[why] == label {
				g.counts[why] = count
			}
		}
	}
	g.last = r.varint()
	return g
}
