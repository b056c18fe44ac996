package broker_test

import (
	"context"
	"fmt"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// testament is the will of a session.
type testament struct {
	topic, payload string
	qos            byte
	retain         bool
	delay          time.Duration
	at             time.Duration // when it is published, while the session is offline
}

// modelGrace is longer than a client has to come back after a start before its will is published.
const modelGrace = 20 * time.Second

// newTestament is the will that a step says. A retained one has a topic of its client's own: it would not be known which of
// two that are published at the same time is the newer.
func (w *world) newTestament(st step) *testament {
	if st.n["will"] == 0 {
		return nil
	}
	w.payloads++
	t := &testament{
		topic: st.name, payload: fmt.Sprint("m", w.payloads), qos: byte(st.n["willqos"]), retain: st.n["willretain"] == 1,
	}
	topics := append(append([]string{}, modelTopics...), modelJobs...)
	if t.topic = topics[st.n["will"]%len(topics)]; t.retain {
		t.topic = "x/will-of-" + st.who
	}
	if st.n["version"] >= int(raw.V5) {
		t.delay = seconds(st.n["willdelay"])
	}
	return t
}

func (t *testament) packet(version byte) *raw.Will {
	if t == nil {
		return nil
	}
	p := &raw.Will{Topic: t.topic, Payload: t.payload, QoS: t.qos, Retain: t.retain}
	if version >= raw.V5 && t.delay > 0 {
		p.Props = raw.Props{raw.Num(raw.WillDelay, int(t.delay.Seconds()))}
	}
	return p
}

// publishWill publishes the will of a session, if it has one. Several may be published at the same time, so that it has no
// place among other messages.
func (w *world) publishWill(s *account, optional bool) {
	t := s.will
	if s.will = nil; t == nil {
		return
	}
	w.note("will of %s: %s on %s with QoS %d", s.name, t.payload, t.topic, t.qos)
	a := newAttempt(attempt{topic: t.topic, payload: t.payload, qos: t.qos, retain: t.retain, from: s, acked: true})
	a.ends = []time.Duration{0}
	if a.retain {
		w.retain(a)
	}
	for _, each := range w.accounts {
		if each.left {
			continue
		}
		n, due := len(each.items), len(each.due)
		each.give(a)
		for _, it := range each.items[n:] {
			it.loose = true
		}
		for _, it := range each.due[due:] {
			it.ghost = it.ghost || optional
		}
	}
	w.spreadShares(a)
}

// leave ends a session but for its account: it is nobody's member, its will is published, its messages redelivered.
func (w *world) leave(s *account, lost bool) {
	s.left = true
	w.publishWill(s, lost)
	w.redeliver(s, lost)
	w.vacate()
}

// depart notes when the will of a session that has lost its connection is published. byUs tells that the broker has gone.
func (w *world) depart(s *account, byUs bool) {
	switch t := s.will; {
	case t == nil:
	case byUs:
		t.at = w.now() + max(t.delay, modelGrace/2)
	case t.delay == 0 && s.expiry != 0:
		w.publishWill(s, false)
	default:
		t.at = w.now() + t.delay
	}
}

// publishWills publishes the wills that are due.
func (w *world) publishWills() {
	for _, s := range w.accounts {
		if s.will != nil && !s.online && w.now() >= s.will.at {
			w.publishWill(s, false)
		}
	}
}

// shutDown ends the broker in good order. Sessions that end with it leave, while others are still connected.
func (w *world) shutDown() error {
	for _, s := range w.accounts {
		if s.online && s.expiry == 0 {
			w.leave(s, true)
		}
	}
	for _, s := range w.accounts {
		for _, it := range s.items {
			if it.loose && it.state == waiting && it.qos == 2 {
				it.dup = maybe // it may get its packet identifier, and be taken for sent after the restart
			}
		}
	}
	done := make(chan error, 1)
	go func() { done <- w.b.Shutdown(context.Background()) }()
	for _, d := range w.devices {
		if d.conn == nil {
			continue
		}
		if err := d.readToTheEnd(w.accounts[d.name].left); err != nil {
			return err
		}
	}
	for _, s := range w.accounts {
		if !s.online {
			continue
		}
		for _, it := range s.due {
			if it.filter == "" && it.a.retain {
				s.miss(it.a, "", true)
			}
		}
		if s.lose(w.now(), false); !s.left {
			w.depart(s, true)
		}
		if s.left {
			delete(w.accounts, s.name)
		}
	}
	for _, s := range w.accounts {
		for _, it := range s.items {
			it.restart()
		}
	}
	return <-done
}

// readToTheEnd reads what the broker sends before it says that it ends. What it sends to a session that ends is not known.
func (d *device) readToTheEnd(unknown bool) error {
	for {
		p, err := d.read()
		switch {
		case err == nil && p.Type == raw.PUBLISH && unknown:
			continue
		case err == nil && p.Type == raw.PUBLISH:
			if err := d.take(p); err != nil {
				return fmt.Errorf("%s got %v while the broker stops: %w", d.name, p, err)
			}
			continue
		}
		return d.ends(p, err, 0x8B)
	}
}
