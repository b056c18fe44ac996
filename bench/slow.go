package bench

// A slow subscriber is like a dashboard behind a modem: its socket is read a few bytes at a time, and its kernel
// buffer is small, so that unread messages wait in the broker.

// slowSubscriber checks that the messages of a topic are always newer than the one before. It belongs to a worker.
type slowSubscriber struct {
	idler
	flow *flow
	next []uint32 // by stream: the lowest number that may come
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

// slowReadInterval is the interval between reads of slow subscribers. maxSlowRead bounds the time whose bytes are read at once
// after a delay, so that late reads do not add up.
const (
	slowReadInterval = 20 * 1000 * 1000  // ns
	maxSlowRead      = 250 * 1000 * 1000 // ns
)

// slowReaders are a worker's connections that are read at a limited rate.
type slowReaders struct {
	conns []*conn
	last  int64 // ns since the run began
}

// read reads each connection's share since the last call, and returns the time of the next.
func (s *slowReaders) read(w *worker) (wake int64) {
	if len(s.conns) == 0 {
		return never
	}
	passed := w.now - s.last
	if passed < slowReadInterval {
		return s.last + slowReadInterval
	}
	s.last = w.now
	budget := int(float64(w.opts.SlowRate) * float64(min(passed, maxSlowRead)) / 1e9)
	for _, c := range s.conns {
		if c.state != closed {
			w.readAtMost(c, max(budget, 1))
		}
	}
	return w.now + slowReadInterval
}

// readAtMost reads and handles at most n bytes.
func (w *worker) readAtMost(c *conn, n int) {
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

// runSlow measures the other subscribers without the slow ones, and then with them.
func (r *runner) runSlow() error {
	f := r.newFlow()
	if err := r.connectFlow(f); err != nil {
		return err
	}
	calm := int64(startDelay) + r.clock() + int64(r.opts.Warmup)
	f.calm = [2]int64{calm, calm + int64(r.opts.Duration)}
	r.begin(f)
	if err := r.untilTime("warming up", f.calm[0]); err != nil {
		return err
	}
	if err := r.untilTime("measuring without the slow subscribers", f.calm[1]); err != nil {
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
			number: r.opts.Publishers + r.opts.fastSubscribers() + i, filter: filter, qos: r.opts.SubscribeQoS, buffer: r.opts.SlowBuffer,
		})
	}
	for i := range clients {
		r.add(i, clients[i])
	}
	return r.allUp(r.opts.Publishers + r.opts.Subscribers)
}
