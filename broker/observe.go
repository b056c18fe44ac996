package broker

import (
	"context"
	"sync/atomic"
	"time"
)

// observedEvents is how many events wait for the observers before some are missed.
const observedEvents = 8192

// observers tells SessionObservers what happens, from one goroutine.
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

// tell queues an event, or counts it as missed.
func (o *observers) tell(e Event) {
	select {
	case o.events <- e:
	default:
		o.missed.Add(1)
	}
}

// run passes events on until ctx ends, and then what is still queued.
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

// observe tells of an event of a connection.
func (s *shard) observe(c *conn, kind EventKind, topic, reason string) {
	s.b.observers.tell(Event{
		Kind: kind, Time: time.Now(), ClientID: c.client.ID, User: c.client.Identity.User,
		Listener: c.listener, Remote: c.remote, Topic: topic, Reason: reason,
	})
}
