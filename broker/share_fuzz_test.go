package broker_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// FuzzShareGroups has members join, leave, go and come back while messages are published: each message comes to one member of each group
// that matches, once, if the group had a member from its publication on.
func FuzzShareGroups(f *testing.F) {
	addCorpus(f)
	f.Add([]byte("\x00\x01\x02\x80\x81\xc0\x00\x80\xc0"))
	f.Add([]byte("abcdefghijklmnopqrstuvwxyz"))
	f.Add([]byte("\x00\x40\x80\x00\x80\x40\x80\x44\x84\x04\x84\xf0\x80"))
	f.Add([]byte("\x05\x15\x25\x91\x45\x91\x55\x91\x65\x91\xe0\x91"))
	b := runBroker(f)
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 60 {
			return
		}
		w := newShareWorld(t, func() *raw.Client { return raw.New(t, attach(t, b, false), raw.V5) })
		for _, op := range program {
			w.do(op)
		}
		w.check()
		for _, m := range w.members {
			m.Close()
		}
		w.publisher.Close()
	})
}

// shareWorld is members of groups, and what each group must get.
type shareWorld struct {
	t         *testing.T
	dial      func() *raw.Client
	publisher *raw.Client
	members   [3]*raw.Client
	joined    map[place]bool
	owed      map[groupMessage]bool // true: exactly once; false: at most once, because the group had no member for a while
	got       map[groupMessage]int
	published int
}

// place is a membership; groupMessage a message of a group.
type (
	place        struct{ member, group int }
	groupMessage struct{ message, group int }
)

// shareFilters are the groups. Their index and one is the subscription identifier.
var shareFilters = []string{"$share/g/fuzz/a", "$share/h/fuzz/a", "$share/g/fuzz/+", "$share/g/fuzz/#", "$share/g/+/a/b", "$share/h/#"}

var shareTopics = []string{"fuzz/a", "fuzz/b", "fuzz/a/b", "other/a/b"}

func newShareWorld(t *testing.T, dial func() *raw.Client) *shareWorld {
	w := &shareWorld{t: t, dial: dial, publisher: dial(), joined: map[place]bool{}, owed: map[groupMessage]bool{}, got: map[groupMessage]int{}}
	w.publisher.Connect(raw.Connect{Version: raw.V5, ID: "fuzz-publisher", Clean: true})
	for i := range w.members {
		w.come(i)
	}
	return w
}

func (w *shareWorld) come(i int) {
	w.members[i] = w.dial()
	w.members[i].Connect(raw.Connect{Version: raw.V5, ID: fmt.Sprint("fuzz-member-", i), Clean: true})
}

// do is a step: a member joins a group or leaves it, a message is published, or a member goes and comes back.
func (w *shareWorld) do(op byte) {
	member, n := int(op>>4)%len(w.members), int(op)
	switch op >> 6 {
	case 0, 1:
		w.toggle(place{member, n % len(shareFilters)})
	case 2:
		w.publish(shareTopics[n%len(shareTopics)], op>>2&1)
	default:
		w.check() // what it was sent and has not acknowledged would come to others again
		w.members[member].Disconnect()
		for group := range shareFilters {
			w.leave(place{member, group})
		}
		w.come(member)
	}
}

func (w *shareWorld) toggle(p place) {
	c, filter := w.members[p.member], shareFilters[p.group]
	if w.joined[p] {
		c.Send(raw.Unsubscribe{ID: 2, Filters: []string{filter}}.Bytes(c.Version))
		w.await(p.member, raw.UNSUBACK)
		w.leave(p)
		return
	}
	c.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: filter, Options: 1}},
		Props: raw.Props{raw.Num(raw.SubscriptionIdentifier, 1+p.group)}}.Bytes(c.Version))
	w.await(p.member, raw.SUBACK)
	w.joined[p] = true
}

func (w *shareWorld) leave(p place) {
	delete(w.joined, p)
	if w.hasMembers(p.group) {
		return
	}
	for s := range w.owed {
		if s.group == p.group {
			w.owed[s] = false
		}
	}
}

func (w *shareWorld) hasMembers(group int) bool {
	for i := range w.members {
		if w.joined[place{i, group}] {
			return true
		}
	}
	return false
}

func (w *shareWorld) publish(topic string, qos byte) {
	w.published++
	for group, filter := range shareFilters {
		if matches(strings.SplitN(filter, "/", 3)[2], topic) && w.hasMembers(group) {
			w.owed[groupMessage{w.published, group}] = true
		}
	}
	w.publisher.Publish(raw.Publish{Topic: topic, Payload: strconv.Itoa(w.published), QoS: qos})
	ping(w.publisher)
}

// await reads a member's packets up to one of a type.
func (w *shareWorld) await(member int, t raw.Type) {
	w.t.Helper()
	for {
		p, err := w.members[member].Read()
		switch {
		case err != nil:
			w.t.Fatal(err)
		case p.Type == t:
			return
		case p.Type != raw.PUBLISH:
			w.t.Fatalf("got %v", p)
		}
		if p.QoS > 0 {
			w.members[member].Send(raw.Ack(raw.PUBACK, p.ID))
		}
		message, _ := strconv.Atoi(p.Payload)
		ids := p.Props.All(raw.SubscriptionIdentifier)
		if len(ids) != 1 {
			w.t.Fatalf("got %v", p)
		}
		s := groupMessage{message, int(ids[0].N) - 1}
		if _, owed := w.owed[s]; !owed || w.got[s] > 0 {
			w.t.Fatalf("%v came %d times before to %s", p, w.got[s], shareFilters[s.group])
		}
		w.got[s]++
	}
}

// check waits until all messages have been delivered. A message may pass from shard to shard, when members have left, so each member
// is asked several times.
func (w *shareWorld) check() {
	w.t.Helper()
	for range 4 {
		for i, c := range w.members {
			c.Send(raw.Plain(raw.PINGREQ))
			w.await(i, raw.PINGRESP)
		}
	}
	for s, must := range w.owed {
		if must && w.got[s] == 0 {
			w.t.Fatalf("message %d did not come to %s", s.message, shareFilters[s.group])
		}
	}
	clear(w.owed)
}
