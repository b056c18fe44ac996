package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Kind is the kind of a broken promise.
type Kind string

// The kinds.
const (
	Lost     Kind = "lost"     // acknowledged, and not delivered
	Twice    Kind = "twice"    // arrived again with QoS 2
	Order    Kind = "order"    // arrived after a later message
	Foreign  Kind = "foreign"  // was never sent like this, or had no subscription
	Session  Kind = "session"  // the broker forgot a session with promises
	Retained Kind = "retained" // the retained message is older than an acknowledged one
	Protocol Kind = "protocol" // the broker sent an invalid packet
	Service  Kind = "service"  // the broker failed to start, stop or serve
)

// Fault is a broken promise.
type Fault struct {
	Kind    Kind
	Who     string   // the client, or the group
	Message *Message // nil if it concerns no message
	Text    string
	Round   int // in which it was found
}

// String formats the fault on one line.
func (f Fault) String() string {
	s := fmt.Sprintf("%-8s %s: ", f.Kind, f.Who)
	if m := f.Message; m != nil {
		s += fmt.Sprintf("%v %s QoS %d (sent %v, acknowledged %v) ", m.ID, m.Topic, m.QoS, m.Sent, m.Acked)
	}
	return fmt.Sprintf("%s%s; found in round %d", s, f.Text, f.Round)
}

// Fault records a fault found by a client.
func (l *Log) Fault(kind Kind, who, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault(kind, who, nil, format, args...)
}

func (l *Log) fault(kind Kind, who string, m *Message, format string, args ...any) {
	l.faults = append(l.faults, Fault{kind, who, m, fmt.Sprintf(format, args...), l.now.Round})
}

// Faults returns the faults found so far. Missing messages are not among them yet.
func (l *Log) Faults() []Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.faults)
}

// Owed returns the number of outstanding deliveries. It stops counting at limit; 0: no limit.
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

// Owes reports whether a delivery of a message is outstanding.
func (l *Log) Owes(id ID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.index[id]
	return slices.ContainsFunc(l.holders, func(h *holder) bool { return h.isOwed(i, l.messages[i]) })
}

// isSettled reports whether the message with an index will never be owed to h again: its outcome is known, and if it
// is owed it has arrived.
func (l *Log) isSettled(h *holder, i int) bool {
	m := l.messages[i]
	return (m.Acked.Event > 0 || m.Refused.Event > 0) && !h.isOwed(i, m)
}

// Verify returns all faults at the end: those recorded and every message still owed. found are the retained messages
// that a new subscriber got, by topic.
func (l *Log) Verify(found map[string]ID) []Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.holders {
		for i, m := range l.messages {
			if h.isOwed(i, m) {
				l.fault(Lost, h.name, m, "never arrived; arrived at: %s", cmp.Or(l.arrivedAt(i), "no subscriber"))
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

// Kept returns the number of topics with an acknowledged retained message.
func (l *Log) Kept() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.kept())
}

// kept returns the last acknowledged retained messages by topic.
func (l *Log) kept() map[string]*Message {
	acked := map[string]*Message{}
	for _, m := range l.messages {
		if m.Retain && m.Acked.Event > 0 {
			acked[m.Topic] = m
		}
	}
	return acked
}
