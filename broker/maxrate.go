package broker

import (
	"container/heap"
	"math"
	"strconv"
	"time"
)

// A subscription may have a maximum rate: of each topic it is sent so many messages a second at most, always the newest.
// Subscriptions of one filter with one rate are paced together, so that what they are sent is encoded once.

// longestPace is the longest time between two messages of a topic that a maximum rate can ask for.
const longestPace = int64(time.Hour)

// pace is the subscriptions of a filter on a shard that have the same maximum rate.
type pace struct {
	audience
	of     *audience // of the same filter, in which the others are
	every  int64     // at least, between two messages of a topic
	next   *pace     // of the same filter
	topics map[string]*pacing
	bytes  int // of the messages that wait
}

// pacing is a topic that was sent less than the interval ago.
type pacing struct {
	pace    *pace
	topic   string
	due     int64    // when the next message may be sent, on the broker's clock
	waiting *message // the newest that came since; nil: none
}

// pacings is a heap of them, the one that is due first at its top.
type pacings []*pacing

func (h pacings) Len() int           { return len(h) }
func (h pacings) Less(i, j int) bool { return h[i].due < h[j].due }
func (h pacings) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is for container/heap.
func (h *pacings) Push(x any) { *h = append(*h, x.(*pacing)) }

// Pop is for container/heap.
func (h *pacings) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return p
}

// deliverPaced sends a message to the subscriptions of a pace, or has it wait in the place of an older one. What would
// be too much to wait, or to know of, is sent at once.
func (s *shard) deliverPaced(m *message, p *pace) {
	t := p.topics[m.topic]
	if t != nil && p.wait(s, t, m) {
		return
	}
	if t == nil && len(p.topics) < s.b.limits.MaxParkedMessages {
		t = &pacing{pace: p, topic: m.topic, due: s.now + p.every}
		p.topics[m.topic] = t
		heap.Push(&s.paced, t)
	}
	p.send(s, m)
}

func (p *pace) send(s *shard, m *message) {
	for _, sub := range p.all() {
		s.deliverOne(m, sub)
	}
}

// wait keeps a message as the newest of its topic, unless what waits would be too much.
func (p *pace) wait(s *shard, t *pacing, m *message) bool {
	if t.waiting != nil {
		s.stats.dropped[dropMaxRate] += uint64(len(p.all()))
		p.bytes -= t.waiting.size()
		t.waiting = nil
	}
	if p.bytes+m.size() > s.b.limits.MaxParkedBytes {
		return false
	}
	t.waiting = m.keep()
	p.bytes += m.size()
	return true
}

// sendPaced sends what was held back and is due.
func (s *shard) sendPaced() {
	for len(s.paced) > 0 && s.paced[0].due <= s.now {
		t := s.paced[0]
		p, m := t.pace, t.waiting
		if m == nil {
			heap.Pop(&s.paced)
			delete(p.topics, t.topic)
			continue
		}
		t.waiting, t.due = nil, s.now+p.every
		heap.Fix(&s.paced, 0)
		p.bytes -= m.size()
		s.begin(m)
		s.ticking = s.routeOf(m.topic).policy == Conflate
		p.send(s, m)
		s.current, s.ticking = nil, false
		s.relieve()
	}
}

// paceOf returns the pace of an audience's filter with an interval, which is made if there is none.
func (s *shard) paceOf(a *audience, every int64) *pace {
	for p := a.paces(); p != nil; p = p.next {
		if p.every == every {
			return p
		}
	}
	p := &pace{audience: audience{filter: a.filter}, of: a, every: every, next: a.paces(), topics: make(map[string]*pacing)}
	p.crowd = &crowd{pace: p}
	a.gather().paces = p
	s.b.router.version.Add(1)
	return p
}

// endPaces takes out the paces that nobody has any more. What waits for them is forgotten when it is due.
func (s *shard) endPaces(a *audience) {
	for at := &a.crowd.paces; *at != nil; {
		if p := *at; len(p.all()) == 0 {
			*at = p.next
			s.b.router.version.Add(1)
		} else {
			at = &p.next
		}
	}
}

// lowerRate is the lower of two rates, of which 0 is no limit.
func lowerRate(rate, other float64) float64 {
	if rate == 0 || other != 0 && other < rate {
		return other
	}
	return rate
}

// interval is the time between two messages of a topic at a rate of messages a second; 0: no limit. A rate of a thousand
// and more is none.
func interval(rate float64) int64 {
	if rate == 0 || rate >= 1000 {
		return 0
	}
	return min(int64(float64(time.Second)/rate), longestPace)
}

// parseRate reads the user property max_rate of a SUBSCRIBE; no text is no limit.
func parseRate(text string) (rate float64, ok bool) {
	if text == "" {
		return 0, true
	}
	rate, err := strconv.ParseFloat(text, 64)
	return rate, err == nil && rate > 0 && !math.IsInf(rate, 0)
}

// setPace gives a subscription that publishers know already another interval.
func (s *shard) setPace(sub *subscription, every int64) {
	if every != sub.every() {
		k := sub.key()
		s.unsubscribe(sub)
		s.subscribe(sub, k, every)
	}
}
