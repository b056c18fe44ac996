package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/tests/crash/history"
)

// Publisher sends numbered messages and keeps each until its acknowledgement, across connections and broker restarts.
type Publisher struct {
	Options
	Random *rand.Rand
	Topics []string
	Retain bool          // all messages are retained, with QoS 1
	Window int           // maximum messages in flight
	Pause  time.Duration // average pause between messages
	Idle   *atomic.Bool  // while set, no new messages are sent; nil: never set
	Drops  int           // average number of packets before it breaks its connection; 0: never

	link     *link
	number   int
	lastID   int
	flights  []*flight // in the order of their first sending
	promised bool      // the broker owes this session something: it has sent a PUBREC
}

// flight is a message in flight.
type flight struct {
	history.Message
	packetID int
	released bool // PUBREC has come: the broker owns the message
}

// Run publishes until the stage ends and everything is acknowledged, or ctx ends.
func (p *Publisher) Run(ctx context.Context) {
	for ctx.Err() == nil && !p.isDone() {
		link, err := p.connect(ctx, p.durable(0))
		if err != nil {
			return
		}
		p.link = link
		p.runConnection(ctx)
		link.close()
		pause(ctx, time.Duration(p.Random.Int64N(int64(maxPause))))
	}
}

func (p *Publisher) isDone() bool { return p.Stage.Ending() && len(p.flights) == 0 }

// runConnection uses one connection until it ends, or everything is done.
func (p *Publisher) runConnection(ctx context.Context) {
	if p.resume() != nil {
		return
	}
	pace := time.NewTimer(p.pause())
	defer pace.Stop()
	answer := time.NewTimer(answerTimeout)
	defer answer.Stop()
	for !p.isDone() {
		select {
		case packet, open := <-p.link.packets:
			if !open || !p.handle(packet) || p.drops() {
				return
			}
			answer.Reset(answerTimeout)
		case <-pace.C:
			if p.publish() != nil {
				return
			}
			pace.Reset(p.pause())
		case <-answer.C:
			if len(p.flights) > 0 {
				p.Log.Trace(p.ID, "  no answer for %v, connecting anew", answerTimeout)
				return
			}
			answer.Reset(answerTimeout)
		case <-ctx.Done():
			return
		}
	}
}

func (p *Publisher) pause() time.Duration {
	return time.Duration(p.Random.ExpFloat64() * float64(p.Pause))
}

func (p *Publisher) drops() bool {
	drops := p.Drops > 0 && !p.Stage.Ending() && p.Random.IntN(p.Drops) == 0
	if drops {
		p.Log.Trace(p.ID, "  drops its connection")
	}
	return drops
}

// resume resends unacknowledged messages in their original order [MQTT-4.4.0-1].
func (p *Publisher) resume() error {
	if !p.link.Present {
		p.newSession()
	}
	for _, f := range p.flights {
		if err := p.send(f, p.link.Present); err != nil {
			return err
		}
		p.Log.Resend()
	}
	return nil
}

// newSession starts a new session. The broker owns messages after their PUBREC; the rest is sent as new. If the broker
// forgot such a message together with the session, the message is lost or duplicated, which the history shows.
func (p *Publisher) newSession() {
	if p.promised {
		p.Log.Fault(history.Session, p.ID, "the broker has lost a session after its PUBREC")
	}
	p.promised = false
	p.flights = slices.DeleteFunc(p.flights, func(f *flight) bool { return f.released })
}

// send sends the next packet of a flight.
func (p *Publisher) send(f *flight, again bool) error {
	if f.released {
		return p.link.send(fmt.Sprintf("PUBREL id=%d %v", f.packetID, f.ID), raw.Ack(raw.PUBREL, f.packetID))
	}
	packet := raw.Publish{Topic: f.Topic, Payload: f.Payload(), QoS: f.QoS, Dup: again, Retain: f.Retain, ID: f.packetID}
	text := fmt.Sprintf("PUBLISH id=%d %v %s qos=%d dup=%t retain=%t", f.packetID, f.ID, f.Topic, f.QoS, again, f.Retain)
	return p.link.send(text, packet.Bytes(p.Version))
}

// publish sends a new message, if allowed.
func (p *Publisher) publish() error {
	if p.Stage.Ending() || len(p.flights) >= p.Window || isSet(p.Idle) {
		return nil
	}
	p.number++
	f := &flight{packetID: p.freeID()}
	f.Message = history.Message{ID: history.ID{Publisher: p.ID, Number: p.number}, Retain: p.Retain, QoS: 1}
	f.Topic = p.Topics[p.Random.IntN(len(p.Topics))]
	if !p.Retain {
		f.QoS = byte(1 + p.Random.IntN(2))
	}
	p.flights = append(p.flights, f)
	p.Log.Send(f.Message)
	return p.send(f, false)
}

func isSet(b *atomic.Bool) bool { return b != nil && b.Load() }

// freeID returns an unused packet identifier. Identifiers wrap around soon, as in long-lived clients.
func (p *Publisher) freeID() int {
	for {
		p.lastID = p.lastID%(4*p.Window) + 1
		if p.find(p.lastID) < 0 {
			return p.lastID
		}
	}
}

func (p *Publisher) find(packetID int) int {
	return slices.IndexFunc(p.flights, func(f *flight) bool { return f.packetID == packetID })
}

// handle handles a packet, and reports whether the connection continues.
func (p *Publisher) handle(r *raw.Received) bool {
	switch r.Type {
	case raw.PUBACK, raw.PUBREC, raw.PUBCOMP:
	default:
		return p.link.handleCommon(r)
	}
	i := p.find(r.ID)
	if i < 0 || !p.flights[i].expects(r.Type) {
		p.Log.Fault(history.Protocol, p.ID, "unexpected %v", r)
		return true
	}
	f := p.flights[i]
	p.Log.Trace(p.ID, "< %v id=%d %v code=0x%02X", r.Type, r.ID, f.ID, r.Code)
	switch {
	case r.Code >= 0x80 && r.Type != raw.PUBCOMP:
		p.Log.Refuse(f.ID)
	case r.Type == raw.PUBREC:
		if !f.released {
			p.Log.Ack(f.ID)
		}
		f.released, p.promised = true, true
		return p.send(f, false) == nil
	case r.Type == raw.PUBACK:
		p.Log.Ack(f.ID)
	}
	p.flights = slices.Delete(p.flights, i, i+1)
	return true
}

// expects reports whether an answer fits. PUBREC may come again, for a resent message.
func (f *flight) expects(t raw.Type) bool {
	switch t {
	case raw.PUBACK:
		return f.QoS == 1
	case raw.PUBREC:
		return f.QoS == 2
	}
	return f.released
}
