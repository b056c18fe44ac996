package bench

import (
	"bytes"
	"time"
)

// filling is one worker's part of publishing retained messages, one per topic, or of removing them.
type filling struct {
	fillers []*filler
	clear   bool
}

// filler is a client that publishes retained messages to every step-th topic.
type filler struct {
	idler
	opts *Options
	conn *conn
	ids  identifiers
	next int // topic
	step int
}

// fillQoS makes the broker acknowledge that it has a retained message.
const fillQoS = 1

func (f *filling) publish(w *worker) {
	for _, p := range f.fillers {
		p.publish(w, f.clear)
	}
}

func (p *filler) publish(w *worker, clear bool) {
	c := p.conn
	if c.state != up {
		return
	}
	limit := min(p.opts.InFlight, c.receiveMaximum)
	for p.next < p.opts.Topics && p.ids.taken < limit && len(c.pending) == 0 {
		p.bufferNext(w, clear)
		if len(w.out) >= flushAt && !w.flush(c) {
			return
		}
	}
	w.flush(c)
}

func (p *filler) bufferNext(w *worker, clear bool) {
	topic, size := w.topic(p.next), p.opts.Payload
	if clear {
		size = 0
	}
	whole, remaining := publishLen(p.opts.Version, len(topic), size, fillQoS)
	b := w.begin(p.conn, whole)
	payload := putPublish(b, p.opts.Version, topic, fillQoS, true, p.ids.take(w.now), remaining)
	if !clear {
		header{stamp: w.now, run: w.run.id, stream: uint32(p.next)}.put(payload)
		copy(payload[headerSize:], w.run.filler)
	}
	w.end(p.conn, b)
	p.next += p.step
	w.n.sent++
}

func (p *filler) acknowledged(w *worker, c *conn, kind byte, id uint16, code byte) {
	if sent, final := p.ids.answer(w, c, kind, id, code); final {
		w.acks.record(w.now - sent)
	}
}

// topic returns the name of a topic, valid until the next call.
func (w *worker) topic(t int) []byte {
	w.scratch = w.opts.appendTopic(w.scratch[:0], t)
	return w.scratch
}

// replayer is a client that expects every retained message once.
type replayer struct {
	idler
	opts  *Options
	came  set
	count int
}

func (s *replayer) message(w *worker, c *conn, p *publication) {
	h, ok := readHeader(p.payload)
	switch {
	case !ok || !p.retain || h.run != w.run.id || int(h.stream) >= s.opts.Topics:
		w.n.foreign++
		return
	case !bytes.Equal(p.topic, w.topic(int(h.stream))):
		w.n.misrouted++
		return
	case !s.came.add(h.stream):
		w.n.duplicated++
		return
	}
	if len(p.payload) != s.opts.Payload || !bytes.Equal(p.payload[headerSize:], w.run.filler) {
		w.n.corrupted++
	}
	w.n.received++
	if s.count++; s.count == s.opts.Topics {
		w.n.done++
		w.everything.record(w.now - c.asked)
	}
}

// runRetained publishes retained messages, measures their delivery to new subscribers, and removes them.
func (r *runner) runRetained() error {
	r.connectFillers()
	if err := r.allUp(r.opts.Publishers); err != nil {
		return err
	}
	began := time.Now()
	if err := r.fill(false); err != nil {
		return err
	}
	r.report.Fill = &Fill{Messages: r.opts.Topics, Seconds: time.Since(began).Seconds()}
	if err := r.pause("settling", settleTime); err != nil {
		return err
	}
	r.meter.memory()
	r.report.Fill.Memory = r.meter.after - min(r.meter.after, r.meter.idle)
	if err := r.replay(); err != nil || r.opts.Keep {
		return err
	}
	return r.fill(true)
}

func (r *runner) connectFillers() {
	for i := range r.opts.Publishers {
		w := r.workers[i%len(r.workers)]
		p := &filler{opts: &r.opts, step: r.opts.Publishers, ids: newIdentifiers(fillQoS, r.opts.InFlight)}
		p.next = r.opts.Topics // no replay yet
		r.add(i%len(r.workers), []client{{role: p, number: i, made: func(c *conn) {
			if p.conn = c; w.filler == nil {
				w.filler = &filling{}
			}
			w.filler.fillers = append(w.filler.fillers, p)
		}}})
	}
}

// fill publishes to every topic, and waits for all acknowledgements.
func (r *runner) fill(clear bool) error {
	phase := "filling"
	if clear {
		phase = "clearing"
	}
	before := r.exactTotals()
	for _, w := range r.workers {
		w.do(func() {
			if w.filler == nil {
				return
			}
			w.filler.clear = clear
			for _, p := range w.filler.fillers {
				p.next = p.conn.client
			}
		})
	}
	want := uint64(r.opts.Topics)
	return r.waitOrStall(phase, func(n counters) uint64 { return n.acknowledged - before.acknowledged }, want)
}

// replay connects the subscribers and waits for their messages.
func (r *runner) replay() error {
	clients := make([][]client, len(r.workers))
	for i := range r.opts.Subscribers {
		w := i % len(r.workers)
		clients[w] = append(clients[w], client{
			role: &replayer{opts: &r.opts}, number: r.opts.Publishers + i, filter: r.opts.Prefix + "/#", qos: r.opts.SubscribeQoS,
		})
	}
	r.meter.start()
	for i := range clients {
		r.add(i, clients[i])
	}
	want := uint64(r.opts.Topics) * uint64(r.opts.Subscribers)
	err := r.waitOrStall("replaying", func(n counters) uint64 { return n.received }, want)
	r.meter.stop()
	r.report.replaying(r, want)
	return err
}

// waitOrStall waits until a count reaches want, or has not grown for long: the rest is lost.
func (r *runner) waitOrStall(phase string, count func(counters) uint64, want uint64) error {
	last, lastAt := uint64(0), time.Now()
	return r.until(phase, func(n counters) bool {
		if now := count(n); now != last {
			last, lastAt = now, time.Now()
		}
		return last >= want || time.Since(lastAt) > r.opts.Drain
	})
}
