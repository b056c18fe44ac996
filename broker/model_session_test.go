package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// account is what the broker owes a client identifier: a session, as the specification wants it.
type account struct {
	name    string // of the client
	durable bool   // it was made to outlive its connection
	online  bool
	expiry  time.Duration // negative: never
	endsAt  time.Duration // while offline
	oldEnd  time.Duration // before the connection that the disk may not know of; 0: it knows
	mayEnd  time.Duration // it may end then already, because a crash came before the disk knew; 0: it does not
	version byte          // of its connection
	receive int           // QoS 1 and 2 messages that may be under way to its connection
	subs    map[string]*interest
	items   []*item // in the order in which the client has to get them
	due     []*item // QoS 0, now
	will    *testament
	left    bool // it ends, and is nobody's member any more

	missed  int  // the serial of the oldest retained message that it was to get with QoS 0 while it was offline; 0: none
	mayMiss bool // the broker may not know it

	missedBy map[string]bool // the subscriptions that must be sent what was missed; with "" all
	behind   bool            // it has come back and may still have to be sent what it has missed
}

// interest is a subscription.
type interest struct {
	qos             byte
	noLocal, retain bool
	id              int

	replaying bool   // it has not been sent all that is retained, or the disk does not know that it has
	tainted   bool   // the disk may never hear of it
	again     demand // it is sent all that is retained when the client comes back, because of a crash
}

// give makes a message one that the session must get, if a subscription wants it: once, with the highest QoS and the
// identifiers of all of them (MQTT 5 3.3.4).
func (s *account) give(a *attempt) {
	it := &item{a: a, ghost: a.known()}
	found := false
	for filter, sub := range s.subs {
		if isShare(filter) || !matches(filter, a.topic) || sub.noLocal && a.from == s {
			continue
		}
		found = true
		it.qos = max(it.qos, min(a.qos, sub.qos))
		it.retain = it.retain || a.retain && sub.retain
		if sub.id > 0 {
			it.ids = append(it.ids, sub.id)
		}
	}
	switch {
	case !found:
	case it.qos > 0:
		s.append(it)
	case s.online:
		s.due = append(s.due, it)
	case a.retain:
		s.miss(a, "", false)
	}
}

// miss notes that the session did not get a retained message, because of one subscription or, with "", of any. When only a replay
// was cut off the other subscriptions need not be sent it: the broker may not have got as far as that message.
func (s *account) miss(a *attempt, filter string, ghost bool) {
	if s.missedBy == nil {
		s.missedBy = map[string]bool{}
	}
	s.missedBy[filter] = true
	if s.missed == 0 || a.serial < s.missed {
		s.missed = a.serial
	}
	s.mayMiss = s.mayMiss || ghost
}

// forgetMissed notes that the broker knows only that it has missed something, because it was started again.
func (s *account) forgetMissed() {
	for _, sub := range s.subs {
		if s.missed != 0 && sub.again == off {
			sub.again = maybe
		}
	}
	s.missed, s.mayMiss, s.missedBy = 0, false, nil
}

// append puts a message behind the others. If it is a further attempt it is for those that did not get an earlier one:
// exactly once with QoS 2, at least once with QoS 1.
func (s *account) append(it *item) {
	a := it.a
	earlier := a.first.given[s]
	a.first.given[s] = append(earlier, it)
	it.ghost = a.known() && len(earlier) == 0
	for _, other := range earlier {
		if !other.delivered {
			continue
		}
		if s.once(it, other) {
			return
		}
		it.ghost = true
	}
	s.items = append(s.items, it)
}

// once tells that the session may get only one of two items of the same message. A session that does not outlive its
// connection is sent a QoS 2 message before it is on disk; if the disk fails then, the publisher sends it again.
func (s *account) once(a, b *item) bool { return a.qos == 2 && b.qos == 2 && s.durable }

