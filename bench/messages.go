package bench

import (
	"errors"
	"time"
)

// startDelay is the delay before publishing begins, so that all workers are ready.
const startDelay = 20 * time.Millisecond

// runMessages lets publishers and subscribers exchange messages: fan-out, fan-in and pairs.
func (r *runner) runMessages() error {
	f := r.newFlow()
	if err := r.connectFlow(f); err != nil {
		return err
	}
	from := r.begin(f) + int64(r.opts.Warmup)
	f.from.Store(from)
	f.till.Store(from + int64(r.opts.Duration))
	if err := r.untilTime("warming up", from); err != nil {
		return err
	}
	return r.measure(f)
}

// begin starts publishing, and returns the start time.
func (r *runner) begin(f *flow) int64 {
	f.start = r.clock() + int64(startDelay)
	for i, w := range r.workers {
		w.do(func() { w.flow = f.shares[i] })
	}
	return f.start
}

func (r *runner) newFlow() *flow {
	f := &flow{plan: newPlan(&r.opts), run: r.id, solo: len(r.workers) == 1}
	f.from.Store(never)
	f.till.Store(never)
	if r.opts.Shared {
		f.groups = make([]set, len(f.streams))
	}
	for i := range r.opts.Publishers {
		w := i % len(r.workers)
		p := &publisher{flow: f, index: uint32(i), place: i / len(r.workers), worker: r.workers[w], missing: make([]int32, f.ring)}
		if r.opts.QoS > 0 {
			p.ids = newIdentifiers(r.opts.QoS, r.opts.InFlight)
		}
		f.publishers = append(f.publishers, p)
	}
	for i := range r.workers {
		f.shares = append(f.shares, newShare(f, i, len(r.workers)))
	}
	return f
}

// connectFlow connects the subscribers, and after their subscriptions the publishers.
func (r *runner) connectFlow(f *flow) error {
	clients := make([][]client, len(r.workers))
	for i := range r.opts.fastSubscribers() {
		w := i % len(r.workers)
		if r.opts.Shared {
			w = 0 // a group's tracker must see all of its messages
		}
		filter, topic := f.filter(i)
		clients[w] = append(clients[w], client{
			role: newSubscriber(f, f.shares[w], topic), number: r.opts.Publishers + i, filter: filter, qos: r.opts.SubscribeQoS,
		})
	}
	for i := range clients {
		r.add(i, clients[i])
	}
	if err := r.allUp(r.opts.fastSubscribers()); err != nil {
		return err
	}
	for i, share := range f.shares {
		var publishers []client
		for _, p := range share.publishers {
			publishers = append(publishers, client{role: p, number: int(p.index), made: func(c *conn) { p.conn = c }})
		}
		r.add(i, publishers)
	}
	return r.allUp(r.opts.fastSubscribers() + r.opts.Publishers)
}

// measure waits for the end of the measured time, and for the messages still in flight. An interruption ends
// publishing.
func (r *runner) measure(f *flow) error {
	r.meter.start()
	err := r.untilTime("measuring", f.till.Load())
	r.meter.stop()
	if err != nil {
		r.ending = true
		f.till.Store(max(r.clock(), f.from.Load()+1))
	}
	r.report.measured(f)
	return errors.Join(err, r.drain(f))
}

func (r *runner) untilTime(phase string, at int64) error {
	return r.pause(phase, time.Duration(at)-time.Since(r.start))
}

// drain waits until all sent messages have come, or until none has come for long.
func (r *runner) drain(f *flow) error {
	var last counters
	lastAt := time.Now()
	return r.until("waiting for the rest", func(n counters) bool {
		if n.received != last.received || n.acknowledged != last.acknowledged {
			last, lastAt = n, time.Now()
		}
		acknowledged := r.opts.QoS == 0 || n.acknowledged+n.rejected >= n.sent
		everything := n.finished == uint64(len(r.workers)) && n.received >= n.expected && acknowledged
		return everything || time.Since(lastAt) > r.opts.Drain
	})
}
