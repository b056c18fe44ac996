package broker

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/internal/wheel"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// storeRetry is the delay after a failure of the store before writes that nothing waits for are retried.
const storeRetry = time.Second

// txn is one atomic change to the store. It belongs to one turn of one shard and holds everything that this turn must
// persist: the messages read, for sessions on all shards, and the state of the shard's own sessions. The transactions of a
// shard reach the store in order.
type txn struct {
	shard *shard
	left  atomic.Int32 // incomplete parts: the turn itself, and batches of its messages that other shards handle

	// Owned by the shard's loop.
	urgent bool // an acknowledgement or a call waits for it: it is handed over in this turn
	lazy   bool // it has some or all of the writes that nothing waits for
	txnLists
	bytes    int64    // of ops and messages, as counted in journal.bytes
	units    int64    // one for each of ops and messages, more for long ones; see journal.units
	retained []string // topics; the store gets their current retained messages
	saved    []savedSession
	wills    []publishedWill
	done     []func(error) // called with the store's result
	failure  error         // error of an earlier transaction: this one must not be written either

	mu      sync.Mutex   // guards waiting
	waiting [][]*session // by shard: sessions that may send a QoS 2 message once it is on disk
}

// txnLists holds the long lists of a transaction. Later transactions reuse their memory.
type txnLists struct {
	ops      []storage.Op
	messages []*storedMessage
	acks     []storedAck
}

const (
	spareTxns = 2     // lists that a shard keeps for reuse
	spareLen  = 16384 // longest list that it keeps
)

// journal is a shard's connection to the store: the transaction of this turn, earlier transactions that the store does not
// have yet, and the state that still has to be written.
type journal struct {
	txn        *txn                      // of this turn; nil: nothing to persist
	closed     []*txn                    // of ended turns, not yet passed to the store
	committing bool                      // the store has not answered the last transactions yet
	failing    bool                      // the store's last answer was an error
	urgent     []*session                // sessions with changed state that something waits for; they are in unsaved, too
	unsaved    []*session                // sessions with changed state, or saved since
	outdated   []*subscription           // subscriptions with changes in memory only; nothing waits for their write
	lazy       bool                      // a transaction with unsaved sessions is being written
	bytes      int64                     // bytes that wait for the store
	units      int64                     // operations that wait for the store; long and scattered ones count as several
	retry      wheel.Timer               // after a failure of the store
	retryAt    int64                     // time of the next try after a failure of the store, on the broker's clock
	refused    func()                    // repeats the commit that a full store has refused; nil: none
	again      wheel.Timer               // for refused
	undoing    []*storedMessage          // failed messages whose deletion the store does not have yet
	passed     map[*session][]passedOver // failed messages that sessions have passed over
	flow       storage.Flow              // written last; its lists are reused
	spare      []txnLists                // empty, for reuse
}

// storedAck is an acknowledgement that waits for a transaction.
type storedAck struct {
	c  *conn
	ss *session
	n  uint64 // its number on the connection
	t  wire.Type
	id uint16
	m  *storedMessage // the message to acknowledge, if it goes only to sessions; nil: none, or it is retained too
}

// savedSession is a session whose state is in a transaction.
type savedSession struct {
	ss      *session
	what    saving
	version uint32 // of its flow
}

// openTxn returns the transaction of this turn.
func (s *shard) openTxn() *txn {
	if s.journal.txn == nil {
		s.journal.txn = &txn{shard: s, txnLists: s.journal.lists()}
		s.journal.txn.left.Store(1)
	}
	return s.journal.txn
}

// lists returns empty lists.
func (j *journal) lists() (l txnLists) {
	if n := len(j.spare); n > 0 {
		l, j.spare = j.spare[n-1], j.spare[:n-1]
	}
	return l
}

// recycle takes back the lists of a transaction that has ended.
func (j *journal) recycle(t *txn) {
	l := t.txnLists
	t.txnLists = txnLists{}
	if len(j.spare) < spareTxns && max(cap(l.ops), cap(l.messages), cap(l.acks)) <= spareLen {
		clear(l.ops)
		clear(l.messages)
		clear(l.acks)
		j.spare = append(j.spare, txnLists{l.ops[:0], l.messages[:0], l.acks[:0]})
	}
}

func (t *txn) add(op storage.Op) {
	t.ops = append(t.ops, op)
	t.count(len(op.Key) + len(op.Value))
	if op.Space != storage.SpaceMessages {
		t.grow(0, scatteredUnits-1)
	}
}

// count adds an operation of n bytes to the totals that wait for the store.
func (t *txn) count(n int) {
	t.grow(int64(n)+storage.OpOverhead, 1+int64(n)/unitBytes)
}

func (t *txn) grow(bytes, units int64) {
	t.bytes += bytes
	t.units += units
	t.shard.journal.bytes += bytes
	t.shard.journal.units += units
}

