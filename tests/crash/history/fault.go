package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Kind says which promise was broken.
type Kind string

// The kinds.
const (
	Lost     Kind = "lost"     // acknowledged, and did not arrive
	Twice    Kind = "twice"    // arrived again with QoS 2
	Order    Kind = "order"    // arrived after what was sent later
	Foreign  Kind = "foreign"  // was never sent so, or nobody subscribed to it
	Session  Kind = "session"  // the broker forgot a session that it had made promises to
	Retained Kind = "retained" // the retained message is older than an acknowledged one
	Protocol Kind = "protocol" // the broker sent what it may not send
	Service  Kind = "service"  // the broker did not start, stop or serve as it must
)

// Fault is a promise that was broken.
type Fault struct {
	Kind    Kind
	Who     string   // the client, or the group
	Message *Message // nil if it is not about one
	Text    string
	Round   int // in which it was found
}

// String is one line.
func (f Fault) String() string {
	s := fmt.Sprintf("%-8s %s: ", f.Kind, f.Who)
	if m := f.Message; m != nil {
		s += fmt.Sprintf("%v %s QoS %d (sent %v, acknowledged %v) ", m.ID, m.Topic, m.QoS, m.Sent, m.Acked)
	}
	return fmt.Sprintf("%s%s; found in round %d", s, f.Text, f.Round)
}

// Fault notes what a client found wrong.
func (l *Log) Fault(kind Kind, who, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault(kind, who, nil, format, args...)
}

func (l *Log) fault(kind Kind, who string, m *Message, format string, args ...any) {
	l.faults = append(l.faults, Fault{kind, who, m, fmt.Sprintf(format, args...), l.now.Round})
}

// Faults are those that were found so far. What has not arrived yet is not among them.
func (l *Log) Faults() []Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.faults)
}

// Owed is how many deliveries are still to come. It stops counting at limit; 0: it does not.
func (l *Log) Owed(limit int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, h := range l.holders {
		for h.owed < len(l.messages) && l.isSettled(h, h.owed) {
			h.owed++
		}
		for i := h.owed; i < len(l.messages); i++ {
			if h.isOwed(i, l.messages[i]) {
				if n++; n == limit {
					return n
				}
			}
		}
	}
	return n
}

// Owes reports whether a message is still to come to anybody.
func (l *Log) Owes(id ID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.index[id]
	return slices.ContainsFunc(l.holders, func(h *holder) bool { return h.isOwed(i, l.messages[i]) })
}

// isSettled reports whether the message with an index will never be owed to h again: its fate is known, and if it is
// owed it has arrived.
func (l *Log) isSettled(h *holder, i int) bool {
	m := l.messages[i]
	return (m.Acked.Event > 0 || m.Refused.Event > 0) && !h.isOwed(i, m)
}

// Verify returns every fault, once nothing more will arrive: those that were found on the way and every message that
// is owed. found are the retained messages that a new subscriber was sent, by topic.
func (l *Log) Verify(found map[string]ID) []Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.holders {
		for i, m := range l.messages {
			if h.isOwed(i, m) {
				l.fault(Lost, h.name, m, "never arrived; arrived at: %s", cmp.Or(l.arrivedAt(i), "nobody"))
			}
		}
	}
	l.verifyRetained(found)
	return slices.Clone(l.faults)
}

func (l *Log) arrivedAt(i int) string {
	var names []string
	for _, h := range l.holders {
		if *h.count(i) > 0 {
			names = append(names, h.name)
		}
	}
	return strings.Join(names, " ")
}

func (l *Log) verifyRetained(found map[string]ID) {
	for topic, m := range l.kept() {
		got, ok := found[topic]
		switch {
		case !ok:
			l.fault(Retained, topic, m, "is not retained")
		case l.index[got] < l.index[m.ID]:
			l.fault(Retained, topic, m, "is not retained, but %v, which is older", got)
		}
	}
}

// Kept is the number of topics that have a retained message which was acknowledged.
func (l *Log) Kept() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.kept())
}

// kept are the last retained messages that were acknowledged, by topic.
func (l *Log) kept() map[string]*Message {
	acked := map[string]*Message{}
	for _, m := range l.messages {
		if m.Retain && m.Acked.Event > 0 {
			acked[m.Topic] = m
		}
	}
	return acked
}
