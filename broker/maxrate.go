package broker

import (
	"container/heap"
	"math"
	"strconv"
	"time"
)

// A subscription may have a maximum rate: a limit of messages per second for each topic. It is always sent the newest
// message. Subscriptions with the same filter and rate are paced together, so that each message is encoded once for all of
// them.

// longestPace is the longest interval between two messages of a topic that a maximum rate can set.
const longestPace = int64(time.Hour)

// pace is the subscriptions of one filter on one shard with the same maximum rate.
type pace struct {
	subscriberList
	of     *subscriberList // subscriber list of the same filter, without a rate limit
	every  int64           // minimum interval between two messages of a topic, in ns
	next   *pace           // next pace of the same filter
	topics map[string]*pacing
	bytes  int      // of topics and of waiting messages
	payer  *session // subscriber whose session limit counts these bytes; nil: none
}

// pacingOverhead is the estimated memory of a paced topic in bytes, without its name and its message.
const pacingOverhead = 160

// count adds n to the waiting bytes; n may be negative.
func (p *pace) count(s *shard, n int) {
	p.bytes += n
	s.countBlocked(n)
	s.pacing.bytes[p.payer] += n
	if s.pacing.bytes[p.payer] == 0 {
		delete(s.pacing.bytes, p.payer)
	}
}

// pays charges the waiting bytes to the limit of one of the subscribers.
func (p *pace) pays(s *shard) {
	n := p.bytes
	p.count(s, -n)
	p.payer = nil
	if subs := p.all(); len(subs) > 0 {
		p.payer = subs[0].session
	}
	p.count(s, n)
}

// fits reports whether n more bytes may wait.
func (p *pace) fits(s *shard, n int) bool {
	return s.pacing.bytes[p.payer]+n <= s.blockedRoom(s.b.limits.MaxParkedBytes)
}

// pacing is a topic that was sent less than one interval ago.
type pacing struct {
	pace    *pace
	topic   string
	due     int64    // earliest time of the next message, on the broker's clock
	waiting *message // newest message since the last one sent; nil: none
	index   int      // in the heap
}

// next returns the time of the next action: the message may be sent, or it has expired.
func (t *pacing) next() int64 {
	if m := t.waiting; m != nil && m.expires != 0 {
		return min(t.due, m.expires)
	}
	return t.due
}

// pacer holds the topics of a shard that wait because of a maximum rate.
type pacer struct {
	due   pacings
	bytes map[*session]int // waiting bytes, by the session that is charged for them
}

// pacings is a heap of paced topics, with the earliest at the top.
type pacings []*pacing

func (h pacings) Len() int           { return len(h) }
func (h pacings) Less(i, j int) bool { return h[i].next() < h[j].next() }

func (h pacings) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *pacings) Push(x any) {
	t := x.(*pacing)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *pacings) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return p
}

// deliverPaced sends a message to the subscriptions of a pace, or lets it wait in place of an older one. It sends the message
// at once if the limit of waiting bytes or of noted topics is reached.
func (s *shard) deliverPaced(m *message, p *pace) {
	t := p.topics[m.topic]
	if t != nil && p.wait(s, t, m) {
		return
	}
	if t == nil && len(p.topics) < s.b.limits.MaxParkedMessages && p.fits(s, len(m.topic)+pacingOverhead) {
		t = &pacing{pace: p, topic: m.topic, due: s.now + p.every}
		p.count(s, len(m.topic)+pacingOverhead)
		p.topics[m.topic] = t
		heap.Push(&s.pacing.due, t)
	}
	p.send(s, m)
}

func (p *pace) send(s *shard, m *message) {
	s.turns.budget.work += int64(len(p.all()))
	for _, sub := range p.all() {
		s.deliverOne(m, sub)
	}
}

// wait keeps a message as the newest of its topic. It returns false if the limit of waiting bytes is reached.
func (p *pace) wait(s *shard, t *pacing, m *message) bool {
	before := t.next()
	defer func() {
		if t.next() != before {
			heap.Fix(&s.pacing.due, t.index)
		}
	}()
	if t.waiting != nil {
		s.stats.dropped[dropMaxRate] += uint64(len(p.all()))
		p.count(s, -t.waiting.size())
		if !m.retain { // a retained message replaces the old one in a replay, too
			p.miss(t.waiting)
		}
		t.waiting = nil
	}
	if !p.fits(s, m.size()) {
		return false
	}
	t.waiting = m.ownCopy()
	p.count(s, m.size())
	return true
}

