package history

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// ID names a message: the publisher's client identifier, and the message's number among all that this publisher sends.
type ID struct {
	Publisher string
	Number    int
}

// String is the form that stands in the trace: p3/17.
func (id ID) String() string { return fmt.Sprintf("%s/%d", id.Publisher, id.Number) }

// Sizes of payloads, in bytes: most fit many times into a page of the store, some into none.
var sizes = [...]int{0, 0, 40, 40, 40, 300, 300, 1500, 5000, 20000}

// Payload is what the message carries: its name, and filling that depends on it.
func (id ID) Payload() string {
	h := fnv.New32a()
	h.Write([]byte(id.String()))
	name := id.String() + " "
	return name + strings.Repeat(name, sizes[h.Sum32()%uint32(len(sizes))]/len(name))
}

// ParsePayload finds the message that a payload belongs to. All of the payload has to be as it was sent.
func ParsePayload(payload string) (ID, error) {
	name, _, _ := strings.Cut(payload, " ")
	publisher, number, ok := strings.Cut(name, "/")
	n, err := strconv.Atoi(number)
	id := ID{publisher, n}
	if !ok || err != nil || id.Payload() != payload {
		return ID{}, fmt.Errorf("the payload is none that was sent: %.60q, %d bytes", payload, len(payload))
	}
	return id, nil
}

// Moment is a point in a history. The zero Moment is never.
type Moment struct {
	Event int // counts everything that is noted
	Round int // of the broker's lives
}

// before reports whether m came before n, if it came at all.
func (m Moment) before(n Moment) bool { return m.Event > 0 && m.Event < n.Event }

func (m Moment) String() string {
	if m.Event == 0 {
		return "never"
	}
	return fmt.Sprintf("in round %d", m.Round)
}

// Message is what is known of one.
type Message struct {
	ID
	Topic  string
	QoS    byte
	Retain bool
	Will   bool // of a connection: wills of several connections have no order among them

	Sent    Moment // just before its first byte was
	Acked   Moment // PUBACK or PUBREC
	Refused Moment // PUBACK or PUBREC with an error: nothing is promised
}

// Filter is a topic filter with the QoS that was granted.
type Filter struct {
	Name string
	QoS  byte
}

// Matches reports whether a topic matches the filter (MQTT 5 4.7). Topics that begin with $ are none of ours.
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
