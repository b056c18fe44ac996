package broker

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/broker/wire"
)

// storeRetry is how long after a failure what nobody waits for is tried again.
const storeRetry = time.Second

// txn is one atomic change to the store. It belongs to one turn of one shard and holds what that turn has to be kept:
// the messages that were read, for sessions on whichever shards they are, and the state of the shard's own sessions.
// The transactions of a shard reach the store in their order.
type txn struct {
	shard *shard
	left  atomic.Int32 // parts that are not complete: the turn itself, and batches of its messages that others handle

	// Owned by the shard's loop.
	urgent   bool // somebody waits for it: it is handed over in this turn
	lazy     bool // it has everything that nobody waits for
	ops      []Op
	bytes    int64
	messages []*stored
	retained []string // topics whose retained message is written as it is when the store gets it
	acks     []storedAck
	saved    []savedSession
	wills    []publishedWill
	failure  error // one before it could not be written, so it must not be either

	mu      sync.Mutex   // guards waiting
	waiting [][]*session // by shard: those that may send a QoS 2 message once it is on disk
}

// storedAck is an acknowledgement that waits for a transaction.
type storedAck struct {
	c  *conn
	ss *session
	n  uint64 // its number among the connection's
	t  wire.Type
	id uint16
}

// savedSession is a session whose state a transaction has.
type savedSession struct {
	ss      *session
	what    saving
	version uint32 // of its flow
}

// openTxn returns the transaction of this turn.
func (s *shard) openTxn() *txn {
	if s.txn == nil {
		s.txn = &txn{shard: s}
		s.txn.left.Store(1)
	}
	return s.txn
}

func (t *txn) add(op Op) {
	t.ops = append(t.ops, op)
	t.bytes += int64(len(op.Key) + len(op.Value))
}

// await makes an acknowledgement wait until the transaction is on disk.
func (t *txn) await(c *conn, kind wire.Type, id uint16) {
	t.urgent = true
	t.acks = append(t.acks, storedAck{c, c.session, c.nextAck(), kind, id})
}

// wait makes a session look again at what it may send when the transaction is on disk.
func (t *txn) wait(ss *session) {
	s := ss.shard
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting == nil {
		t.waiting = make([][]*session, len(s.b.shards))
	}
	mine := t.waiting[s.index]
	if n := len(mine); n == 0 || mine[n-1] != ss {
		t.waiting[s.index] = append(mine, ss)
	}
}

// commit ends the turn's transaction. What nobody waits for is put off while an earlier transaction with such things is
// under way, and goes along with a later one.
func (s *shard) commit() {
	if s.txn == nil && len(s.unsaved) == 0 {
		return
	}
	if (s.txn == nil || !s.txn.urgent) && (s.lazy || s.now < s.retryAt) {
		return
	}
	t := s.openTxn()
	s.save(t)
	s.txn = nil
	s.closed = append(s.closed, t)
	if t.left.Add(-1) == 0 {
		s.handOver()
	}
}

// finish tells that a batch of the transaction's messages has been handled.
func (t *txn) finish() {
	if t.left.Add(-1) == 0 {
		t.shard.post(call((*shard).handOver))
	}
}

// handOver gives the store the transactions that are complete, in their order and all at once. The next ones wait until it has
// answered: when it fails they must not be written, or messages of a publisher would overtake those that it has to send again.
func (s *shard) handOver() {
	var group []*txn
	for !s.committing && len(s.closed) > 0 && s.closed[0].left.Load() <= 0 {
		t := s.closed[0]
		if t.failure == nil {
			group = append(group, t)
		} else if len(group) > 0 {
			break
		}
		s.closed[0] = nil
		s.closed = s.closed[1:]
		if t.failure != nil {
			t.notify()
			s.committed(t, t.failure)
		}
	}
	if len(group) > 0 {
		s.submit(group)
	}
}

// submit gives transactions to the store. A message that nobody is left to wait for is not put on disk.
func (s *shard) submit(group []*txn) {
	s.committing = true
	var ops []Op
	var puts []*stored
	for _, t := range group {
		for _, m := range t.messages {
			if m.refs.Load() > 1 {
				t.add(m.op())
				puts = append(puts, m)
			}
		}
		for _, w := range t.wills {
			ops = append(ops, w.forgetting...) // first, for another session may have the identifier already
		}
		ops = append(ops, t.ops...)
		s.storing += t.bytes
	}
	s.b.retained.commit(ops, group, func(err error) {
		s.post(call(func(s *shard) { s.answered(group, err) }))
	})
	for _, m := range puts { // only now: a deletion must reach the store behind this
		s.unref(m)
	}
}

