package broker_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// The steps. While the disk stalls or fails, sessions and subscriptions neither come nor go, and no time passes: what is
// not known then is only what has become of messages.

// seconds is a session expiry.
func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// connect opens a connection for a session, which it takes over if there is one.
func (w *world) connect(d *device, st step) error {
	s := w.accounts[d.name]
	version, clean, expiry := byte(st.n["version"]), st.n["clean"] == 1, seconds(st.n["expiry"])
	if version < raw.V5 {
		expiry = -1
		if clean {
			expiry = 0
		}
	}
	if w.uneasy() {
		if s == nil || s.expiry == 0 {
			return nil
		}
		version, clean, expiry = s.version, false, s.expiry
		if s.will != nil {
			return nil
		}
		delete(st.n, "will")
	}
	old := *d
	if d.conn != nil {
		w.lose(d)
		s = w.accounts[d.name]
	}
	if s != nil && clean {
		w.end(d.name)
		s = nil
	}
	present := s != nil
	if !present {
		s = &account{name: d.name, durable: expiry != 0, subs: map[string]*interest{}}
		w.accounts[d.name] = s
	} else if !w.uneasy() {
		s.mayEnd = 0
	} else if s.oldEnd == 0 {
		s.oldEnd = s.endsAt
		if s.mayEnd != 0 {
			s.oldEnd = min(s.oldEnd, s.mayEnd)
		}
	}
	s.online, s.expiry, s.version, s.receive = true, expiry, version, 0
	s.will = w.newTestament(st)
	if version >= raw.V5 {
		s.receive = st.n["receive"]
	}
	if err := w.greet(d, s, clean, present); err != nil {
		return err
	}
	if old.conn != nil {
		if err := old.readEnd(0x8E); err != nil {
			return err
		}
	}
	if present {
		w.replayMissed(s)
		w.replayAgain(s)
		d.resend()
	} else {
		d.sent = nil
	}
	return nil
}

// greet sends CONNECT and takes CONNACK.
func (w *world) greet(d *device, s *account, clean, present bool) error {
	if err := d.dial(s.version); err != nil {
		return err
	}
	k := raw.Connect{Version: s.version, ID: d.id, Clean: clean, Will: s.will.packet(s.version)}
	if s.version >= raw.V5 && s.expiry < 0 {
		k.Props = append(k.Props, raw.Num(raw.SessionExpiry, raw.Never))
	} else if s.version >= raw.V5 && s.expiry > 0 {
		k.Props = append(k.Props, raw.Num(raw.SessionExpiry, int(s.expiry.Seconds())))
	}
	if s.receive > 0 {
		k.Props = append(k.Props, raw.Num(raw.ReceiveMaximum, s.receive))
	}
	d.write(k.Bytes())
	p, err := d.read()
	if err != nil {
		return err
	}
	if p.Type != raw.CONNACK || p.Code != 0 || p.SessionPresent != present {
		return fmt.Errorf("%s got %v with session present %t, want %t [MQTT-3.2.2-2]", d.name, p, p.SessionPresent, present)
	}
	return nil
}

// drop ends a connection, with or without a word.
func (w *world) drop(d *device, s *account, st step) error {
	if w.stalled && s.expiry == 0 {
		return nil
	}
	if st.verb == "disconnect" {
		p := raw.Plain(raw.DISCONNECT)
		if st.n["changed"] == 1 && d.version >= raw.V5 && s.expiry != 0 && !w.uneasy() {
			s.expiry = seconds(st.n["expiry"])
			p = raw.Disconnect(0, raw.Num(raw.SessionExpiry, st.n["expiry"]))
		}
		s.will = nil
		d.write(p)
		w.lose(d)
		return d.readEnd(0)
	}
	d.close()
	w.lose(d)
	return nil
}

const subscribeID = 60000

func (w *world) subscribe(d *device, s *account, st step) {
	if w.uneasy() || s.pending(st.name) || isShare(st.name) && st.n["qos"] == 0 {
		return
	}
	sub := &interest{qos: byte(st.n["qos"])}
	p := raw.Subscribe{ID: subscribeID}
	options, handling := sub.qos, 0
	if d.version >= raw.V5 {
		sub.noLocal, sub.retain, sub.id, handling = st.n["nolocal"] == 1, st.n["retain"] == 1, st.n["id"], st.n["handling"]
		options |= byte(handling << 4)
		if sub.noLocal = sub.noLocal && !isShare(st.name); sub.noLocal { // [MQTT-3.8.3-4]
			options |= raw.NoLocal
		}
		if sub.retain {
			options |= raw.RetainAsPublished
		}
		if sub.id > 0 {
			p.Props = append(p.Props, raw.Num(raw.SubscriptionIdentifier, sub.id))
		}
	}
	p.Filters = []raw.Filter{{Name: st.name, Options: options}}
	isNew := s.subs[st.name] == nil
	s.subs[st.name] = sub
	d.wants = append(d.wants, &raw.Received{Type: raw.SUBACK, ID: p.ID, Codes: []byte{sub.qos}})
	if !isShare(st.name) && (handling == 0 || handling == 1 && isNew) {
		sub.replaying = true
		w.replay(s, st.name, sub, everything, false)
	}
	d.write(p.Bytes(d.version))
}

// replayAgain makes what is retained due to subscriptions that a crash cut off from it.
func (w *world) replayAgain(s *account) {
	for filter, sub := range s.subs {
		if sub.again != off {
			sub.replaying, s.behind = true, true
			w.replay(s, filter, sub, everything, sub.again == maybe)
			sub.again = off
		}
	}
}

