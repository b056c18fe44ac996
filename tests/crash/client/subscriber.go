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

// Role is what kind of subscriber one is.
type Role struct {
	Version    byte
	Filters    []history.Filter
	Group      string        // of a shared subscription; "": none
	From       int           // the round in which it first comes
	ReceiveMax int           // of MQTT 5; 0: as much as the broker likes
	Slow       time.Duration // acknowledges so much later at most
	Drops      int           // loses its connection after so many packets, on the average; 0: never
	Away       int           // stays away for so many rounds at most after it has lost its connection; 0: never
	Idle       *atomic.Bool  // while it is set, stays away once it has subscribed; nil: never
}

// Subscriber has a durable session and notes what arrives in it.
type Subscriber struct {
	Options
	Role   Role
	Random *rand.Rand

	link       *link
	subscribed bool               // SUBACK has come
	held       map[int]history.ID // QoS 2 messages that wait for PUBREL, by packet identifier
	answers    []answer           // that are still to be sent, in order
	settled    atomic.Int64       // see Settled
}

// answer is an acknowledgement that waits.
type answer struct {
	at     time.Time
	text   string
	packet []byte
}

// pingEvery is the time between two PINGREQ of a subscriber, once the stage ends.
const pingEvery = 100 * time.Millisecond

// Run subscribes and receives until ctx ends.
func (s *Subscriber) Run(ctx context.Context) {
	s.held = map[int]history.ID{}
	s.Stage.await(ctx, s.Role.From)
	for ctx.Err() == nil {
		link, err := s.connect(ctx, s.durable(s.Role.ReceiveMax))
		if err != nil {
			return
		}
		s.link, s.answers = link, nil
		s.talk(ctx)
		link.close()
		s.rest(ctx)
		pause(ctx, time.Duration(s.Random.Int64N(int64(rest))))
	}
}

// Settled is the last round in which the broker has answered a PINGREQ at the run's end, with nothing held: everything
// that it had for this session when the connection was made had been sent before.
func (s *Subscriber) Settled() int { return int(s.settled.Load()) }

func (s *Subscriber) idles() bool { return isSet(s.Role.Idle) && s.subscribed && !s.Stage.Ending() }

// rest stays away for some rounds, at times, or while it is to be idle.
func (s *Subscriber) rest(ctx context.Context) {
	for s.idles() && ctx.Err() == nil {
		pause(ctx, pingEvery)
	}
	if s.Role.Away == 0 || s.Stage.Ending() || s.Random.IntN(3) > 0 {
		return
	}
	rounds := 1 + s.Random.IntN(s.Role.Away)
	s.Log.Trace(s.ID, "  stays away for %d rounds", rounds)
	s.Stage.await(ctx, s.Stage.Round()+rounds)
}

func (s *Subscriber) talk(ctx context.Context) {
	if s.resume() != nil {
		return
	}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case p, open := <-s.link.packets:
			if !open || !s.handle(p) || s.drops() || s.answer() != nil {
				return
			}
		case <-due.C:
			if s.answer() != nil {
				return
			}
		case <-ping.C:
			if s.idles() {
				return
			}
			if s.Stage.Ending() && s.link.send("PINGREQ", raw.Plain(raw.PINGREQ)) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
		if len(s.answers) > 0 {
			due.Reset(time.Until(s.answers[0].at))
		}
	}
}

func (s *Subscriber) drops() bool {
	drops := s.Role.Drops > 0 && !s.Stage.Ending() && s.Random.IntN(s.Role.Drops) == 0
	if drops {
		s.Log.Trace(s.ID, "  drops its connection, with %d answers not sent", len(s.answers))
	}
	return drops
}

