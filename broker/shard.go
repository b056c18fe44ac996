package broker

import (
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/outcry-mqtt/outcry/internal/poller"
	"github.com/outcry-mqtt/outcry/internal/wheel"
)

const (
	readBytes  = 64 << 10                     // read from one connection per turn
	logBytes   = 1 << 20                      // of shared frames and outboxes, before a flush in the middle of a turn
	batchBytes = 256 << 10                    // posted to another shard at once
	batchWork  = int64(turnTime / unitTime)   // the same in units of work: smaller batches would be written in more pieces
	inboxBytes = 16 << 20                     // waiting for a shard before other shards stop reading connections that publish to it
	inboxWork  = 2 * int64(turnTime/unitTime) // units waiting for a shard before others stop reading connections with costly messages
	busyWait   = 5 * time.Millisecond         // longest busy wait of a shard before it blocks through the scheduler
	maxLagAge  = 10 * time.Second
)

// shard is one goroutine that owns its connections, its sessions and their subscriptions. No other goroutine touches them, so they need
// no locks. Another shard may run a shard's turns while its own loop sleeps (scheduler.go): the holder of sched.turning runs them.
//
// Its state is divided into components. The fields of each, and the methods that need no other state, are in one file.
type shard struct {
	// Static after construction.
	b     *Broker
	index int
	poll  *poller.Poller
	in    inbox

	// Owned by the holder of sched.turning.
	sched    scheduler
	now      int64 // on the broker's clock, read once or twice a turn
	turns    turnState
	wheel    wheel.Wheel
	conns    connTable
	sessions map[string]*session // by client identifier
	topics   topicCache
	input    inputBuffers
	enc      encoder
	fan      fanout
	pools    bufferPools
	journal  journal
	pressure backpressure
	waits    waitingShare
	replayer replayer
	pacing   pacer
	notices  notices
	wills    willQueue
	ends     endings
	expiry   expiryWork
	stats    shardStats
}

// connTable holds the connections of a shard.
type connTable struct {
	slots      []*conn       // nil where free; a slot's index is in the poller's tokens
	free       []uint32      // slots without a connection
	dirty      []*conn       // connections with something to write at the end of the turn
	connecting []*connecting // clients that wait for admission, in the order of arrival
}

func newShard(b *Broker, index, count int) (*shard, error) {
	p, err := poller.New()
	if err != nil {
		return nil, fmt.Errorf("shard %d: %w", index, err)
	}
	s := &shard{
		b: b, index: index, poll: p,
		sched:    newScheduler(),
		sessions: make(map[string]*session),
		topics:   newTopicCache(b, count),
		input:    inputBuffers{read: make([]byte, readBytes)},
		fan:      fanout{batches: make([]*batch, count)},
		pressure: newBackpressure(count),
		pacing:   pacer{bytes: make(map[*session]int)},
	}
	s.now = b.clock.now()
	s.wheel.Init(s.now / int64(tick))
	s.stats.init()
	s.journal.retry.Owner, s.journal.again.Owner, s.notices.timer.Owner, s.expiry.retained.Owner = s, s, s, s
	return s, nil
}

// post queues work for the shard. It never waits. It returns false once the shard has ended.
func (s *shard) post(p post) bool {
	if !s.in.put(p) {
		return false
	}
	s.poll.Wake()
	return true
}

