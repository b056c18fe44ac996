package bench

import "time"

// Between storms all clients are disconnected, or connected with Options.Reconnect or Dropped.

// storm is one worker's part of a storm.
type storm struct {
	armed bool  // all clients are connected: from now on, a dropped one reconnects in the storm
	began int64 // ns since the run began; 0: not yet
}

// stormer is a client that retries until it is connected.
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

// runStorm lets all clients connect and subscribe at once, in every round.
func (r *runner) runStorm() error {
	storms := make([]storm, len(r.workers))
	if err := r.createClients(storms); err != nil {
		return err
	}
	r.meter.start()
	defer r.meter.finish()
	for round := range r.opts.Rounds {
		began, err := r.startStorm(storms, round)
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
		if !r.opts.reconnects() {
			r.forEachConn(func(w *worker, c *conn) { w.leave(c) })
		}
		if err := r.pause("between storms", max(r.opts.Hold, settleTime)); err != nil {
			return err
		}
	}
	return nil
}

// reconnects reports whether the clients of the storm are connected before it.
func (o *Options) reconnects() bool { return o.Reconnect || o.Dropped }

// createClients creates the clients. With reconnects it connects them, a few at a time.
func (r *runner) createClients(storms []storm) error {
	if !r.opts.reconnects() {
		return nil
	}
	r.each(true, func(w *worker) role { return stormer{storm: &storms[w.number]} })
	return r.allUp(r.opts.Clients)
}

// startStorm starts a storm, and returns its start time.
func (r *runner) startStorm(storms []storm, round int) (began time.Duration, err error) {
	for i, w := range r.workers {
		w.do(func() { w.maxPending, w.opens, storms[i] = r.opts.Clients, pace{}, storm{armed: true} })
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
		r.forEachConn(func(w *worker, c *conn) {
			w.drop(c)
			w.opening = append(w.opening, c)
		})
	case round == 0:
		r.each(true, func(w *worker) role { return stormer{storm: &storms[w.number]} })
	default:
		r.forEachConn(func(w *worker, c *conn) { w.opening = append(w.opening, c) })
	}
	return began, nil
}

// dropped waits until the broker has dropped all clients, and returns the time of the first.
func (r *runner) dropped(storms []storm) (began time.Duration, err error) {
	before := r.exactTotals().lost
	want := before + uint64(r.opts.Clients)
	if err := r.until("waiting for the broker to drop all clients", func(n counters) bool { return n.lost >= want }); err != nil {
		return 0, err
	}
	first := never
	for i, w := range r.workers {
		w.do(func() { first = min(first, storms[i].began) })
	}
	return time.Duration(first), nil
}

// forEachConn calls do for every connection, on its worker.
func (r *runner) forEachConn(do func(w *worker, c *conn)) {
	for _, w := range r.workers {
		w.do(func() {
			for _, c := range w.conns {
				do(w, c)
			}
		})
	}
}

// drop closes a connection without DISCONNECT, like a network failure.
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