// next finds what a packet is about: the first that the broker has not sent again or for the first time, where those that
// need not come are passed over, for good.
func (s *account) next(p *raw.Received, now time.Duration) (*item, error) {
	if p.Type == raw.PUBREL {
		for _, it := range s.items {
			if it.id == p.ID && it.state == answered && it.here {
				return it, nil // to what the client has just answered
			}
		}
	}
	it, err := s.nextInOrder(p, now)
	if err == nil && (p.Type == raw.PUBREL || s.checkContent(it, p, now) == nil) {
		return it, nil
	}
	if free := s.free(p, now); free != nil {
		s.place(free)
		return free, nil
	}
	return it, err
}

// free finds a message among those that have no place yet: best one that is as it has to be, and that must come.
func (s *account) free(p *raw.Received, now time.Duration) (best *item) {
	for _, it := range s.items {
		if !it.loose || p.Type != raw.PUBLISH || !it.is(p) {
			continue
		}
		if best == nil || s.check(it, p, now) == nil && (best.ghost || s.check(best, p, now) != nil) {
			best = it
		}
	}
	return best
}

func (s *account) nextInOrder(p *raw.Received, now time.Duration) (*item, error) {
	for i, it := range s.items {
		if it.here || it.state == done || it.loose {
			continue
		}
		if it.is(p) && !s.isRather(it, p, now) {
			passed := s.passed(i, p, now)
			s.items = slices.DeleteFunc(s.items, func(other *item) bool { return slices.Contains(passed, other) })
			return it, nil
		}
		if !it.optional(now) {
			return nil, fmt.Errorf("want %v first", it)
		}
	}
	return nil, errors.New("want nothing")
}

// isRather tells whether a packet is rather another message of the same content than it, which need not come: the one with
// its identifier, or a later attempt that other subscriptions match by now.
func (s *account) isRather(it *item, p *raw.Received, now time.Duration) bool {
	if !it.optional(now) || it.id == p.ID {
		return false
	}
	unlike := p.Type == raw.PUBLISH && s.checkContent(it, p, now) != nil
	return slices.ContainsFunc(s.items, func(other *item) bool {
		return !other.here && other.is(p) && (other.id == p.ID || unlike && s.checkContent(other, p, now) == nil)
	})
}

// passed is what is before place i and has not come, but for what nobody can tell from what has.
func (s *account) passed(i int, p *raw.Received, now time.Duration) (all []*item) {
	for _, it := range s.items[:i] {
		if !it.here && it.state != done && !it.loose && it.optional(now) && !it.is(p) {
			all = append(all, it)
		}
	}
	return all
}

// place gives a retained message its place: it is the last that was sent.
func (s *account) place(it *item) {
	s.items = slices.DeleteFunc(s.items, func(other *item) bool { return other == it })
	i := slices.IndexFunc(s.items, func(other *item) bool { return !other.here && other.state != done && !other.loose })
	if i < 0 {
		i = len(s.items)
	}
	s.items = slices.Insert(s.items, i, it)
	it.filter, it.loose = "", false
}

// underWay is how many messages were sent on this connection and are not done with.
func (s *account) underWay(too func(*item) bool) (n int) {
	for _, it := range s.items {
		if it.state != done && it.here && (it.counts || too(it)) {
			n++
		}
	}
	return n
}

// arrive takes a QoS 1 or 2 message, or PUBREL.
func (s *account) arrive(p *raw.Received, now time.Duration) error {
	it, err := s.next(p, now)
	if err != nil {
		return err
	}
	if p.Type == raw.PUBREL {
		it.id, it.state, it.here, it.let, it.either = p.ID, released, true, true, false
		return nil
	}
	if err := s.check(it, p, now); err != nil {
		return err
	}
	it.state, it.id, it.dup, it.here, it.counts, it.ghost, it.either = got, p.ID, on, true, true, false, false
	it.delivered = true
	it.share.arrived(s)
	it.sure = it.sure || it.qos == 2
	for _, other := range it.a.first.given[s] {
		switch {
		case other == it || other.state != waiting && other.id != 0:
		case s.once(it, other):
			s.items = slices.DeleteFunc(s.items, func(each *item) bool { return each == other })
		default:
			other.ghost = true
		}
	}
	if n := s.underWay(func(*item) bool { return false }); n > s.most() {
		return fmt.Errorf("%d messages are under way, the receive maximum is %d [MQTT-3.3.4-9]", n, s.most())
	}
	return nil
}

