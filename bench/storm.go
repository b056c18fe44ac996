package bench

import "time"

// Between storms everybody is away, or, if the storm is of those who come back, connected.

// storm is one worker's part of a storm.
type storm struct {
	armed bool  // everybody is there: who is dropped from now on comes back in the storm
	began int64 // ns since the run began; 0: not yet
}

// stormer is a client that comes back until it is in.
type stormer struct {
	idler
	storm *storm
}

func (s stormer) up(w *worker, _ *conn) {
	if s.storm.began == 0 {
		return
	}
	w.n.done++
	w.everything.record(w.now - s.storm.began)
}

func (s stormer) down(w *worker, c *conn) {
	if s.storm.armed && s.storm.began == 0 {
		s.storm.began = w.now
	}
	w.retries = append(w.retries, retry{c, w.now + int64(w.opts.Retry)})
}

// runStorm lets everybody connect and subscribe at once, as often as there are rounds.
func (r *runner) runStorm() error {
	storms := make([]storm, len(r.workers))
	if err := r.gather(storms); err != nil {
		return err
	}
	r.meter.start()
	defer r.meter.finish()
	for round := range r.opts.Rounds {
		began, err := r.unleash(storms, round)
		if err != nil {
			return err
		}
		want := uint64(r.opts.Clients * (round + 1))
		if err := r.until("storm", func(n counters) bool { return n.done >= want }); err != nil {
			return err
		}
		r.report.Rounds = append(r.report.Rounds, (time.Since(r.start) - began).Seconds())
		if round == r.opts.Rounds-1 {
			return nil
		}
		if !r.opts.comeBack() {
			r.everyone(func(w *worker, c *conn) { w.leave(c) })
		}
		if err := r.pause("between storms", max(r.opts.Hold, settle)); err != nil {
			return err
		}
	}
	return nil
}

// comeBack tells that the storm is of clients that were connected before.
func (o *Options) comeBack() bool { return o.Reconnect || o.Dropped }

// gather makes the clients. Those who are to come back it connects, a few at a time.
func (r *runner) gather(storms []storm) error {
	if !r.opts.comeBack() {
		return nil
	}
	r.each(true, func(w *worker) role { return stormer{storm: &storms[w.number]} })
	return r.allUp(r.opts.Clients)
}

// unleash begins a storm, and returns when it began.
func (r *runner) unleash(storms []storm, round int) (began time.Duration, err error) {
	for i, w := range r.workers {
		w.do(func() { w.most, w.opens, storms[i] = r.opts.Clients, pace{}, storm{armed: true} })
	}
	if r.opts.Dropped {
		return r.dropped(storms)
	}
	began = time.Since(r.start)
	for i, w := range r.workers {
		w.do(func() { storms[i].began = int64(began) })
	}
	switch {
	case r.opts.Reconnect:
		r.everyone(func(w *worker, c *conn) {
			w.drop(c)
			w.opening = append(w.opening, c)
		})
	case round == 0:
		r.each(true, func(w *worker) role { return stormer{storm: &storms[w.number]} })
	default:
		r.everyone(func(w *worker, c *conn) { w.opening = append(w.opening, c) })
	}
	return began, nil
}

// dropped waits until the broker has dropped everybody, and returns when it began to.
func (r *runner) dropped(storms []storm) (began time.Duration, err error) {
	before := r.exactTotals().lost
	want := before + uint64(r.opts.Clients)
	if err := r.until("waiting for the broker to drop everybody", func(n counters) bool { return n.lost >= want }); err != nil {
		return 0, err
	}
	first := never
	for i, w := range r.workers {
		w.do(func() { first = min(first, storms[i].began) })
	}
	return time.Duration(first), nil
}

// everyone has something done with every connection.
func (r *runner) everyone(do func(w *worker, c *conn)) {
	for _, w := range r.workers {
		w.do(func() {
			for _, c := range w.conns {
				do(w, c)
			}
		})
	}
}

// drop closes a connection without a word, as one whose network has gone.
func (w *worker) drop(c *conn) {
	switch c.state {
	case closed:
	case up:
		w.n.up--
	default:
		w.pending--
	}
	w.close(c)
}
