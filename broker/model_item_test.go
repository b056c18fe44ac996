package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// attempt is a message that a client has sent. One that it sends again, because it was not acknowledged, is another
// attempt.
type attempt struct {
	topic, payload string
	qos            byte
	retain         bool
	lasts          int             // seconds; 0: for good
	expires        time.Duration   // 0: never
	ends           []time.Duration // of first: when which attempt expires
	acked          bool
	first          *attempt // at the same message
	from           *account
	serial         int                  // if it is retained: which came after which
	given          map[*account][]*item // of first: what became of the message
}

// progress is how far a message is on its way to a client.
type progress int

const (
	waiting  progress = iota
	got               // the client has it, and has not answered
	answered          // by PUBREC: PUBREL has to come
	released          // PUBREL has come
	done
)

// item is a message for a session.
type item struct {
	a      *attempt
	qos    byte
	retain bool
	ids    []int  // subscription identifiers
	filter string // a retained message, to be sent because of this subscription
	replay bool   // a retained message, sent because of a subscription
	queued bool   // of those: it waits in the session
	loose  bool   // it has no place among the others yet
	share  *share // by which it may come, or has come; nil: none

	state     progress
	delivered bool // at least once
	let       bool // PUBREL has come, on whichever connection
	here      bool // on this connection the broker has done what it owes
	counts    bool // it was sent on this connection
	id        int  // 0: not known
	sure      bool // the disk knows id
	dup       demand
	ghost     bool // it may come, and need not
	either    bool // answered, but the disk may not know it: it may come again
	torn      bool // the disk may have its packet identifier and not the message: PUBREL may come, which is harmless
}

// demand is what a flag has to be.
type demand int

const (
	off demand = iota
	maybe
	on
)

// matches tells whether a topic filter matches a topic (MQTT 5 4.7). No filter begins with '$'.
func matches(filter, topic string) bool {
	f, t := strings.Split(filter, "/"), strings.Split(topic, "/")
	if topic[0] == '$' && (f[0] == "#" || f[0] == "+") {
		return false // [MQTT-4.7.2-1]
	}
	for i, level := range f {
		if level == "#" {
			return true
		}
		if i >= len(t) || level != "+" && level != t[i] {
			return false
		}
	}
	return len(f) == len(t)
}

// known tells whether the broker may know the message already, so that this attempt is none.
func (a *attempt) known() bool { return a.qos == 2 && a != a.first }

// optional tells whether an item that the broker has not sent on this connection need not come.
func (it *item) optional(now time.Duration) bool {
	switch {
	case it.ghost:
		return true
	case it.state == waiting:
		return !it.a.acked && it.a.qos > 0 || it.mayBeExpired(now)
	}
	return it.state == got && (it.qos == 1 && !it.a.acked || it.id == 0 && it.mayBeExpired(now))
}

// expired tells whether the message's time is over, whichever attempt at it this is.
func (it *item) expired(now time.Duration) bool {
	return !slices.ContainsFunc(it.a.first.ends, func(at time.Duration) bool { return at == 0 || now < at })
}

// mayBeExpired tells whether the time of one of the attempts is over, which may be the one that the broker has.
func (it *item) mayBeExpired(now time.Duration) bool {
	return slices.ContainsFunc(it.a.first.ends, func(at time.Duration) bool { return at != 0 && now >= at })
}

func (it *item) String() string {
	s := fmt.Sprintf("%s on %s with QoS %d", it.a.payload, it.a.topic, it.qos)
	if it.state > waiting {
		s += fmt.Sprint(", identifier ", it.id)
	}
	return s + [...]string{"", ", sent before", ", PUBREC sent", ", PUBREL received", ", done"}[it.state]
}

func (it *item) is(p *raw.Received) bool {
	if p.Type == raw.PUBREL {
		return it.id == p.ID && (it.state == answered || it.torn && it.ghost) || it.torn && it.state == waiting && !it.a.acked
	}
	return it.a.payload == p.Payload && it.a.topic == p.Topic && (it.state == waiting || it.state == got || it.either)
}

func (it *item) crash() {
	switch {
	case it.state == done && it.let:
		it.state, it.ghost = answered, true
	case it.state == done:
		it.state, it.ghost, it.torn = got, true, it.qos == 2
	case it.state == answered && !it.let:
		it.either = true
	case it.state == waiting:
		it.dup, it.torn = maybe, it.qos == 2
	}
}

// restart forgets what a broker need not know any more that has gone: the packet identifier of a message that was never
// stored.
func (it *item) restart() {
	if it.state == got && !it.sure {
		it.id, it.dup = 0, maybe
	}
}
