package broker

import (
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/broker/poller"
	"github.com/outcry-mqtt/outcry/broker/wire"
)

const (
	readBytes  = 64 << 10             // read of one connection per turn
	logBytes   = 1 << 20              // of shared frames and outboxes, before a flush in the middle of a turn
	batchBytes = 256 << 10            // posted to another shard at once
	inboxBytes = 16 << 20             // waiting for a shard before others stop reading what feeds it
	busyWait   = 5 * time.Millisecond // how long a shard waits on its processor before it tells the scheduler
	maxLagAge  = 10 * time.Second
)

// shard is one goroutine that owns its connections, its sessions and their subscriptions: nothing of them is touched by
// anyone else, so nothing of them is locked. While it sleeps another shard may do a turn of it (lend.go): who holds
// turning is the one that does its turns.
type shard struct {
	// Static after construction.
	b     *Broker
	index int
	log   *slog.Logger
	poll  *poller.Poller
	in    inbox
	busy  bool // there are processors to spare for waiting on one

	turning  sync.Mutex   // held for a turn, and for good once the loop has ended
	turnTime atomic.Int64 // how long the last turn with something from the inbox took, in nanoseconds

	// Owned by the shard's loop, or whoever has turning.
	now        int64    // the broker's clock, read once or twice a turn
	wakesAt    int64    // when the loop wakes by itself, on the broker's clock
	borrowed   bool     // another shard does this turn
	rouse      shardSet // those that have got something this turn and do not know yet
	wheel      wheel
	conns      []*conn // by slot; nil where free
	free       []uint32
	sessions   map[string]*session
	routes     map[string]*route
	lastRoute  *route        // the one that was found last; most messages are on the topic of the one before; nil: none
	routeBytes int           // of routes, roughly
	routeRoom  int           // how many of those there may be
	line       []*connecting // wait to be let in
	replays    []*session    // are sent retained messages, and have to be looked for more
	finding    int64         // nanoseconds of this turn that retained messages were looked for
	paced      pacings       // topics of subscriptions with a maximum rate
	spare      []post        // the emptied half of the inbox
	ending     bool          // connections are being closed; the loop ends with the last one
	idle       bool          // the last wait brought nothing
	host       hosting

	rbuf    []byte        // what was read last
	pub     wire.Publish  // the PUBLISH being decoded
	outgo   wire.Outgoing // the PUBLISH being encoded
	suback  []byte
	filters wire.Subscribe

	inflaters []*inflater // spare ones
	inflated  []byte      // what was inflated last

	packer     packer // compresses what goes to WebSockets that have agreed to it
	frames     []byte // the turn's shared frames; outboxes refer to stretches of it
	pending    int    // bytes in outboxes' own buffers
	dirty      []*conn
	doomed     []*conn
	buffers    [][]byte // spare ones
	spareBytes int      // of buffers
	copies     heldCopies
	foreseen   uint32 // of no use but that reading it is not left out
	encoded    [8]stretch
	delivery   uint64     // numbers messages, to see a session twice
	current    *message   // being delivered: encoded holds its frames
	ticking    bool       // only the newest of its topic counts
	incoming   message    // of the PUBLISH being handled
	merged     []delivery // of the message being delivered, where several filters match
	owners     []*session // of what is merged
	wsHeader   [wsHeaderBytes]byte
	out        []*batch   // to each shard, of this turn
	txn        *txn       // of this turn; nil: nothing has to be kept
	closed     []*txn     // of earlier turns, not yet handed to the store
	urgent     []*session // whose state somebody waits for
	unsaved    []*session // whose state has changed
	committing bool       // the store has some of them
	failing    bool       // what the store answered last was an error
	owed       []publishedWill
	lazy       bool       // a transaction with all of that is under way
	storing    int64      // bytes that wait for the disk
	throttled  []*conn    // not read because of that
	retry      timer      // after a failure of the store
	retryAt    int64      // on the broker's clock
	gaps       []*session // to be told what they have lost
	notices    timer      // for them
	choked     []bool     // shards whose inbox was over its limit
	held       [][]*conn  // connections that are not read because of a choked shard
	waiters    []*shard   // shards that hold connections until this one's inbox is empty again
	oldest     int64      // when the oldest message of this turn was read
	turnSent   uint64     // messages sent this turn
	turnWrites int        // connections written to this turn

	stats shardStats
}

