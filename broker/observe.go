package broker

import (
	"context"
	"sync/atomic"
	"time"
)

// observedEvents is the largest number of events that wait for the observers. Further events are missed.
const observedEvents = 8192

// observers passes events to the SessionObservers, from one goroutine.
type observers struct {
	all    []SessionObserver
	events chan Event
	missed atomic.Uint64
}

func newObservers(all []SessionObserver) *observers {
	if len(all) == 0 {
		return nil
	}
	return &observers{all: all, events: make(chan Event, observedEvents)}
}

// tell queues an event, or counts it as missed if the queue is full.
func (o *observers) tell(e Event) {
	select {
	case o.events <- e:
	default:
		o.missed.Add(1)
	}
}

// run passes events on until ctx ends, and then the events still queued.
func (o *observers) run(ctx context.Context) {
	for {
		select {
		case e := <-o.events:
			o.pass(e)
			continue
		case <-ctx.Done():
		}
		for {
			select {
			case e := <-o.events:
				o.pass(e)
			default:
				return
			}
		}
	}
}

func (o *observers) pass(e Event) {
	for _, each := range o.all {
		each.Observe(e)
	}
}

func (s *shard) observe(c *conn, kind EventKind, topic, reason string) {
	s.b.hooks.observers.tell(Event{
		Kind: kind, Time: time.Now(), ClientID: c.identity.client.ID, User: c.identity.client.Identity.User,
		Listener: c.listener, Remote: c.remote, Topic: topic, Reason: reason,
	})
}