// modelInflight is the broker's limit of messages under way to a client.
const modelInflight = 4

// most is how many messages may be under way to the client.
func (s *account) most() int {
	if s.receive == 0 {
		return modelInflight
	}
	return min(s.receive, modelInflight)
}

// check holds a message against what it has to be.
func (s *account) check(it *item, p *raw.Received, now time.Duration) error {
	if err := s.checkContent(it, p, now); err != nil {
		return err
	}
	switch {
	case it.id != 0 && it.id != p.ID:
		return fmt.Errorf("the packet identifier was %d [MQTT-4.4.0-1]", it.id)
	case it.dup == off && p.Dup:
		return fmt.Errorf("DUP is set, and %v was never sent [MQTT-3.3.1-1]", it)
	case it.dup == on && !p.Dup:
		return fmt.Errorf("DUP is not set, and %v was sent before [MQTT-3.3.1-1]", it)
	case it.state == waiting && it.dup == off && it.expired(now):
		return fmt.Errorf("it has expired [MQTT-3.3.2-5]")
	}
	for _, other := range s.items {
		if other != it && other.id == p.ID && !other.ghost && other.state != waiting && other.state != done {
			return fmt.Errorf("%v uses this packet identifier [MQTT-2.2.1-4]", other)
		}
	}
	return nil
}

// late is how much earlier the broker may have looked at the clock: less than any step of time.
const late = 100 * time.Second

func (s *account) checkContent(it *item, p *raw.Received, now time.Duration) error {
	if p.Topic != it.a.topic || p.Payload != it.a.payload || p.QoS != it.qos || p.Retain != it.retain {
		return fmt.Errorf("want %v, RETAIN %t", it, it.retain)
	}
	if s.version < raw.V5 {
		return nil
	}
	var ids []int
	for _, prop := range p.Props.All(raw.SubscriptionIdentifier) {
		ids = append(ids, prop.N)
	}
	slices.Sort(ids)
	slices.Sort(it.ids)
	if !slices.Equal(ids, it.ids) {
		return fmt.Errorf("want subscription identifiers %v [MQTT-3.3.4-3]", it.ids)
	}
	left := p.Props.Num(raw.MessageExpiry)
	for _, at := range it.a.first.ends {
		if at == 0 && left < 0 || at != 0 && left >= 0 && (time.Duration(left)*time.Second-max(at-now, 0)).Abs() <= late {
			return nil
		}
	}
	return fmt.Errorf("want a message expiry of %v [MQTT-3.3.2-6]", it.a.expires-now)
}

// arriveQoS0 takes a QoS 0 message: of several of the same content one that is as it has to be, and that must come.
func (s *account) arriveQoS0(p *raw.Received, now time.Duration) error {
	err := errors.New("want no such message")
	var best *item
	for _, it := range s.due {
		if it.a.payload != p.Payload || it.a.topic != p.Topic {
			continue
		}
		if wrong := s.checkContent(it, p, now); wrong != nil {
			err = wrong
		} else if best == nil || best.ghost {
			best = it
		}
	}
	if best == nil {
		return err
	}
	s.due = slices.DeleteFunc(s.due, func(it *item) bool { return it == best })
	best.share.arrived(s)
	return nil
}

