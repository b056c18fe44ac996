package history

import "slices"

// holder has subscriptions: a client, or all members of a group together.
type holder struct {
	name   string
	shared bool
	asked  []Filter // of SUBSCRIBE: messages may arrive before the SUBACK
	grants []grant
	counts []uint8 // number of arrivals, by the message's index
	last   map[stream]*Message
	lastAt Moment // of the last arrival
	owed   int    // messages before this index are not owed, or have arrived
}

// grant is a subscribed filter, since its SUBACK.
type grant struct {
	Filter
	since Moment
}

// stream is an ordered sequence: the messages of a publisher to a topic with one QoS.
type stream struct {
	publisher, topic string
	qos              byte
}

// hasAsked reports whether a requested filter matches a topic.
func (h *holder) hasAsked(topic string) bool {
	return h != nil && slices.ContainsFunc(h.asked, func(f Filter) bool { return f.Matches(topic) })
}

// grant records a granted filter. If it was granted before, the older promise holds.
func (h *holder) grant(f Filter, now Moment) {
	for _, g := range h.grants {
		if g.Filter == f {
			return
		}
	}
	h.grants = append(h.grants, grant{f, now})
}

// count returns the number of arrivals of the message with an index.
func (h *holder) count(i int) *uint8 {
	for len(h.counts) <= i {
		h.counts = append(h.counts, 0)
	}
	return &h.counts[i]
}

// first records a message's first arrival. It returns an earlier arrival that should have come later.
func (h *holder) first(m *Message) (late *Message) {
	s := stream{m.Publisher, m.Topic, m.QoS}
	if last := h.last[s]; last != nil && last.Number > m.Number {
		return last
	}
	h.last[s] = m
	return nil
}

// promised returns the promised QoS of a message's delivery; 0: none is promised.
func (h *holder) promised(m *Message) (qos byte) {
	for _, g := range h.grants {
		if g.since.before(m.Sent) && g.Matches(m.Topic) {
			qos = max(qos, min(m.QoS, g.QoS))
		}
	}
	return qos
}

// isOwed reports whether the message with an index was acknowledged and has not arrived.
func (h *holder) isOwed(i int, m *Message) bool {
	return m.Acked.Event > 0 && *h.count(i) == 0 && h.promised(m) > 0
}
