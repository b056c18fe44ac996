package broker

// backpressure tracks connections that are not read because the shard that gets their messages, or the store, has fallen behind.
type backpressure struct {
	choked    []choke   // by shard: its lag when this shard last posted to it
	heldBack  [][]*conn // by shard: connections held back until it has caught up
	waiters   []*shard  // shards with connections held back until this one has caught up
	throttled []*conn   // connections held back until the store has caught up
}

func newBackpressure(shards int) backpressure {
	return backpressure{choked: make([]choke, shards), heldBack: make([][]*conn, shards)}
}

// choke is the lag of another shard.
type choke uint8

const (
	chokeNone choke = iota
	chokeWork       // over inboxWork: connections that publish costly messages are held back
	chokeAll        // over inboxBytes: all connections that publish to it are held back
)

// costly is the number of units from which a message counts as costly.
const costly = 256

// choke records the lag of another shard, by bytes and units of work in its inbox, and asks it to report when it has caught up.
func (s *shard) choke(to *shard, bytes, work int64) {
	now := chokeNone
	switch {
	case bytes > inboxBytes:
		now = chokeAll
	case work > inboxWork:
		now = chokeWork
	}
	p := &s.pressure
	if p.choked[to.index] == chokeNone && now != chokeNone {
		to.post(call(func(t *shard) { t.pressure.waiters = append(t.pressure.waiters, s) }))
	}
	p.choked[to.index] = max(p.choked[to.index], now)
}

// holdBack holds back a connection that publishes to a shard that has fallen behind. work is the cost in units of delivering its message.
func (s *shard) holdBack(c *conn, to int, work int64) {
	p := &s.pressure
	if p.choked[to] == chokeNone || c == nil || c.input.paused&pauseChoked != 0 || p.choked[to] == chokeWork && work < costly {
		return
	}
	p.heldBack[to] = append(p.heldBack[to], c)
	c.setPause(pauseChoked, true)
}

// releaseWaiters resumes connections held back on other shards, once this shard's inbox is half empty.
func (s *shard) releaseWaiters() {
	p, me := &s.pressure, s.index
	if len(p.waiters) == 0 || s.stats.inboxBytes.Load() >= inboxBytes/2 || s.stats.inboxWork.Load() >= inboxWork/2 {
		return
	}
	for _, w := range p.waiters {
		w.post(call(func(w *shard) { w.resumeHeldBack(me) }))
	}
	clear(p.waiters)
	p.waiters = p.waiters[:0]
}

// resumeHeldBack reads connections again that were held back for a shard.
func (s *shard) resumeHeldBack(shard int) {
	p := &s.pressure
	p.choked[shard] = chokeNone
	for _, c := range p.heldBack[shard] {
		if c.shard == s && c.state != stateClosed {
			c.setPause(pauseChoked, false)
		}
	}
	clear(p.heldBack[shard])
	p.heldBack[shard] = p.heldBack[shard][:0]
}

// Unflushed operations are bounded in number and bytes, because the next client's write waits for all of them. Beyond the bounds a
// shard holds back connections with unflushed operations. It still reads a client without any, so that client waits for one
// transaction at most. Beyond twice the bytes it holds back every connection whose next message must be stored.
const (
	mostStoringUnits = 40000   // per shard: as many operations on messages, or 2,500 others; a store writes them in about 20 ms
	scatteredUnits   = 16      // cost of other operations: their keys are scattered over the store, while messages lie side by side
	unitBytes        = 1 << 10 // each such part of a key and its value counts as one more operation
	lazyAtOnce       = 500     // non-urgent sessions in a transaction, and as many subscriptions
)

// mostStoring returns the limit in bytes of a shard's unflushed operations.
func (s *shard) mostStoring() int64 { return int64(s.b.limits.MaxStoringBytes / len(s.b.shards)) }

// throttle holds back a connection whose packets are stored, while unflushed operations exceed a limit. It returns true if it did.
func (s *shard) throttle(c *conn) bool {
	if s.journal.bytes <= s.mostStoring() && (s.journal.units < mostStoringUnits || len(c.acks.held) == 0) {
		return false
	}
	s.holdBackForStore(c)
	return true
}

// holdBackForStore holds back a connection until fewer operations are unflushed.
func (s *shard) holdBackForStore(c *conn) {
	if c.input.paused&pauseStoring == 0 {
		s.pressure.throttled = append(s.pressure.throttled, c)
		c.setPause(pauseStoring, true)
	}
}

// resumeStoring reads connections again that were held back for the store.
func (s *shard) resumeStoring() {
	if len(s.pressure.throttled) == 0 || s.journal.bytes > s.mostStoring()/2 || s.journal.units > mostStoringUnits/2 {
		return
	}
	all := s.pressure.throttled
	s.pressure.throttled = nil // some may be held back again at once
	for _, c := range all {
		if c.shard == s && c.state != stateClosed {
			c.setPause(pauseStoring, false)
		}
	}
}
