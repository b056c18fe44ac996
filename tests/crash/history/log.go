// Package history records the messages that the clients of a crash test sent, the acknowledgements and the
// deliveries, and computes the missing ones. It does not trust the broker's own reports, and shares no code with it.
//
// The promises, and the faults:
//
//   - An acknowledged message (PUBACK, or PUBREC, after which the sender may forget it [MQTT-4.3.3]) arrives at every
//     subscription whose SUBACK came before the message was first sent. Otherwise it is lost.
//   - A message delivered with QoS 2 arrives once. Otherwise it came twice.
//   - A publisher's messages to a topic with one QoS arrive for the first time in their order
//     [MQTT-4.6.0-6]; resent messages may repeat earlier ones.
//   - A group of a shared subscription is one subscription, whichever member receives.
//   - An acknowledged retained message is there at the end, or a later one of its topic.
//   - Every delivery is a sent message, with its topic and payload.
package history

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"sync"
	"time"
)

// Log is a history in progress. Its methods are safe for concurrent use.
type Log struct {
	began time.Time

	mu       sync.Mutex // guards the fields below
	trace    *bufio.Writer
	now      Moment
	messages []*Message // in the order of their sending
	index    map[ID]int // of messages
	holders  []*holder
	byClient map[string]*holder
	faults   []Fault
	stats    Stats
}

// Stats are the counts of a history.
type Stats struct {
	Sent, Acked, Refused uint64 // messages
	Resent               uint64 // PUBLISH with DUP
	Received             uint64 // deliveries, each message once per subscription
	Duplicates           uint64 // further deliveries at QoS 1
	SharedTwice          uint64 // deliveries to a second member of a group, at any QoS
}

// New returns an empty history. Calls of Trace are written to trace.
func New(trace io.Writer) *Log {
	return &Log{
		began:    time.Now(),
		trace:    bufio.NewWriterSize(trace, 1<<16),
		index:    map[ID]int{},
		byClient: map[string]*holder{},
	}
}

// BeginRound records the start of the broker's next life.
func (l *Log) BeginRound(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now.Round = n
}

// Trace writes a line to the trace: the time since the start, the round, who, and the text.
func (l *Log) Trace(who, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.trace, "%10.4f r%03d %-4s ", time.Since(l.began).Seconds(), l.now.Round, who)
	fmt.Fprintf(l.trace, format, args...)
	l.trace.WriteByte('\n') // Flush returns an error
}

// Flush writes the buffered part of the trace.
func (l *Log) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trace.Flush()
}

// Stats returns the counts so far.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// tick returns the next moment. l.mu is held.
func (l *Log) tick() Moment {
	l.now.Event++
	return l.now
}

// Send records a message just before its first sending.
func (l *Log) Send(m Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.Sent = l.tick()
	l.index[m.ID] = len(l.messages)
	l.messages = append(l.messages, &m)
	l.stats.Sent++
}

// Resend records that a message is sent again.
func (l *Log) Resend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Resent++
}

// Ack records the broker's acknowledgement of a message.
func (l *Log) Ack(id ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages[l.index[id]].Acked = l.tick()
	l.stats.Acked++
}

// Refuse records the broker's refusal of a message. Its publisher gives it up.
func (l *Log) Refuse(id ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages[l.index[id]].Refused = l.tick()
	l.stats.Refused++
}

// Subscribe records a client's SUBSCRIBE before it is sent. Clients with the same group are members of one shared
// subscription.
func (l *Log) Subscribe(client, group string, filters []Filter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.holder(client, group)
	l.byClient[client] = h
	h.asked = append(h.asked, filters...)
}

// Subscribed records the granted filters of a client.
func (l *Log) Subscribed(client string, filters []Filter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range filters {
		l.byClient[client].grant(f, l.tick())
	}
}

// holder returns the holder of a client's subscriptions, a new one if needed.
func (l *Log) holder(client, group string) *holder {
	name := client
	if group != "" {
		name = "$share/" + group
	}
	for _, h := range l.holders {
		if h.name == name {
			return h
		}
	}
	h := &holder{name: name, shared: group != "", last: map[stream]*Message{}}
	l.holders = append(l.holders, h)
	return h
}

// Arrival is a received message. A QoS 2 message arrives once per handshake.
type Arrival struct {
	Topic, Payload string
	QoS            byte
	Retain         bool // a retained message; no promise covers it
}

// Receive records an arrival and its faults, and returns the message's ID.
func (l *Log) Receive(client string, a Arrival) ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, err := ParsePayload(a.Payload)
	i, sent := l.index[id]
	switch {
	case err != nil:
		l.fault(Foreign, client, nil, "%v, topic %q", err, a.Topic)
		return ID{}
	case !sent || l.messages[i].Topic != a.Topic:
		l.fault(Foreign, client, nil, "%v was not sent to topic %q", id, a.Topic)
	case a.Retain:
	case !l.byClient[client].hasAsked(a.Topic):
		l.fault(Foreign, client, l.messages[i], "arrived without a subscription")
	default:
		l.receive(client, l.byClient[client], i, a)
	}
	return id
}

func (l *Log) receive(client string, h *holder, i int, a Arrival) {
	m := l.messages[i]
	now := l.tick()
	count := h.count(i)
	if *count == 0 {
		l.stats.Received++
		// A message sent before the subscription may arrive behind later ones: when it is resent.
		if late := h.first(m); late != nil && !h.shared && !m.Will && h.promised(m) > 0 {
			l.fault(Order, client, m, "arrived after %v, which was sent %v to the same topic with the same QoS", late.ID, late.Sent)
		}
	}
	switch {
	case *count == 0:
	case h.shared:
		l.stats.SharedTwice++
	case a.QoS == 2:
		l.fault(Twice, client, m, "arrived with QoS 2 for the %d. time, before: %v", *count+1, h.lastAt)
	default:
		l.stats.Duplicates++
	}
	if want := h.promised(m); a.QoS < want && !h.shared {
		l.fault(Protocol, client, m, "arrived with QoS %d, want %d", a.QoS, want)
	}
	*count = min(*count+1, math.MaxUint8-1)
	h.lastAt = now
}