// answered goes on when the store has written transactions, or has failed to.
func (s *shard) answered(group []*txn, err error) {
	s.committing, s.failing = false, err != nil
	if err != nil {
		s.failRest(err)
		mark(s.closed, storeFailed)
		mark(group, storeFailed)
	} else {
		mark(group, storeHasIt)
	}
	for _, t := range group {
		t.notify()
		s.storing -= t.bytes
		s.committed(t, err)
	}
	if err == nil {
		s.publishOwed()
	}
	s.resumeStoring()
	s.handOver()
}

// failRest makes every transaction fail that has begun.
func (s *shard) failRest(err error) {
	s.retryAt = s.now + int64(storeRetry)
	s.wheel.arm(&s.retry, deadline(s.now, storeRetry))
	for _, t := range s.closed {
		t.failure = err
	}
	if t := s.txn; t != nil {
		s.txn = nil
		t.failure = err
		s.closed = append(s.closed, t)
		t.left.Add(-1)
	}
}

// unref deletes a message that the last session is done with. What could not be written is deleted by whoever tried.
func (s *shard) unref(m *stored) {
	if m.refs.Add(-1) == 0 && m.state.Load() != storeFailed {
		s.openTxn().add(m.deletion())
	}
}

// mark notes what has become of messages, the last one first: a shard that meets one that has failed, while it goes through a
// session's in their order, must not then meet a later one that it may send.
func mark(txns []*txn, state uint32) {
	for _, t := range slices.Backward(txns) {
		for _, m := range slices.Backward(t.messages) {
			m.state.Store(state)
		}
	}
}

// notify has other shards send what waited for the transaction.
func (t *txn) notify() {
	for i, sessions := range t.waiting {
		if len(sessions) > 0 && i != t.shard.index {
			t.shard.b.shards[i].post(call(func(*shard) { pumpAll(sessions) }))
		}
	}
}

func pumpAll(sessions []*session) {
	for _, ss := range sessions {
		ss.pump()
	}
}

// committed goes on with what waited for a transaction.
func (s *shard) committed(t *txn, err error) {
	if t.lazy {
		s.lazy = false
	}
	if err != nil {
		s.notCommitted(t)
	}
	for i := range t.acks {
		t.acks[i].settle(t, err)
	}
	for _, saved := range t.saved {
		if err == nil && saved.what&savingFlow != 0 {
			saved.ss.durable.saved = saved.version
		}
		saved.ss.pump()
	}
	if t.waiting != nil {
		pumpAll(t.waiting[s.index])
	}
}

// notCommitted undoes a transaction that the store says it could not write: it may be on disk all the same, if only the sync
// failed. The next one deletes its messages and has the sessions as they are without it, all at once, and whatever else was to be
// deleted. Wills are published again, and retained messages left to the store.
func (s *shard) notCommitted(t *txn) {
	for _, saved := range t.saved {
		saved.ss.saveNext(saved.what)
	}
	next := s.openTxn()
	for _, w := range t.wills {
		s.owe(w)
	}
	for _, m := range t.messages {
		if !m.owed {
			next.add(m.deletion())
		}
	}
	for _, op := range t.ops {
		if op.Delete {
			next.add(op)
		}
	}
	s.keepOwed(next)
	s.b.retained.later(t.retained)
}

// expire is for the shard's own timers. The end of the turn that it is called in tries again what could not be written; while
// the store fails there is always something to try.
func (s *shard) expire(t *timer) {
	switch {
	case t == &s.notices:
		s.tellGaps()
	case s.failing:
		s.openTxn().urgent = true
	}
}

// settle sends the acknowledgement or, if what it is for could not be stored, undoes it: the client will send the packet
// again.
func (a *storedAck) settle(t *txn, err error) {
	if a.t == wire.TypePubrec || a.t == wire.TypePubcomp {
		a.ss.received.stored(a.id, t, a.t, err == nil)
	}
	if a.c.state == stateOpen {
		a.c.stored(a.n, err)
	}
}

// mostStoring is how many bytes of a shard may wait for the disk.
func (s *shard) mostStoring() int64 { return int64(s.b.limits.MaxStoringBytes / len(s.b.shards)) }

// throttle stops reading a connection whose messages are stored while more waits for the disk than may.
func (s *shard) throttle(c *conn) bool {
	waits := s.storing
	if s.txn != nil {
		waits += s.txn.bytes
	}
	if waits <= s.mostStoring() {
		return false
	}
	if c.paused&pauseStoring == 0 {
		s.throttled = append(s.throttled, c)
		c.setPause(pauseStoring, true)
	}
	return true
}

// resumeStoring reads again what was stopped for the disk.
func (s *shard) resumeStoring() {
	if len(s.throttled) == 0 || s.storing > s.mostStoring()/2 {
		return
	}
	for i, c := range s.throttled {
		if c.shard == s && c.state != stateClosed {
			c.setPause(pauseStoring, false)
		}
		s.throttled[i] = nil
	}
	s.throttled = s.throttled[:0]
}
