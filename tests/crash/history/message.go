package history

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// ID identifies a message: the publisher's client identifier, and the message's number among all of this publisher's.
type ID struct {
	Publisher string
	Number    int
}

// String returns the form used in the trace: p3/17.
func (id ID) String() string { return fmt.Sprintf("%s/%d", id.Publisher, id.Number) }

// Sizes of payloads, in bytes: many of most sizes fit into a page of the store, the largest need several.
var sizes = [...]int{0, 0, 40, 40, 40, 300, 300, 1500, 5000, 20000}

// Payload returns the message's payload: its name, and filling derived from it.
func (id ID) Payload() string {
	h := fnv.New32a()
	h.Write([]byte(id.String()))
	name := id.String() + " "
	return name + strings.Repeat(name, sizes[h.Sum32()%uint32(len(sizes))]/len(name))
}

// ParsePayload returns the message that a payload belongs to. The whole payload must be intact.
func ParsePayload(payload string) (ID, error) {
	name, _, _ := strings.Cut(payload, " ")
	publisher, number, ok := strings.Cut(name, "/")
	n, err := strconv.Atoi(number)
	id := ID{publisher, n}
	if !ok || err != nil || id.Payload() != payload {
		return ID{}, fmt.Errorf("unknown payload: %.60q, %d bytes", payload, len(payload))
	}
	return id, nil
}

// Moment is a point in a history. The zero Moment is never.
type Moment struct {
	Event int // number of recorded events
	Round int // the broker's life
}

// before reports whether m is set and before n.
func (m Moment) before(n Moment) bool { return m.Event > 0 && m.Event < n.Event }

// String names the moment's round.
func (m Moment) String() string {
	if m.Event == 0 {
		return "never"
	}
	return fmt.Sprintf("in round %d", m.Round)
}

// Message is a message with its state.
type Message struct {
	ID
	Topic  string
	QoS    byte
	Retain bool
	Will   bool // of a connection: wills of several connections have no order among them

	Sent    Moment // just before its first byte
	Acked   Moment // PUBACK or PUBREC
	Refused Moment // PUBACK or PUBREC with an error: no promise
}

// Filter is a topic filter with the granted QoS.
type Filter struct {
	Name string
	QoS  byte
}

// Matches reports whether the filter matches a topic (MQTT 5 4.7). The test uses no topics that begin with $.
func (f Filter) Matches(topic string) bool {
	levels := strings.Split(topic, "/")
	for i, want := range strings.Split(f.Name, "/") {
		switch {
		case want == "#":
			return true
		case i == len(levels):
			return false
		case want != "+" && want != levels[i]:
			return false
		}
	}
	return strings.Count(f.Name, "/") == strings.Count(topic, "/")
}
