package history

import "slices"

// holder has subscriptions: a client, or all members of a group together.
type holder struct {
	name   string
	shared bool
	asked  []Filter // of SUBSCRIBE: messages may come before the SUBACK
	grants []grant
	counts []uint8 // of arrivals, by the message's index
	last   map[stream]*Message
	lastAt Moment // of the last arrival
	owed   int    // messages before this index are not owed, or have arrived
}

// grant is a filter that is subscribed to since a SUBACK.
type grant struct {
	Filter
	since Moment
}

// stream is what has an order: the messages of a publisher to a topic with one QoS.
type stream struct {
	publisher, topic string
	qos              byte
}

// hasAsked reports whether any filter that was asked for matches a topic.
func (h *holder) hasAsked(topic string) bool {
	return h != nil && slices.ContainsFunc(h.asked, func(f Filter) bool { return f.Matches(topic) })
}

// grant notes a filter. If it was granted before, the promise is as old as that.
func (h *holder) grant(f Filter, now Moment) {
	for _, g := range h.grants {
		if g.Filter == f {
			return
		}
	}
	h.grants = append(h.grants, grant{f, now})
}

// count is how often the message with an index has arrived.
func (h *holder) count(i int) *uint8 {
	for len(h.counts) <= i {
		h.counts = append(h.counts, 0)
	}
	return &h.counts[i]
}

// first notes that a message has arrived for the first time. It returns the message that should have come later.
func (h *holder) first(m *Message) (late *Message) {
	s := stream{m.Publisher, m.Topic, m.QoS}
	if last := h.last[s]; last != nil && last.Number > m.Number {
		return last
	}
	h.last[s] = m
	return nil
}

// promised is the QoS that the message must be delivered with; 0: none is promised.
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