func newShard(b *Broker, index, count int) (*shard, error) {
	p, err := poller.New()
	if err != nil {
		return nil, fmt.Errorf("shard %d: %w", index, err)
	}
	s := &shard{
		b: b, index: index, log: b.log, poll: p,
		sessions: make(map[string]*session), routes: make(map[string]*route), routeRoom: routeRoom(count),
		rbuf: make([]byte, readBytes),
		out:  make([]*batch, count), choked: make([]bool, count), held: make([][]*conn, count),
	}
	s.now = b.clock.now()
	s.wheel.init(s.now / int64(tick))
	s.stats.init()
	s.retry.owner, s.notices.owner = s, s
	s.host.release, s.host.ended = make(chan struct{}, 1), make(chan struct{})
	return s, nil
}

// post gives the shard something to do. It never waits. It returns false once the shard has ended.
func (s *shard) post(p post) bool {
	if !s.in.put(p) {
		return false
	}
	s.poll.Wake()
	return true
}

// run is the shard's loop: one turn after another, until end is called.
func (s *shard) run() error {
	s.turning.Lock()
	if poller.Supported { // on a thread of its own, whose processor nobody takes for another goroutine's sake
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	defer s.finish()
	for !s.ending || s.stats.connections > 0 {
		if s.host.invited && !s.ending {
			s.beGuest()
			continue
		}
		events, err := s.wait()
		if err != nil {
			return fmt.Errorf("shard %d: %w", s.index, err)
		}
		s.turn(events)
		if err := s.turnGuests(); err != nil {
			return err
		}
	}
	return nil
}

// wait sleeps until something happens or a timer is due. A shard that has had work in its last wait waits on its
// processor for a moment, which a busy broker ends soon, and only then the slow way through the scheduler.
func (s *shard) wait() ([]poller.Event, error) {
	s.poll.Prepare()
	s.wakesAt = s.dueAt()
	until, idle := s.prepareGuests(s.wakesAt)
	if !idle || s.pressed() {
		return s.poll.Wait(0, true)
	}
	began := s.b.clock.now()
	timeout := time.Duration(-1)
	if until != math.MaxInt64 {
		timeout = time.Duration(max(until-began, 0))
	}
	busy := s.busy && !s.idle
	if busy && (timeout < 0 || timeout > busyWait) {
		timeout = busyWait
	}
	s.turning.Unlock()
	events, err := s.poll.Wait(timeout, busy)
	s.turning.Lock()
	waited := s.b.clock.now() - began // less if the scheduler's signal ended it
	s.idle = busy && len(events) == 0 && waited >= int64(timeout)
	return events, err
}

// pressed tells whether there is something to do that no event will tell of.
func (s *shard) pressed() bool { return len(s.line) > 0 || len(s.replays) > 0 || !s.in.empty() }

// dueAt is when the next timer fires, on the broker's clock.
func (s *shard) dueAt() int64 {
	due := int64(math.MaxInt64)
	if ticks := s.wheel.wait(); ticks >= 0 {
		due = (s.wheel.now + ticks) * int64(tick)
	}
	if len(s.paced) > 0 {
		due = min(due, s.paced[0].due)
	}
	return due
}

// turn does everything there is to do, then writes once to every connection that got something.
func (s *shard) turn(events []poller.Event) {
	s.now = s.b.clock.now()
	began := s.now
	s.oldest = began
	s.host.turned = true
	s.resumeReplays()
	for i := range events {
		s.handle(&events[i])
	}
	posts := s.takePosts()
	s.letIn()
	s.wheel.advance(s.now / int64(tick))
	s.sendPaced()
	for done := false; !done; { // closing a connection may publish its will
		s.sweep()
		s.sendBatches()
		s.commit()
		s.flush()
		done = len(s.doomed) == 0 && len(s.dirty) == 0
	}
	s.measure(began, posts)
	if s.index == 0 && poller.Supported && len(s.b.shards) > 1 {
		s.considerGuests()
	}
	s.rouseOthers()
}

func (s *shard) handle(e *poller.Event) {
	slot := uint32(e.Token)
	if int(slot) >= len(s.conns) {
		s.noteGuest(e.Token)
		return
	}
	c := s.conns[slot]
	if c == nil || c.generation != uint32(e.Token>>32) {
		return // closed earlier in this turn
	}
	if e.Writable {
		c.writable()
	}
	switch {
	case c.state == stateClosed:
	case e.HungUp && c.paused != 0:
		c.lost(closePeer)
	case e.Readable:
		c.readable()
	}
}

// takePosts does what others want, and tells how much that was.
func (s *shard) takePosts() int {
	posts := s.in.take(s.spare)
	for i, p := range posts {
		p.run(s)
		posts[i] = nil
	}
	s.spare = posts
	if len(s.waiters) > 0 && s.stats.inboxBytes.Load() < inboxBytes/2 {
		s.releaseWaiters()
	}
	return len(posts)
}

// sweep closes the connections that were doomed while something walked over the subscribers.
func (s *shard) sweep() {
	for len(s.doomed) > 0 {
		c := s.doomed[len(s.doomed)-1]
		s.doomed = s.doomed[:len(s.doomed)-1]
		c.close(c.doom)
	}
}

// flush writes what every dirty connection has, and forgets the turn's frames.
func (s *shard) flush() {
	s.turnWrites += len(s.dirty)
	for _, c := range s.dirty {
		c.queuedFlush = false
		if c.state != stateClosed {
			c.flush()
		}
	}
	s.dirty = s.dirty[:0]
	s.frames = s.frames[:0]
	s.packer.forget()
	s.encoded = [len(s.encoded)]stretch{}
	s.pending = 0
	if cap(s.frames) > 4*logBytes {
		s.frames = nil
	}
}

// relieve flushes in the middle of a turn when much is waiting to be written. It must not be called while frames are
// being handed to subscribers.
func (s *shard) relieve() {
	if len(s.frames)+len(s.packer.blocks)+s.pending > logBytes {
		s.flush()
	}
}

func (s *shard) measure(began int64, posts int) {
	now := s.b.clock.now()
	if posts > 0 {
		s.turnTime.Store(now - began)
	}
	s.stats.turn(began, now)
	if s.turnWrites >= s.b.options.hosting.writes {
		s.b.crowded.Store(now)
	}
	s.turnWrites = 0
	if s.turnSent > 0 {
		s.stats.latency.observe(now-s.oldest, s.turnSent)
		s.turnSent = 0
	}
}

// end closes every connection and makes the loop end with the last of them.
func (s *shard) end(r closeReason) {
	s.ending = true
	for _, c := range s.conns {
		if c != nil {
			c.close(r)
		}
	}
}

// finish closes what is open when the loop has ended.
func (s *shard) finish() {
	s.ending = true
	s.dismissGuests()
	close(s.host.ended)
	s.letIn()
	for _, c := range s.conns {
		if c != nil {
			c.release()
		}
	}
}

// wind does what has been posted to the shard since its loop ended: messages that other shards had for it, and what
// others wait for. It tells whether there was anything.
func (s *shard) wind() bool {
	posts := s.in.take(nil)
	for _, p := range posts {
		p.run(s)
	}
	s.sendBatches()
	s.commit()
	return len(posts) > 0
}

// windTime is how long the store has at the end to take what is left for it.
const windTime = 5 * time.Second

// windStore hands everything that is left to the store, unless that fails.
func (s *shard) windStore() {
	end := time.Now().Add(windTime)
	for s.committing || s.txn != nil || len(s.unsaved) > 0 {
		if s.failing || time.Now().After(end) {
			return
		}
		if s.committing {
			s.poll.Prepare()
			if s.in.empty() {
				_, _ = s.poll.Wait(windTime, false)
			}
			s.wind()
			continue
		}
		s.lazy, s.retryAt = false, 0
		s.commit()
	}
}

// close refuses further posts and lets go of those that came too late.
func (s *shard) close() {
	for _, p := range s.in.close() {
		if d, ok := p.(dropper); ok {
			d.drop()
		}
	}
	_ = s.poll.Close()
}

// dropper is a post that holds something that must be released if it never runs.
type dropper interface{ drop() }

// buffer returns an empty buffer, perhaps one that was used before.
func (s *shard) buffer() []byte {
	if n := len(s.buffers); n > 0 {
		b := s.buffers[n-1]
		s.buffers = s.buffers[:n-1]
		s.spareBytes -= cap(b)
		return b
	}
	return make([]byte, 0, smallBuffer)
}

const (
	smallBuffer = 1 << 10
	largeBuffer = 64 << 10 // an outbox that holds more is written before the turn ends
	spareBytes  = 8 << 20  // in buffers that are kept for the next use
)

// recycle takes back a buffer that is no longer needed.
func (s *shard) recycle(b []byte) {
	if cap(b) >= smallBuffer && cap(b) <= 4*largeBuffer && s.spareBytes+cap(b) <= spareBytes {
		s.spareBytes += cap(b)
		s.buffers = append(s.buffers, b[:0])
	}
}
