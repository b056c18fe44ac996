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

// Role is a subscriber's behaviour.
type Role struct {
	Version    byte
	Filters    []history.Filter
	Group      string        // name of its shared subscription; "": none
	From       int           // first round
	ReceiveMax int           // receive maximum of MQTT 5; 0: absent
	Slow       time.Duration // maximum delay of acknowledgements
	Drops      int           // average number of packets before it breaks its connection; 0: never
	Away       int           // maximum rounds of absence after a broken connection; 0: none
	Idle       *atomic.Bool  // while set, stays away once it has subscribed; nil: never set
}

// Subscriber has a durable session and records its messages.
type Subscriber struct {
	Options
	Role   Role
	Random *rand.Rand

	link       *link
	subscribed bool               // SUBACK has come
	held       map[int]history.ID // QoS 2 messages that wait for PUBREL, by packet identifier
	answers    []answer           // unsent acknowledgements, in order
	settled    atomic.Int64       // see Settled
}

// answer is an unsent acknowledgement.
type answer struct {
	at     time.Time
	text   string
	packet []byte
}

// pingEvery is the interval between PINGREQs of a subscriber, once the stage ends.
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
		s.runConnection(ctx)
		link.close()
		s.stayAway(ctx)
		pause(ctx, time.Duration(s.Random.Int64N(int64(maxPause))))
	}
}

// Settled returns the last round in which the broker answered a PINGREQ at the run's end, with no QoS 2 message held:
// the broker had then sent everything that it had for this session at the start of the connection.
func (s *Subscriber) Settled() int { return int(s.settled.Load()) }

func (s *Subscriber) idles() bool { return isSet(s.Role.Idle) && s.subscribed && !s.Stage.Ending() }

// stayAway stays away for some rounds, at times, or while idle.
func (s *Subscriber) stayAway(ctx context.Context) {
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

func (s *Subscriber) runConnection(ctx context.Context) {
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

// resume resumes the session, or starts a new one.
func (s *Subscriber) resume() error {
	if s.link.Present && s.subscribed {
		return nil
	}
	if !s.link.Present {
		if s.subscribed {
			s.Log.Fault(history.Session, s.ID, "the broker has lost a session after its SUBACK")
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

// handle handles a packet, and reports whether the connection continues.
func (s *Subscriber) handle(p *raw.Received) bool {
	switch p.Type {
	case raw.PUBLISH:
		s.receive(p)
	case raw.PUBREL:
		id := s.held[p.ID]
		s.Log.Trace(s.ID, "< PUBREL id=%d %v", p.ID, id)
		delete(s.held, p.ID)
		s.queueAnswer(raw.PUBCOMP, p.ID, id)
	case raw.SUBACK:
		return s.suback(p)
	case raw.PINGRESP:
		if len(s.held) == 0 && len(s.answers) == 0 {
			s.settled.Store(int64(s.link.Round))
		}
	default:
		return s.link.handleCommon(p)
	}
	return true
}

func (s *Subscriber) suback(p *raw.Received) bool {
	s.Log.Trace(s.ID, "< SUBACK % X", p.Codes)
	granted := slices.Clone(s.Role.Filters)
	for i, code := range p.Codes {
		if code > 2 {
			return false // it cannot be stored now; the next connection tries again
		}
		granted[i].QoS = code
	}
	s.subscribed = true
	s.Log.Subscribed(s.ID, granted)
	return true
}

// receive records a message, unless it is a QoS 2 message that is held already [MQTT-4.3.3].
func (s *Subscriber) receive(p *raw.Received) {
	if p.QoS == 2 && s.answerHeld(p) {
		return
	}
	id := s.Log.Receive(s.ID, history.Arrival{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain})
	s.Log.Trace(s.ID, "< PUBLISH id=%d %v %s qos=%d dup=%t retain=%t", p.ID, id, p.Topic, p.QoS, p.Dup, p.Retain)
	switch p.QoS {
	case 1:
		s.queueAnswer(raw.PUBACK, p.ID, id)
	case 2:
		s.held[p.ID] = id
		s.queueAnswer(raw.PUBREC, p.ID, id)
	}
}

// answerHeld answers a message whose packet identifier is held.
func (s *Subscriber) answerHeld(p *raw.Received) bool {
	id, held := s.held[p.ID]
	if !held {
		return false
	}
	s.Log.Trace(s.ID, "< PUBLISH id=%d %v %s qos=2 dup=%t, held", p.ID, id, p.Topic, p.Dup)
	if p.Payload != id.Payload() {
		s.Log.Fault(history.Protocol, s.ID, "packet identifier %d is %v's, and was used for %.40q before its PUBREL", p.ID, id, p.Payload)
	}
	s.queueAnswer(raw.PUBREC, p.ID, id)
	return true
}

// queueAnswer queues an acknowledgement.
func (s *Subscriber) queueAnswer(t raw.Type, packetID int, id history.ID) {
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
