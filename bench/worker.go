package bench

import (
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/outcry-mqtt/outcry/internal/poller"
)

// readBuffer is the size of a read, in bytes.
const readBuffer = 64 << 10

// alarmToken marks the worker's alarm among the poller's events; connections have small indexes.
const alarmToken = 1<<64 - 2

// worker owns a share of the connections: only it touches them, on a thread of its own.
type worker struct {
	// Static after construction.
	run     *runner
	opts    *Options
	to      *destination
	poller  *poller.Poller
	dialect dialect // nil: MQTT
	opcode  byte    // of WebSocket messages
	alarm   *alarm
	number  int
	start   time.Time

	// Owned by the loop.
	conns      []*conn
	now        int64 // ns since the run began, as of the last poll
	in, out    []byte
	scratch    []byte
	incoming   publication // the message being handled
	spares     [][]byte
	key        uint32 // of the last WebSocket frame
	pending    int    // connections being made
	maxPending int    // maximum of pending
	opening    []*conn
	opens      pace
	retries    []retry // in the order of their times
	slow       slowReaders
	lastScan   int64
	flow       *share // of the exchanged messages; nil: none
	filler     *filling
	napping    bool // the last wait found less than the poller can report at once
	ended      bool
	noted      map[string]error

	n                                 counters
	connects, ready                   histogram // to CONNACK, and until ready
	latency, acks, behind, everything histogram
	calm, age                         histogram // without the slow subscribers, and at these

	// Guarded by mu.
	mu     sync.Mutex
	posted []func()
	shared counters
}

// retry is a connection to make again.
type retry struct {
	conn *conn
	at   int64
}

func newWorker(r *runner, number int) (*worker, error) {
	p, err := poller.New()
	if err != nil {
		return nil, err
	}
	a, err := newAlarm()
	if err == nil {
		err = p.Add(a.fd, alarmToken, poller.Read)
	}
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	w := &worker{
		run: r, opts: &r.opts, to: r.to, dialect: newDialect(r.opts.Dialect), opcode: opBinary, poller: p, alarm: a, number: number, start: r.start, key: uint32(r.id) | 1,
		in: make([]byte, readBuffer), out: make([]byte, 0, 2*flushAt), noted: map[string]error{},
		maxPending: max(r.opts.Pending/r.opts.Threads, 1),
	}
	if w.dialect != nil {
		w.opcode = w.dialect.opcode()
	}
	return w, nil
}

// clock returns the time since the run began.
func (w *worker) clock() int64 { return int64(time.Since(w.start)) }

// post makes the worker call f in its loop. It is safe for concurrent use.
func (w *worker) post(f func()) {
	w.mu.Lock()
	w.posted = append(w.posted, f)
	w.mu.Unlock()
	w.poller.Wake()
}

// do makes the worker call f and waits for it.
func (w *worker) do(f func()) {
	done := make(chan struct{})
	w.post(func() {
		f()
		close(done)
	})
	<-done
}

// progress returns the worker's counters as of its last turn.
func (w *worker) progress() counters {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shared
}

// loop runs until stop.
func (w *worker) loop() {
	runtime.LockOSThread() // never unlocked: the thread ends with its timer slack
	exactTimers()
	for !w.ended {
		w.poller.Prepare()
		w.now = w.clock()
		w.takePosts()
		wake := w.turn()
		for _, e := range w.wait(wake) {
			w.event(e)
		}
	}
	for _, c := range w.conns {
		if c.state != closed {
			w.close(c)
		}
	}
	closeFD(w.alarm.fd)
	_ = w.poller.Close()
}

func (w *worker) takePosts() {
	w.mu.Lock()
	posted := w.posted
	w.posted = nil
	w.mu.Unlock()
	for _, f := range posted {
		f()
	}
	w.mu.Lock()
	w.shared = w.n
	w.mu.Unlock()
}

// never is the wake time of a worker that only waits for sockets.
const never = int64(1) << 62

// scanEvery is the interval of scan.
const scanEvery = 200 * time.Millisecond

// turn does all due work, and returns the time of the next.
func (w *worker) turn() (wake int64) {
	wake = w.open()
	wake = min(wake, w.retry())
	if w.flow != nil {
		wake = min(wake, w.flow.publish(w))
	}
	if w.filler != nil {
		w.filler.publish(w)
	}
	wake = min(wake, w.slow.read(w))
	if w.now-w.lastScan >= int64(scanEvery) {
		w.scan()
	}
	if len(w.conns) > 0 {
		wake = min(wake, w.lastScan+int64(scanEvery))
	}
	return wake
}

// wait returns the events of the sockets, waiting until wake at most.
func (w *worker) wait(wake int64) []poller.Event {
	w.now = w.clock()
	if wake <= w.now || w.ended {
		return w.poll(0)
	}
	if w.flow != nil && w.flow.nap > 0 && !w.napping {
		nap(min(w.flow.nap, time.Duration(wake-w.now)))
		return w.poll(0)
	}
	if wake < never {
		w.alarm.at(wake, w.now)
	}
	return w.poll(-1)
}

func (w *worker) poll(timeout time.Duration) []poller.Event {
	events, err := w.poller.Wait(timeout, true)
	if err != nil {
		w.note(err.Error())
		return nil
	}
	w.napping = len(events) >= 256
	return events
}

func (w *worker) event(e poller.Event) {
	if e.Token == alarmToken {
		w.alarm.fired()
		return
	}
	c := w.conns[uint32(e.Token)]
	if c.generation != uint32(e.Token>>32) || c.state == closed {
		return
	}
	if e.Writable && len(c.pending) > 0 {
		if err := w.resume(c); err != nil {
			w.now = w.clock()
			w.lose(c, err)
			return
		}
	}
	if e.Readable {
		w.read(c)
	}
}

// open opens waiting connections, up to the maximum of concurrent ones.
func (w *worker) open() (wake int64) {
	for i := 0; len(w.opening) > 0 && w.pending < w.maxPending; i++ {
		if at := w.opens.next(); at > w.now {
			return at
		}
		if i == 64 {
			return 0 // poll the sockets in between
		}
		c := w.opening[0]
		w.opening = w.opening[1:]
		w.opens.done++
		w.dial(c)
	}
	return never
}

func (w *worker) retry() (wake int64) {
	for len(w.retries) > 0 {
		first := w.retries[0]
		if first.at > w.now {
			return first.at
		}
		w.retries = w.retries[1:]
		w.n.retried++
		w.dial(first.conn)
	}
	return never
}

// scan looks for connections whose deadline has passed.
func (w *worker) scan() {
	w.lastScan = w.now
	for _, c := range w.conns {
		if c.due != 0 && c.due <= w.now {
			w.expire(c)
		}
	}
	if w.flow != nil {
		w.flow.giveUpStalled(w)
	}
}

// note records a problem, once each and only a few.
func (w *worker) note(text string) { w.noteError(errors.New(text)) }

// noteError is note for an error.
func (w *worker) noteError(err error) {
	if len(w.noted) < 5 {
		w.noted[err.Error()] = err
	}
}

// pace is a steady rate.
type pace struct {
	start int64
	gap   float64 // ns; 0: no limit
	done  uint64
}

func newPace(start int64, perSecond float64) pace {
	if perSecond <= 0 {
		return pace{start: start}
	}
	return pace{start: start, gap: 1e9 / perSecond}
}

// next returns the next due time.
func (p *pace) next() int64 { return p.start + int64(float64(p.done)*p.gap) }
