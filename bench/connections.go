package bench

import (
	"strconv"
	"time"
)

// idler is a client that does nothing.
type idler struct{}

func (idler) up(*worker, *conn) {}

func (idler) message(w *worker, _ *conn, _ *publication) { w.n.foreign++ }

func (idler) acknowledged(w *worker, _ *conn, _ byte, _ uint16, _ byte) { w.n.rejected++ }

func (idler) down(*worker, *conn) {}

// settleTime is the pause before the broker's memory is read.
const settleTime = 500 * time.Millisecond

// each creates r.opts.Clients clients and assigns them to the workers in turn.
func (r *runner) each(subscribe bool, role func(w *worker) role) {
	clients := make([][]client, len(r.workers))
	for i := range r.opts.Clients {
		w := i % len(r.workers)
		cl := client{role: role(r.workers[w]), number: i, qos: r.opts.SubscribeQoS}
		if subscribe {
			cl.filter = r.opts.Prefix + "/" + strconv.Itoa(i)
		}
		clients[w] = append(clients[w], cl)
	}
	for i := range clients {
		r.add(i, clients[i])
	}
}

// runConns opens connections and holds them.
func (r *runner) runConns() error {
	r.meter.start()
	r.each(r.opts.Subscribe, func(*worker) role { return idler{} })
	err := r.allUp(r.opts.Clients)
	r.meter.stop()
	r.report.connecting(r)
	if err != nil {
		return err
	}
	if err := r.pause("settling", settleTime); err != nil {
		return err
	}
	r.meter.memory()
	if r.opts.Hold == 0 {
		return nil
	}
	r.meter.start()
	err = r.pause("holding", r.opts.Hold)
	r.meter.stop()
	r.report.holding(r)
	return err
}

// churner is a client that connects, subscribes, disconnects and starts again.
type churner struct {
	idler
	till *int64
}

func (ch churner) up(w *worker, c *conn) {
	w.n.done++
	w.everything.record(w.now - c.dialed)
	w.leave(c)
	ch.down(w, c)
}

func (ch churner) down(w *worker, c *conn) {
	if w.now < *ch.till {
		w.opening = append(w.opening, c)
	}
}

// runChurn runs churners for the measured time.
func (r *runner) runChurn() error {
	till := int64(time.Since(r.start) + r.opts.Duration)
	r.meter.start()
	r.each(true, func(*worker) role { return churner{till: &till} })
	err := r.untilTime("churning", till)
	r.meter.stop()
	r.report.churning(r)
	return err
}