// miss notes that the subscriptions will not be sent a message that waited.
func (p *pace) miss(m *message) {
	for _, sub := range p.all() {
		sub.session.miss(&delivery{m: m})
	}
}

// isDue reports whether a topic's message may be sent, or has expired.
func (w *pacer) isDue(now int64) bool { return len(w.due) > 0 && w.due[0].next() <= now }

// sendPaced sends the waiting messages that are due, for the given time and at least one. Any number may be due at the same moment.
func (s *shard) sendPaced(most time.Duration) {
	if !s.pacing.isDue(s.now) {
		return
	}
	for until := s.b.clock.now() + int64(most); s.pacing.isDue(s.now); {
		s.sendFirstPaced()
		if s.b.clock.now() >= until {
			return
		}
	}
}

// sendFirstPaced sends the first waiting message if it has not expired, and forgets its topic if there is none.
func (s *shard) sendFirstPaced() {
	t := s.pacing.due[0]
	p, m := t.pace, t.waiting
	if m == nil {
		s.forgetPacing(t)
		return
	}
	if m.expired(s.now) {
		t.waiting = nil
		heap.Fix(&s.pacing.due, 0)
		p.count(s, -m.size())
		s.stats.dropped[dropExpired] += uint64(len(p.all()))
		return
	}
	t.waiting, t.due = nil, s.now+p.every
	heap.Fix(&s.pacing.due, 0)
	p.count(s, -m.size())
	s.begin(m)
	s.fan.conflates = s.topics.of(m.topic).policy == Conflate
	p.send(s, m)
	s.enc.current, s.fan.conflates = nil, false
	s.relieve()
}

// forgetPacing removes a topic and its waiting message.
func (s *shard) forgetPacing(t *pacing) {
	p := t.pace
	heap.Remove(&s.pacing.due, t.index)
	delete(p.topics, t.topic)
	p.count(s, -len(t.topic)-pacingOverhead)
	if t.waiting != nil {
		p.count(s, -t.waiting.size())
	}
}

// paceOf returns the pace with the given interval for the filter of a subscriber list. It makes one if there is none.
func (s *shard) paceOf(a *subscriberList, every int64) *pace {
	for p := a.paces(); p != nil; p = p.next {
		if p.every == every {
			return p
		}
	}
	p := &pace{subscriberList: subscriberList{filter: a.filter}, of: a, every: every, next: a.paces(), topics: make(map[string]*pacing)}
	p.long = &longList{pace: p}
	a.grow().paces = p
	s.b.router.version.Add(1)
	return p
}

// endPaces removes the paces that have no subscribers, with their waiting messages.
func (s *shard) endPaces(a *subscriberList) {
	for at := &a.long.paces; *at != nil; {
		if p := *at; len(p.all()) == 0 {
			*at = p.next
			s.b.router.version.Add(1)
			for _, t := range p.topics {
				s.forgetPacing(t)
			}
		} else {
			at = &p.next
		}
	}
}

// lowerRate returns the lower of two rates; 0 means no limit.
func lowerRate(rate, other float64) float64 {
	if rate == 0 || other != 0 && other < rate {
		return other
	}
	return rate
}

// interval returns the time in ns between two messages of a topic at a rate in messages per second; 0: no limit. A rate of
// 1000 or more counts as no limit.
func interval(rate float64) int64 {
	if rate == 0 || rate >= 1000 {
		return 0
	}
	// Apply the limit before the conversion: the quotient of a tiny rate overflows int64.
	return int64(min(float64(time.Second)/rate, float64(longestPace)))
}

// parseRate reads the user property max_rate of a SUBSCRIBE. An empty text means no limit.
func parseRate(text string) (rate float64, ok bool) {
	if text == "" {
		return 0, true
	}
	rate, err := strconv.ParseFloat(text, 64)
	return rate, err == nil && rate > 0 && !math.IsInf(rate, 0)
}

// setPace changes the interval of a subscription that publishers already see.
func (s *shard) setPace(sub *subscription, every int64) {
	if every != sub.every() {
		k := sub.key()
		if c := sub.list.long; c != nil && c.pace != nil {
			for _, t := range c.pace.topics { // it is not sent these topics any more
				if t.waiting != nil {
					sub.session.miss(&delivery{m: t.waiting})
				}
			}
		}
		s.unsubscribe(sub)
		s.subscribe(sub, k, every)
	}
}
