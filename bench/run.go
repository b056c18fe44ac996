// Package bench loads any MQTT broker, checks its deliveries, and measures throughput, latency, and the processor
// time and memory of the broker's process. It is a client over real connections and knows nothing of the broker under
// test; of this module's engine it uses only the poller.
//
// A few workers, one by default, each own many non-blocking sockets: a goroutine on a thread of its own with one
// poller, so that the generator costs little beside the broker. Nothing is allocated per message.
//
// Each message carries the time when it was due, its stream (a publisher and a topic) and its number within the
// stream. From these a subscriber detects lost, duplicate, reordered and misrouted messages. See header.
package bench

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ErrUnsupported is returned on systems other than Linux. The broker may be anywhere.
var ErrUnsupported = errors.New("the bench needs Linux; run it there, the broker may be anywhere")

// ErrInterrupted is Run's error, with the results until then, when its context ends.
var ErrInterrupted = errors.New("interrupted")

// runner is a run of the bench.
type runner struct {
	ctx     context.Context
	ending  bool // the context has ended: only messages and connections in flight are awaited
	opts    Options
	id      uint16 // distinguishes this run's messages from others'
	start   time.Time
	to      *destination
	tls     *tls.Config
	upgrade upgrade
	filler  []byte // of payloads, after the header
	workers []*worker
	loops   sync.WaitGroup
	dialers sync.WaitGroup
	dials   atomic.Uint64
	meter   meter
	report  *Report

	lastShown time.Time
	lastCount uint64
}

// Run runs a scenario. The error is the reason why it could not be completed; the broker's failures are in the
// report, see Report.Failures. When ctx ends Run returns ErrInterrupted and the results until then, or only ctx's
// cause if there are none yet.
func Run(ctx context.Context, o Options) (*Report, error) {
	if !supported {
		return nil, ErrUnsupported
	}
	r, err := newRunner(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := r.startWorkers(); err != nil {
		return nil, err
	}
	err = r.runScenario()
	interrupted := err != nil && ctx.Err() != nil && r.meter.began()
	if interrupted {
		r.meter.finish()
		err = fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
	}
	r.stop()
	if err != nil && !interrupted {
		return nil, errors.Join(err, r.notes())
	}
	r.report.Interrupted = interrupted
	r.report.finish(r)
	return r.report, err
}

func newRunner(ctx context.Context, o Options) (*runner, error) {
	var id [2]byte
	_, _ = rand.Read(id[:]) // never fails
	if o.Prefix == "" {
		if o.Prefix = "bench-" + strings.ToLower(rand.Text()[:6]); o.Scenario == Slow {
			o.Prefix = "ticker/" + o.Prefix
		}
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &runner{ctx: ctx, opts: o, id: binary.LittleEndian.Uint16(id[:]), start: time.Now(), meter: meter{pid: o.PID}}
	r.lastShown = r.start
	if err := r.enoughDescriptors(); err != nil {
		return nil, err
	}
	if r.to, err = newDestination(&r.opts); err != nil {
		return nil, err
	}
	if o.webSocket() {
		r.upgrade = newUpgrade(o.URL, o.subprotocol())
	}
	r.tls = clientTLS(&o)
	r.filler = make([]byte, o.Payload-headerSize)
	fill(r.filler)
	r.report = newReport(&r.opts)
	return r, r.meter.open()
}

func clientTLS(o *Options) *tls.Config {
	c := o.TLS.Clone()
	if c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if host, _, err := net.SplitHostPort(o.URL.Host); err == nil && c.ServerName == "" {
		c.ServerName = host
	}
	return c
}

// enoughDescriptors checks the limit of open files before the run.
func (r *runner) enoughDescriptors() error {
	const others = 64
	need := uint64(r.opts.Clients)
	if r.opts.messages() || r.opts.Scenario == Retained {
		need = uint64(r.opts.Publishers + r.opts.Subscribers)
	}
	if have := descriptors(); need+others > have {
		return fmt.Errorf("%d connections need more than the %d open files that this process may have; raise the limit (ulimit -n %d) or ask for fewer",
			need, have, need+others)
	}
	return nil
}

func (r *runner) startWorkers() error {
	// A napping worker holds its processor; others need some as well.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), r.opts.Threads+2))
	for i := range r.opts.Threads {
		w, err := newWorker(r, i)
		if err != nil {
			r.stop()
			return err
		}
		r.workers = append(r.workers, w)
		r.loops.Go(w.loop)
	}
	return nil
}

// stop ends the workers and waits for them.
func (r *runner) stop() {
	for _, w := range r.workers {
		w.post(func() {
			for _, c := range w.conns {
				w.leave(c)
			}
			w.ended = true
		})
	}
	r.loops.Wait()
	r.dialers.Wait()
}

func (r *runner) runScenario() error {
	switch r.opts.Scenario {
	case Conns:
		return r.runConns()
	case Fanout, Fanin, Pairs:
		return r.runMessages()
	case Slow:
		return r.runSlow()
	case Retained:
		return r.runRetained()
	case Storm:
		return r.runStorm()
	case Churn:
		return r.runChurn()
	}
	return fmt.Errorf("scenario %q: want conns, fanout, fanin, pairs, slow, retained, storm or churn", r.opts.Scenario)
}

// client is a connection to make.
type client struct {
	role   role
	number int
	filter string
	qos    int
	buffer int         // as in conn
	made   func(*conn) // called with the connection; may be nil
}

// add gives a worker clients to connect.
func (r *runner) add(worker int, clients []client) {
	w := r.workers[worker]
	w.do(func() {
		w.opens = newPace(w.clock(), r.opts.ConnectRate/float64(len(r.workers)))
		for _, cl := range clients {
			c := &conn{role: cl.role, client: cl.number, filter: cl.filter, qos: cl.qos, buffer: cl.buffer, index: len(w.conns), fd: -1}
			if cl.made != nil {
				cl.made(c)
			}
			w.conns = append(w.conns, c)
			w.opening = append(w.opening, c)
		}
	})
}

// totals returns the counters of all workers.
func (r *runner) totals() (n counters) {
	for _, w := range r.workers {
		n.add(w.progress())
	}
	return n
}

// clock returns the time since the run began, as on its workers.
func (r *runner) clock() int64 { return int64(time.Since(r.start)) }

// exactTotals is totals as of now, not as of the workers' last turns.
func (r *runner) exactTotals() (n counters) {
	for _, w := range r.workers {
		w.do(func() { n.add(w.n) })
	}
	return n
}

// pollInterval is the interval at which conditions are checked.
const pollInterval = 5 * time.Millisecond

// until waits until a condition holds, and shows progress.
func (r *runner) until(phase string, holds func(counters) bool) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		n := r.totals()
		r.meter.look()
		r.show(phase, n)
		if holds(n) {
			return nil
		}
		if r.ending {
			<-tick.C
			continue
		}
		select {
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		case <-tick.C:
		}
	}
}