// uncount subtracts the transaction's totals when the store has answered.
func (t *txn) uncount() {
	t.shard.journal.bytes -= t.bytes
	t.shard.journal.units -= t.units
}

// await makes an acknowledgement wait until the transaction is on disk.
func (t *txn) await(c *conn, kind wire.Type, id uint16) {
	t.urgent = true
	t.acks = append(t.acks, storedAck{c: c, ss: c.session, n: c.nextAck(), t: kind, id: id})
}

// tell registers done, which is called when the transaction is on disk or could not be written.
func (t *txn) tell(done func(error)) {
	t.urgent = true
	t.done = append(t.done, done)
}

// inherit moves the sessions that wait for a failed transaction to this one, which repeats a part of it.
func (t *txn) inherit(failed *txn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting == nil {
		t.waiting = make([][]*session, len(t.shard.b.shards))
	}
	for i, sessions := range failed.waiting {
		t.waiting[i] = append(t.waiting[i], sessions...)
	}
}

// wait makes a session try to send again when the transaction is on disk.
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

// commit ends the turn's transaction. Writes that nothing waits for are put off while an earlier transaction with such writes
// is in progress, and are part of a later one.
func (s *shard) commit() {
	if s.journal.txn == nil && len(s.journal.unsaved) == 0 && len(s.journal.outdated) == 0 {
		return
	}
	if (s.journal.txn == nil || !s.journal.txn.urgent) && (s.journal.lazy || s.now < s.journal.retryAt) {
		return
	}
	if n := len(s.journal.closed); n > 0 && s.journal.closed[n-1].failure != nil {
		return // a failed transaction still waits for a batch: this one must include its undo
	}
	t := s.openTxn()
	s.save(t)
	s.journal.txn = nil
	s.journal.closed = append(s.journal.closed, t)
	if t.left.Add(-1) == 0 {
		s.handOver()
	}
}

// finish notes that a batch of the transaction's messages has been handled.
func (t *txn) finish() {
	if t.left.Add(-1) == 0 {
		t.shard.post(call((*shard).handOver))
	}
}

// handOver passes the complete transactions to the store, in order and all at once. The next ones wait for its answer: after
// a failure they must not be written, or a publisher's later messages would overtake those that it has to send again.
func (s *shard) handOver() {
	var group []*txn
	for !s.journal.committing && len(s.journal.closed) > 0 && s.journal.closed[0].left.Load() <= 0 {
		t := s.journal.closed[0]
		if t.failure == nil {
			group = append(group, t)
		} else if len(group) > 0 {
			break
		}
		s.journal.closed[0] = nil
		s.journal.closed = s.journal.closed[1:]
		if t.failure != nil {
			t.notify()
			s.committed(t, t.failure)
		}
	}
	if len(group) > 0 {
		s.submit(group)
	}
}

// submit passes transactions to the store. It does not persist a message that no session needs any more.
func (s *shard) submit(group []*txn) {
	s.journal.committing = true
	var ops []storage.Op
	var puts []*storedMessage
	for _, t := range group {
		for _, m := range t.messages {
			if m.refs.Load() > 1 {
				op := m.op()
				targets := int64(len(op.Value)) - int64(m.counted)
				m.counted = uint32(len(op.Value))
				t.grow(targets, targets/unitBytes)
				t.ops = append(t.ops, op)
				m.given = true
				puts = append(puts, m)
			}
		}
		first, last := t.forgetting()
		ops = append(ops, first...)
		ops = append(ops, t.ops...)
		ops = append(ops, last...)
	}
	s.give(ops, group)
	for _, m := range puts { // only now: a deletion must reach the store after this
		s.unref(m)
	}
}

// forgetting returns the operations that delete the sessions that ended with a will of the transaction. Records with a client
// identifier as key are deleted first, because another session may have written its own in this turn. All others have the
// number of the ended session as key and are deleted last, so that the turn's writes before its end do not remain.
func (t *txn) forgetting() (first, last []storage.Op) {
	for _, w := range t.wills {
		for _, op := range w.forgetting {
			if op.Space == storage.SpaceSessions {
				first = append(first, op)
			} else {
				last = append(last, op)
			}
		}
	}
	return first, last
}

// diskFull reports whether the store has no room for messages.
func (b *Broker) diskFull() bool { return b.bounded != nil && b.bounded.DiskFull() }

// storeFullRetry is the delay before a commit to a full store is retried.
const storeFullRetry = 100 * time.Millisecond

// give passes ops to the store. It repeats that while the store is full, which is no failure.
func (s *shard) give(ops []storage.Op, group []*txn) {
	s.journal.refused = nil
	s.b.retained.commit(ops, group, func(err error) {
		s.post(call(func(s *shard) {
			if !errors.Is(err, storage.ErrFull) {
				s.answered(group, err)
				return
			}
			s.journal.refused = func() { s.give(ops, group) }
			s.wheel.Arm(&s.journal.again, deadline(s.now, storeFullRetry))
		}))
	})
}