// replayMissed makes due what a session has missed with QoS 0 while it was offline, and what is retained since.
func (w *world) replayMissed(s *account) {
	since, ghost := s.missed, s.mayMiss
	s.behind = since != 0
	if since == 0 {
		return
	}
	if s.mayMiss = w.uneasy(); !s.mayMiss { // otherwise the disk may never hear that it is sent them
		s.missed = 0
	}
	for filter, sub := range s.subs {
		if sub.again == off {
			other := !s.missedBy[""] && !s.missedBy[filter]
			w.replay(s, filter, sub, func(r *attempt) bool { return r.serial >= since && min(r.qos, sub.qos) == 0 }, ghost || other)
		}
	}
	if s.missed == 0 {
		s.missedBy = nil
	}
}

func everything(*attempt) bool { return true }

// replay makes due to a subscription what is retained, of that what is wanted.
func (w *world) replay(s *account, filter string, sub *interest, wanted func(*attempt) bool, ghost bool) {
	for topic, r := range w.retained {
		if !matches(filter, topic) || !wanted(r) || r.expires != 0 && w.now() >= r.expires {
			continue
		}
		a := *r
		a.acked = true
		it := &item{a: newAttempt(a), qos: min(r.qos, sub.qos), retain: true, filter: filter, replay: true, loose: true, ghost: ghost}
		it.a.given[s], it.a.ends = []*item{it}, []time.Duration{r.expires}
		if sub.id > 0 {
			it.ids = []int{sub.id}
		}
		if it.qos == 0 {
			s.due = append(s.due, it)
		} else {
			s.items = append(s.items, it)
		}
	}
}

// pending tells whether the session is still owed retained messages because of a subscription.
func (s *account) pending(filter string) (is bool) {
	s.replayed(func(it *item) { is = is || it.filter == filter })
	return is
}

func (w *world) unsubscribe(d *device, s *account, st step) {
	if w.uneasy() {
		return
	}
	code := byte(0)
	if s.subs[st.name] == nil {
		code = 0x11
	}
	delete(s.subs, st.name)
	w.vacate()
	s.replayed(func(it *item) { it.ghost = it.ghost || it.filter == st.name })
	d.wants = append(d.wants, &raw.Received{Type: raw.UNSUBACK, ID: subscribeID, Codes: []byte{code}})
	d.write(raw.Unsubscribe{ID: subscribeID, Filters: []string{st.name}}.Bytes(d.version))
}

func (w *world) publish(d *device, s *account, st step) {
	w.payloads++
	a := attempt{
		topic: st.name, payload: fmt.Sprint("m", w.payloads), qos: byte(st.n["qos"]), from: s,
		retain: st.n["retain"] == 1 && !w.uneasy(), lasts: st.n["expiry"],
	}
	if strings.HasPrefix(st.name, "$") {
		if w.uneasy() {
			return
		}
		a.retain, a.lasts = false, 0
	}
	if a.retain && st.n["empty"] == 1 {
		a.payload, a.lasts = "", 0 // those of a topic are all alike
	}
	p := newAttempt(a)
	p.limit(d)
	if p.retain {
		w.retain(p)
	}
	sent := &sending{a: p}
	if p.qos > 0 {
		sent.id = d.freeID()
		d.sent = append(d.sent, sent)
	}
	w.spread(p)
	d.publish(sent, false)
}

// retain makes a message its topic's retained one. The one before need not be sent any more.
func (w *world) retain(a *attempt) {
	w.serial++
	a.serial = w.serial
	for _, s := range w.accounts {
		s.replayed(func(it *item) { it.ghost = it.ghost || it.a.topic == a.topic })
	}
	if delete(w.retained, a.topic); a.payload != "" {
		w.retained[a.topic] = a
	}
	for _, s := range w.accounts {
		if s.online && s.behind {
			w.replayToo(s, a)
		}
	}
}

// replayToo has a session that still has to be sent what it has missed be sent a newer message with that, perhaps.
func (w *world) replayToo(s *account, a *attempt) {
	for filter, sub := range s.subs {
		if !isShare(filter) {
			w.replay(s, filter, sub, func(r *attempt) bool { return r == a && min(r.qos, sub.qos) == 0 }, true)
		}
	}
}

// ack answers one of the packets that the client has got: with PUBACK, PUBREC or PUBCOMP.
func (w *world) ack(d *device, s *account, st step) {
	var open []*item
	for _, it := range s.items {
		if it.here && (it.state == got || it.state == released) {
			open = append(open, it)
		}
	}
	if len(open) == 0 {
		return
	}
	it := open[st.n["at"]%len(open)]
	var p []byte
	switch {
	case it.state == released:
		p, it.state = raw.Ack(raw.PUBCOMP, it.id), done
	case it.qos == 1:
		p, it.state = raw.Ack(raw.PUBACK, it.id), done
	case st.n["refuse"] == 1 && d.version >= raw.V5:
		p, it.state = raw.AckCode(raw.PUBREC, it.id, 0x80), done
	default:
		p, it.state = raw.Ack(raw.PUBREC, it.id), answered
	}
	w.note("%s -> % X", d.name, p)
	d.write(p)
}

// release sends PUBREL for one of the client's messages.
func (w *world) release(d *device, st step) {
	var open []*sending
	for _, s := range d.sent {
		if s.state == recorded {
			open = append(open, s)
		}
	}
	if len(open) == 0 {
		return
	}
	s := open[st.n["at"]%len(open)]
	s.state = releasing
	d.write(raw.Ack(raw.PUBREL, s.id))
}