// pause waits for d, and shows progress.
func (r *runner) pause(phase string, d time.Duration) error {
	end := time.Now().Add(d)
	return r.until(phase, func(counters) bool { return !time.Now().Before(end) })
}

// allUp waits until want connections are ready. It fails if some cannot be made.
func (r *runner) allUp(want int) error {
	var last counters
	err := r.until("connecting", func(n counters) bool {
		last = n
		return n.up >= int64(want) || n.failed+n.lost > 0
	})
	if err == nil && last.up < int64(want) {
		return fmt.Errorf("cannot connect all clients to %s: %d connections were made, %d failed, %d were lost",
			r.opts.URL.Redacted(), last.opened, last.failed, last.lost)
	}
	return err
}

// show reports progress about once a second.
func (r *runner) show(phase string, n counters) {
	took := time.Since(r.lastShown)
	if r.opts.Progress == nil || took < time.Second {
		return
	}
	count := n.received
	if count == 0 {
		count = n.opened
	}
	r.opts.Progress(Progress{
		Phase: phase, Connected: int(n.up), Sent: n.sent, Received: n.received,
		Rate: float64(count-min(count, r.lastCount)) / took.Seconds(),
	})
	r.lastShown, r.lastCount = time.Now(), count
}

// notes returns the workers' notes as an error; nil if there are none. They have ended.
func (r *runner) notes() error {
	all := map[string]error{}
	for _, w := range r.workers {
		maps.Copy(all, w.noted)
	}
	var errs []error
	for _, text := range slices.Sorted(maps.Keys(all)) {
		errs = append(errs, all[text])
	}
	return errors.Join(errs...)
}

// merged merges a histogram of all workers, which have ended.
func (r *runner) merged(which func(*worker) *histogram) *Latency {
	sum := &histogram{}
	for _, w := range r.workers {
		sum.add(which(w))
	}
	return sum.summary()
}
