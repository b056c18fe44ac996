package bench

// A slow subscriber is like a dashboard behind a modem: its socket is read a few bytes at a time, and its kernel keeps
// little, so that what it has not read waits with the broker.

// slowSubscriber checks that what it is sent of a topic is always newer than what it was sent before. It belongs to a
// worker.
type slowSubscriber struct {
	idler
	flow *flow
	next []uint32 // by stream: the least number that may come
}

func (s *slowSubscriber) up(w *worker, c *conn) {
	c.slow = true
	w.slow.conns = append(w.slow.conns, c)
	if err := w.poller.Change(c.fd, c.token(), c.interest()); err != nil {
		w.note(err.Error())
	}
}

func (s *slowSubscriber) message(w *worker, _ *conn, p *publication) {
	f := s.flow
	h, ok := w.headerOf(f, p.payload)
	if !ok {
		return
	}
	next := &s.next[h.stream]
	switch {
	case h.number+1 == *next:
		w.n.duplicated++
		return
	case h.number < *next:
		w.n.reordered++
		return
	case *next > 0:
		w.n.skipped += uint64(h.number - *next)
	}
	*next = h.number + 1
	w.n.slowReceived++
	if f.within(w.now) {
		w.age.record(w.now - h.stamp)
	}
}

// sipEvery is how often slow subscribers are read.
// mostSip is the longest time whose bytes are read at once, when the machine is busy: what is not read in time does not add up.
const (
	sipEvery = 20 * 1000 * 1000  // ns
	mostSip  = 250 * 1000 * 1000 // ns
)

// slowReaders are a worker's connections that are read at a pace.
type slowReaders struct {
	conns []*conn
	last  int64 // ns since the run began
}

// read reads what each may read since it was read last, and returns when the next turn is.
func (s *slowReaders) read(w *worker) (wake int64) {
	if len(s.conns) == 0 {
		return never
	}
	passed := w.now - s.last
	if passed < sipEvery {
		return s.last + sipEvery
	}
	s.last = w.now
	budget := int(float64(w.opts.SlowRate) * float64(min(passed, mostSip)) / 1e9)
	for _, c := range s.conns {
		if c.state != closed {
			w.sip(c, max(budget, 1))
		}
	}
	return w.now + sipEvery
}

// sip reads at most n bytes, and handles them.
func (w *worker) sip(c *conn, n int) {
	for n > 0 && c.state != closed {
		got, again, err := w.readSome(c, w.in[:min(n, len(w.in))])
		if again {
			break
		}
		if err == nil {
			w.now = w.clock()
			err = w.take(c, w.in[:got])
		}
		if err != nil {
			w.out = w.out[:0]
			w.lose(c, err)
			return
		}
		n -= got
	}
	if c.state != closed {
		w.flush(c)
	}
}

// runSlow measures what subscribers get without the slow ones, and then with them.
func (r *runner) runSlow() error {
	f := r.newFlow()
	if err := r.connectFlow(f); err != nil {
		return err
	}
	calm := int64(lead) + r.clock() + int64(r.opts.Warmup)
	f.calm = [2]int64{calm, calm + int64(r.opts.Duration)}
	r.begin(f)
	if err := r.untilTime("warming up", f.calm[0]); err != nil {
		return err
	}
	if err := r.untilTime("measuring without the slow", f.calm[1]); err != nil {
		return err
	}
	r.meter.memory()
	r.report.Slow.Memory = r.meter.after
	if err := r.connectSlow(f); err != nil {
		return err
	}
	from := r.clock()
	f.from.Store(from)
	f.till.Store(from + int64(r.opts.Duration))
	return r.measure(f)
}

// connectSlow connects the slow subscribers.
func (r *runner) connectSlow(f *flow) error {
	clients := make([][]client, len(r.workers))
	for i := range r.opts.Slow {
		w := i % len(r.workers)
		filter, _ := f.filter(i)
		clients[w] = append(clients[w], client{
			role:   &slowSubscriber{flow: f, next: make([]uint32, len(f.streams))},
			number: r.opts.Publishers + r.opts.quick() + i, filter: filter, qos: r.opts.SubscribeQoS, buffer: r.opts.SlowBuffer,
		})
	}
	for i := range clients {
		r.add(i, clients[i])
	}
	return r.allUp(r.opts.Publishers + r.opts.Subscribers)
}