// answered handles the store's answer for transactions.
func (s *shard) answered(group []*txn, err error) {
	s.journal.committing, s.journal.failing = false, err != nil
	if err != nil {
		s.failRest(err)
		mark(s.journal.closed, storeFailed)
		mark(group, storeFailed)
	} else {
		mark(group, storeHasIt)
		s.undone()
	}
	for _, t := range group {
		t.notify()
		s.committed(t, err)
	}
	switch {
	case err != nil:
	case s.b.diskFull():
		s.retryOwed()
	default:
		s.publishOwed()
	}
	s.handOver()
	s.resumeStoring()
}

// failRest fails all other transactions that have begun.
func (s *shard) failRest(err error) {
	s.journal.retryAt = s.now + int64(storeRetry)
	s.wheel.Arm(&s.journal.retry, deadline(s.now, storeRetry))
	for _, t := range s.journal.closed {
		t.failure = err
	}
	if t := s.journal.txn; t != nil {
		s.journal.txn = nil
		t.failure = err
		s.journal.closed = append(s.journal.closed, t)
		t.left.Add(-1)
	}
}

// unref deletes a message that no session needs any more. After a failed write the next transaction deletes it.
func (s *shard) unref(m *storedMessage) {
	if m.refs.Add(-1) == 0 && m.state.Load() < storeFailed {
		s.openTxn().add(m.deletion())
	}
}

// mark records the state of messages, from the last to the first: a shard that goes through a session's messages in order and
// meets a failed one must not then meet a later one that it may send.
func mark(txns []*txn, state uint32) {
	for _, t := range slices.Backward(txns) {
		for _, m := range slices.Backward(t.messages) {
			m.settle(state)
		}
	}
}

// notify lets other shards send the messages that waited for the transaction.
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

// committed resumes the acknowledgements, sessions and calls that waited for a transaction.
func (s *shard) committed(t *txn, err error) {
	t.uncount()
	if t.lazy {
		s.journal.lazy = false
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
	for _, done := range t.done {
		done(err)
	}
	s.journal.recycle(t)
}

// notCommitted undoes a transaction that the store reports as failed. It may be on disk all the same, if only the sync
// failed. The next transaction deletes its messages, writes the sessions' state without it and repeats its deletions, all
// atomically. It also writes the messages that no publisher will send again, such as wills. The store itself retries retained
// messages.
func (s *shard) notCommitted(t *txn) {
	for _, saved := range t.saved {
		saved.ss.saveNext(saved.what)
	}
	next := s.openTxn()
	for _, w := range t.wills { // their messages are retried
		next.wills = append(next.wills, w)
		if w.w.message.retain {
			next.retained = append(next.retained, w.w.message.topic)
		}
	}
	for _, m := range t.messages {
		if m.retries && m.again() {
			next.messages = append(next.messages, m)
			next.count(int(m.counted))
		} else {
			op := m.deletion()
			op.Atomic = true
			next.add(op)
			s.journal.undoing = append(s.journal.undoing, m)
		}
	}
	next.inherit(t)
	newer := next.ops // of packets handled since: they come after the repeated deletions
	next.ops = nil
	for _, op := range t.ops {
		if op.Delete {
			next.add(op)
		}
	}
	next.ops = append(next.ops, newer...)
	s.persistOwed(next)
	s.b.retained.later(t.retained)
}

// undone notes that the store has deleted all failed messages: their deletions are in the first transaction after a failure.
func (s *shard) undone() {
	for _, m := range s.journal.undoing {
		m.state.Store(storeUndone)
	}
	clear(s.journal.undoing)
	s.journal.undoing = s.journal.undoing[:0]
}

// Expire handles the shard's own timers. The end of the current turn retries failed writes; while the store fails there is
// always something to retry.
func (s *shard) Expire(t *wheel.Timer) {
	switch {
	case t == &s.notices.timer:
		s.beginNotices()
	case t == &s.expiry.retained:
		s.reapLater(&s.b.retained)
	case t == &s.journal.again:
		if s.journal.refused != nil {
			s.journal.refused()
		}
	case s.journal.failing, len(s.wills.owed) > 0:
		s.openTxn().urgent = true
	}
}

// settle sends the acknowledgement. If the packet's effect could not be persisted, it undoes the packet: the client will send it again.
func (a *storedAck) settle(t *txn, err error) {
	if a.t == wire.TypePubrec || a.t == wire.TypePubcomp {
		a.ss.unreleased.stored(a.id, t, a.t, err == nil)
	}
	if a.c.state != stateOpen {
		return
	}
	isRefused := err == nil && a.m != nil && a.c.version == wire.V5 && isRefused(a.m.outcome.Load())
	if isRefused && a.turnBack() {
		return
	}
	a.c.ackStored(a.n, err)
}