// resume goes on with the session that is there, or begins one.
func (s *Subscriber) resume() error {
	if s.link.Present && s.subscribed {
		return nil
	}
	if !s.link.Present {
		if s.subscribed {
			s.Log.Fault(history.Session, s.ID, "the session is gone, in which SUBACK was sent")
		}
		s.subscribed = false
		clear(s.held)
	}
	s.Log.Subscribe(s.ID, s.Role.Group, s.Role.Filters)
	packet := raw.Subscribe{ID: 1}
	for _, f := range s.Role.Filters {
		name := f.Name
		if s.Role.Group != "" {
			name = "$share/" + s.Role.Group + "/" + name
		}
		packet.Filters = append(packet.Filters, raw.Filter{Name: name, Options: f.QoS})
	}
	return s.link.send(fmt.Sprintf("SUBSCRIBE %v", packet.Filters), packet.Bytes(s.Version))
}

// handle handles a packet, and reports whether the connection may go on.
func (s *Subscriber) handle(p *raw.Received) bool {
	switch p.Type {
	case raw.PUBLISH:
		s.receive(p)
	case raw.PUBREL:
		id := s.held[p.ID]
		s.Log.Trace(s.ID, "< PUBREL id=%d %v", p.ID, id)
		delete(s.held, p.ID)
		s.later(raw.PUBCOMP, p.ID, id)
	case raw.SUBACK:
		return s.suback(p)
	case raw.PINGRESP:
		if len(s.held) == 0 && len(s.answers) == 0 {
			s.settled.Store(int64(s.link.Round))
		}
	default:
		return s.link.other(p)
	}
	return true
}

func (s *Subscriber) suback(p *raw.Received) bool {
	s.Log.Trace(s.ID, "< SUBACK % X", p.Codes)
	granted := slices.Clone(s.Role.Filters)
	for i, code := range p.Codes {
		if code > 2 {
			return false // it cannot be kept now; the next connection tries again
		}
		granted[i].QoS = code
	}
	s.subscribed = true
	s.Log.Subscribed(s.ID, granted)
	return true
}

// receive notes a message, unless it is one with QoS 2 that is held already [MQTT-4.3.3].
func (s *Subscriber) receive(p *raw.Received) {
	if p.QoS == 2 && s.holds(p) {
		return
	}
	id := s.Log.Receive(s.ID, history.Arrival{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain})
	s.Log.Trace(s.ID, "< PUBLISH id=%d %v %s qos=%d dup=%t retain=%t", p.ID, id, p.Topic, p.QoS, p.Dup, p.Retain)
	switch p.QoS {
	case 1:
		s.later(raw.PUBACK, p.ID, id)
	case 2:
		s.held[p.ID] = id
		s.later(raw.PUBREC, p.ID, id)
	}
}

// holds answers a message whose packet identifier is held.
func (s *Subscriber) holds(p *raw.Received) bool {
	id, held := s.held[p.ID]
	if !held {
		return false
	}
	s.Log.Trace(s.ID, "< PUBLISH id=%d %v %s qos=2 dup=%t, held", p.ID, id, p.Topic, p.Dup)
	if p.Payload != id.Payload() {
		s.Log.Fault(history.Protocol, s.ID, "packet identifier %d is %v's, and was used for %.40q before its PUBREL", p.ID, id, p.Payload)
	}
	s.later(raw.PUBREC, p.ID, id)
	return true
}

// later has an acknowledgement sent, after those before it.
func (s *Subscriber) later(t raw.Type, packetID int, id history.ID) {
	at := time.Now()
	if s.Role.Slow > 0 && !s.Stage.Ending() {
		at = at.Add(time.Duration(s.Random.Int64N(int64(s.Role.Slow))))
	}
	s.answers = append(s.answers, answer{at, fmt.Sprintf("%v id=%d %v", t, packetID, id), raw.Ack(t, packetID)})
}

// answer sends the acknowledgements that are due.
func (s *Subscriber) answer() error {
	for len(s.answers) > 0 && (s.Stage.Ending() || !time.Now().Before(s.answers[0].at)) {
		a := s.answers[0]
		s.answers = s.answers[1:]
		if err := s.link.send(a.text, a.packet); err != nil {
			return err
		}
	}
	return nil
}