// run is the shard's loop: one turn after another, until end is called.
func (s *shard) run() error {
	s.sched.turning.Lock()
	if poller.Supported { // lock the thread, so that its processor is not taken for another goroutine
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	defer s.finish()
	for !s.sched.ending || s.stats.connections > 0 {
		if s.sched.wanted && !s.sched.ending {
			s.beHosted()
			continue
		}
		events, err := s.wait()
		if err != nil {
			return fmt.Errorf("shard %d: %w", s.index, err)
		}
		s.turn(events)
		if err := s.turnHosted(); err != nil {
			return err
		}
	}
	return nil
}

// pressed reports whether there is work that no event announces.
func (s *shard) pressed() bool {
	return len(s.conns.connecting) > 0 || len(s.replayer.sessions) > 0 || len(s.expiry.reaping) > 0 || len(s.turns.yielded) > 0 || len(s.turns.unhandled) > 0 ||
		len(s.fan.dispatches) > 0 || len(s.notices.due) > 0 || len(s.wills.late) > 0 || len(s.ends.doomed) > 0 || s.ends.more || s.turns.timersLate || s.turns.posted < len(s.turns.posts) || s.pacing.isDue(s.now) || !s.in.empty()
}

// dueAt returns the time of the next timer, on the broker's clock.
func (s *shard) dueAt() int64 {
	due := int64(math.MaxInt64)
	if next, armed := s.wheel.Next(); armed {
		due = next * int64(tick)
	}
	if len(s.pacing.due) > 0 {
		due = min(due, s.pacing.due[0].next())
	}
	return due
}

// turn does all pending work, then writes once to every connection with output.
func (s *shard) turn(events []poller.Event) {
	s.now = s.b.clock.now()
	began := s.now
	s.turns.oldest, s.turns.large = began, 0
	s.sched.hadTurn = true
	s.resumeReplays()
	s.handleEvents(events)
	posts := s.takePosts()
	s.letIn()
	s.fireTimers()
	s.resumeNotices(turnTime)
	s.resumeLeaving()
	s.sendPaced(turnTime)
	s.reap()
	s.resumeDispatches(turnTime)
	s.resumeWills()
	s.resumeYielded()
	s.finishTurn()
	s.enterWaiting()
	s.measure(began, posts)
	if s.index == 0 && poller.Supported && len(s.b.shards) > 1 {
		s.considerHosting()
	}
	s.wakeOthers()
}

func (s *shard) handle(e *poller.Event) {
	slot := uint32(e.Token)
	if slot >= uint32(len(s.conns.slots)) { // a poller's token would be negative as a 32-bit int
		s.noteHosted(e.Token)
		return
	}
	c := s.conns.slots[slot]
	if c == nil || c.polled.generation != uint32(e.Token>>32) {
		return // closed earlier in this turn
	}
	if e.Writable {
		c.writable()
	}
	switch {
	case c.state == stateClosed:
	case e.HungUp && c.input.paused&^pauseTurn != 0:
		c.lost(closePeer)
	case e.Readable:
		c.readable()
	}
}

// takePosts runs posts for turnTime and returns their number. The next turn starts with the rest.
func (s *shard) takePosts() (n int) {
	if s.turns.posted == len(s.turns.posts) {
		s.turns.posts, s.turns.posted = s.in.take(s.turns.posts), 0
	}
	s.turns.budget.share(len(s.turns.posts))
	for until := s.b.clock.now() + int64(turnTime); s.turns.posted < len(s.turns.posts); {
		p := s.turns.posts[s.turns.posted]
		s.turns.posts[s.turns.posted] = nil
		s.turns.posted++
		n++
		p.run(s)
		if s.b.clock.now() >= until {
			break
		}
	}
	s.releaseWaiters()
	return n
}

// finishTurn commits the turn's changes, posts its batches and writes its output. Closing a connection may publish its will.
func (s *shard) finishTurn() {
	for done := false; !done; {
		isSwept := s.sweep(turnTime)
		s.sendBatches()
		s.commit()
		s.flush()
		done = len(s.conns.dirty) == 0 && (!isSwept || len(s.ends.doomed) == 0)
	}
}

// sweep closes the connections that were marked for closing during a walk over subscribers, at least one. It returns false if
// time ran out first.
func (s *shard) sweep(most time.Duration) bool {
	if len(s.ends.doomed) == 0 {
		return true
	}
	for until := s.b.clock.now() + int64(most); len(s.ends.doomed) > 0; {
		c := s.ends.doomed[len(s.ends.doomed)-1]
		s.ends.doomed = s.ends.doomed[:len(s.ends.doomed)-1]
		c.close(c.doom)
		if s.b.clock.now() >= until {
			return len(s.ends.doomed) == 0
		}
	}
	return true
}

// flush writes the output of every dirty connection, and drops the turn's frames.
func (s *shard) flush() {
	s.turns.writes += len(s.conns.dirty)
	for _, c := range s.conns.dirty {
		c.output.queuedFlush = false
		if c.state != stateClosed {
			c.flush()
		}
	}
	s.conns.dirty = s.conns.dirty[:0]
	s.enc.forget()
}

// relieve flushes in the middle of a turn when much output waits. Do not call it while frames are being passed to subscribers.
func (s *shard) relieve() {
	if s.enc.bytes() > logBytes {
		s.flush()
	}
}

func (s *shard) measure(began int64, posts int) {
	now := s.b.clock.now()
	if posts > 0 {
		s.sched.turnTime.Store(now - began)
	}
	s.stats.turn(began, now)
	s.stats.tellReleased()
	if s.turns.writes >= s.b.options.hosting.writes {
		s.b.crowded.Store(now)
	}
	s.turns.writes = 0
	if s.turns.sent > 0 {
		s.stats.latency.observe(now-s.turns.oldest, s.turns.sent)
		s.turns.sent = 0
	}
}

// end closes every connection. The loop ends with the last of them.
func (s *shard) end(r closeReason) {
	s.sched.ending = true
	for _, c := range s.conns.slots {
		if c == nil {
			continue
		}
		if c.session != nil && c.session.will != nil {
			c.hearLast()
		}
		c.close(r)
	}
}

// finish closes the shard's resources after the loop.
func (s *shard) finish() {
	s.sched.ending = true
	s.endHosting()
	close(s.sched.ended)
	s.finishWills()
	for len(s.fan.dispatches) > 0 {
		s.resumeDispatches(turnTime)
	}
	s.letIn()
	for _, c := range s.conns.slots {
		if c != nil {
			c.release()
		}
	}
}

// wind runs the posts that arrived after the loop's end: messages of other shards, and work that others wait for. It reports
// whether there were any.
func (s *shard) wind() bool {
	posts := append(s.turns.posts[s.turns.posted:], s.in.take(nil)...)
	s.turns.posts, s.turns.posted = nil, 0
	for _, p := range posts {
		p.run(s)
	}
	s.sendBatches()
	s.commit()
	return len(posts) > 0
}

// close refuses further posts and drops late ones.
func (s *shard) close() {
	for _, p := range s.in.close() {
		if d, ok := p.(dropper); ok {
			d.drop()
		}
	}
	_ = s.poll.Close()
}

// dropper is a post with resources to release if it never runs.
type dropper interface{ drop() }
