package bench

import (
	"sync/atomic"
	"time"
)

// flow is the exchange of messages, common to all workers. Static once it has begun.
type flow struct {
	*plan
	run        uint16
	publishers []*publisher
	shares     []*share
	solo       bool // one worker: no counter is shared
	groups     []set
	start      int64        // of publishing; ns since the run began
	calm       [2]int64     // start and end of the measurement without slow subscribers
	from       atomic.Int64 // start of the measurement
	till       atomic.Int64 // end of the measurement and of publishing; an interruption makes it earlier
}

func (f *flow) isCalm(at int64) bool { return at >= f.calm[0] && at < f.calm[1] }

func (f *flow) within(at int64) bool { return at >= f.from.Load() && at < f.till.Load() }

// share is a worker's part of the flow. It belongs to that worker.
type share struct {
	*flow
	publishers []*publisher // of this worker
	fan        []uint32     // deliveries of one message to this worker, by topic
	slots      []slot       // closed loop: by publisher and message number
	gap        float64      // open loop: ns between messages of this worker
	phase      float64      // fraction of a gap, so that workers take turns
	issued     uint64       // open loop: number of messages that were due
	blocked    bool         // some could not be sent when they were due
	ended      bool
	nap        time.Duration // closed loop: sleep between polls of the sockets
	wakes      []bool        // by worker: one of its publishers may continue
	anyWakes   bool
	came       uint64 // number of received messages at the last check
	cameAt     int64
}

// slot counts the deliveries of a message to one worker.
type slot struct{ number, count uint32 }

// Naps in a closed loop. With many deliveries in flight, polling the sockets at intervals is cheaper than waking up
// for each: one wake-up handles many messages, and so does the broker's machine. napFrom is in deliveries.
const (
	napFrom  = 20_000
	napPlain = time.Millisecond
	napAcked = 100 * time.Microsecond // a nap delays acknowledgements
)

func newShare(f *flow, worker, workers int) *share {
	s := &share{flow: f, fan: make([]uint32, len(f.topics)), wakes: make([]bool, workers)}
	for t := range s.fan {
		s.fan[t] = f.plan.share(t, worker, workers)
	}
	for i := worker; i < len(f.publishers); i += workers {
		s.publishers = append(s.publishers, f.publishers[i])
	}
	s.slots = make([]slot, f.ring*uint32(len(f.publishers)))
	for i := range s.slots {
		s.slots[i].number = ^uint32(0)
	}
	if n := len(s.publishers); f.opts.Rate > 0 && n > 0 {
		s.gap = 1e9 / f.opts.Rate * float64(len(f.publishers)) / float64(n)
		s.phase = float64(worker) / float64(workers)
	}
	if f.opts.Rate == 0 && f.inFlight() >= napFrom {
		if s.nap = napPlain; f.opts.QoS > 0 {
			s.nap = napAcked
		}
	}
	return s
}

// tick is the shortest interval between sends in an open loop, so that high rates are sent in batches.
const tick = 100 * time.Microsecond

// publish sends all due messages, and returns the time of the next.
func (s *share) publish(w *worker) (wake int64) {
	defer s.wakeWorkers(w)
	switch {
	case s.ended:
		return never
	case len(s.publishers) == 0:
		s.end(w)
		return never
	case w.now < s.start:
		return s.start
	case w.now >= s.till.Load():
		s.end(w)
		return never
	case s.gap == 0:
		return s.publishAll(w)
	}
	return s.publishDue(w)
}

// end ends publishing.
func (s *share) end(w *worker) {
	s.ended, s.nap = true, 0
	w.n.finished++
	if s.gap == 0 {
		return
	}
	s.sendDue(w, s.till.Load()-1)
	for i, p := range s.publishers {
		w.n.unsent += uint64(s.dueOf(i) - p.number)
	}
}

// batch is the number of messages that a publisher sends at a time in a closed loop.
const batch = 64

// publishAll lets every publisher fill its window.
func (s *share) publishAll(w *worker) (wake int64) {
	wake = s.till.Load()
	for _, p := range s.publishers {
		if p.send(w, s, batch, batch) {
			wake = 0
		}
	}
	return wake
}

// publishDue sends all messages due by now. Message m is due at start + (m + phase) * gap and comes from publisher m
// mod n.
func (s *share) publishDue(w *worker) (wake int64) {
	now := w.now
	s.sendDue(w, now)
	return min(max(s.start+int64((float64(s.issued)+s.phase)*s.gap), now+int64(tick)), s.till.Load())
}

// sendDue sends the messages due at a time.
func (s *share) sendDue(w *worker, now int64) {
	n := uint64(len(s.publishers))
	due := uint64(max(float64(now-s.start)/s.gap-s.phase+1, 0))
	first, count := s.issued%n, min(due-min(due, s.issued), n)
	if s.blocked {
		first, count = 0, n
	}
	s.issued = max(s.issued, due)
	s.blocked = false
	for i := range count {
		k := int((first + i) % n)
		p := s.publishers[k]
		if late := s.dueOf(k) - p.number; late > 0 {
			p.send(w, s, late, 1)
			s.blocked = s.blocked || s.dueOf(k) != p.number
		}
	}
}

// dueOf returns the number of messages that were due of the worker's k-th publisher.
func (s *share) dueOf(k int) uint32 {
	n := uint64(len(s.publishers))
	return uint32((s.issued - min(s.issued, uint64(k)) + n - 1) / n)
}

// dueAt returns the due time of a message of the worker's k-th publisher.
func (s *share) dueAt(k int, number uint32) int64 {
	m := float64(number)*float64(len(s.publishers)) + float64(k)
	return s.start + int64((m+s.phase)*s.gap)
}

// giveUpStalled gives up messages of a closed loop as lost after a long time without a delivery.
func (s *share) giveUpStalled(w *worker) {
	received := w.n.received + w.n.acknowledged
	if received != s.came || s.ended || s.ring == 0 || w.now < s.start {
		s.came, s.cameAt = received, w.now
		return
	}
	if w.now-s.cameAt < int64(s.opts.Stall) {
		return
	}
	s.cameAt = w.now
	for _, p := range s.publishers {
		if atomic.LoadInt32(&p.inFlight) > 0 {
			w.n.stalls++
			p.giveUpAll()
		}
	}
}

// wakeWorkers wakes the workers whose publishers may continue.
func (s *share) wakeWorkers(w *worker) {
	if !s.anyWakes {
		return
	}
	s.anyWakes = false
	for i, wake := range s.wakes {
		if wake {
			s.wakes[i] = false
			w.run.workers[i].poller.Wake()
		}
	}
}