// lose notes that the connection has gone: what was sent will be sent again. uneasy tells that the disk may not know what
// the broker does.
func (s *account) lose(now time.Duration, uneasy bool) {
	s.replayed(func(it *item) {
		if it.qos == 0 {
			s.miss(it.a, it.filter, it.ghost || uneasy)
		}
	})
	s.online, s.due = false, nil
	s.endsAt = now + s.expiry
	for _, it := range s.items {
		it.here, it.counts = false, false
		if it.state == released {
			it.state = answered
		}
		if it.state == waiting && uneasy {
			it.dup, it.torn = maybe, it.qos == 2 // it may have its packet identifier, and be taken for sent after a restart
			it.ghost = it.ghost || it.filter != ""
		}
		it.queued = it.filter != "" && !uneasy
	}
}

// crash makes of the session what there may be on the disk. uneasy tells that it may not be all.
func (s *account) crash(uneasy bool) {
	if s.oldEnd != 0 {
		s.mayEnd, s.oldEnd = s.oldEnd, 0
	}
	for _, sub := range s.subs {
		if sub.replaying {
			sub.again = maybe
		}
	}
	for _, it := range s.items {
		if it.filter != "" && it.state == waiting && !it.queued {
			if sub := s.subs[it.filter]; sub != nil && !uneasy && s.online && !it.ghost {
				sub.again = on
			}
			it.ghost = true // it is sent again with all that is retained
		}
		if uneasy {
			it.crash()
		}
		it.restart()
		if uneasy && it.replay && it.state == got && it.id == 0 {
			it.loose = true // the disk may not have it, and then it is sent with all that is retained, behind what waits
		}
	}
}

// replays follows what the disk knows of subscriptions that are sent what is retained. It hears that they have been when
// nothing waits any more.
func (s *account) replays(uneasy bool) {
	waits := s.online && slices.ContainsFunc(s.items, func(it *item) bool { return it.state == waiting })
	for filter, sub := range s.subs {
		sub.replaying = sub.replaying && (sub.tainted || uneasy || waits || s.pending(filter))
		sub.tainted = sub.tainted || sub.replaying && uneasy
	}
}

// settle is called when the broker has done, and the disk has, what there was to do. It forgets what is done with, and
// makes sure that nothing is missing.
func (s *account) settle(now time.Duration) error {
	n := s.underWay(func(it *item) bool { return it.state == released })
	for _, it := range s.due {
		if !it.optional(now) && (it.filter == "" || n < s.most()) { // retained messages wait behind what waits
			return fmt.Errorf("%s did not get %v", s.name, it)
		}
	}
	if err := s.settleShares(s.due); err != nil {
		return err
	}
	s.due = slices.DeleteFunc(s.due, func(it *item) bool { return it.filter == "" || n < s.most() })
	s.items = slices.DeleteFunc(s.items, func(it *item) bool { return it.state == done })
	for _, it := range s.items {
		it.sure = it.sure || it.id != 0 && (it.a.acked || it.qos == 2)
		if it.state == answered && it.here {
			return fmt.Errorf("%s did not get PUBREL for %v", s.name, it)
		}
	}
	if !s.online {
		return nil
	}
	if n >= s.most() {
		return nil // what has not come waits for an acknowledgement
	}
	for _, it := range s.items {
		if !it.here && !it.optional(now) {
			return fmt.Errorf("%s did not get %v, while %d messages are under way of %d", s.name, it, n, s.most())
		}
	}
	s.behind = false
	err := s.settleShares(s.items)
	s.items = slices.DeleteFunc(s.items, func(it *item) bool { return !it.here }) // and will not come
	return err
}

// replayed calls fn with what is retained that a subscription has not yet been sent.
func (s *account) replayed(fn func(*item)) {
	for _, it := range slices.Concat(s.items, s.due) {
		if it.filter != "" && it.state == waiting {
			fn(it)
		}
	}
}

// exact tells that it is known what the session has.
func (s *account) exact(now time.Duration) bool {
	for _, sub := range s.subs {
		if sub.replaying {
			return false
		}
	}
	return len(s.due) == 0 && !slices.ContainsFunc(s.items, func(it *item) bool {
		return it.filter != "" && !it.here || it.dup == maybe || it.either || it.ghost || !it.a.acked || it.a.first != it.a || it.optional(now)
	})
}
