package broker

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// ranking sorts the sessions of a shard into classes by the length of their queues. A class spans a quarter of an octave.
// Sessions with almost empty queues are in class 0, which has no list.
type ranking struct {
	classes [rankClasses]*ranked // lists; nil: empty
	places  []*ranked            // by session.place; entry 0 is unused
	free    []int32              // unused places
	highest int32                // highest class with a session; the shard's loop alone reads it
	top     atomic.Int32         // copy of highest for other shards
	asked   atomic.Bool          // another shard has asked for room, and the request is pending
}

// ranked is a session's entry in a ranking.
type ranked struct {
	ss         *session
	next, prev *ranked
	class      int32
	taken      int64 // time when the client last took a message from the queue, on the broker's clock
}

const (
	rankClasses = 4 * 64
	// readerShift is the number of octaves by which a queue counts as shorter while its client takes messages from it: such a
	// queue drains, an offline client's does not.
	readerShift = 4
	readerTime  = int64(10 * time.Second)
	roomBatch   = 256 // messages dropped at once for another shard's request
)

// rank returns the session's class.
func (ss *session) rank() int32 {
	a, q := &ss.shard.b.account, &ss.queue
	n := max(int64(q.bytes), int64(q.len())*a.unit)
	if ss.conn != nil && (ss.place == 0 || ss.shard.now-ss.ranked().taken < readerTime) {
		n >>= readerShift
	}
	if n <= a.little {
		return 0
	}
	octave := bits.Len64(uint64(n))
	return int32(4*octave) + int32(n>>max(octave-3, 0)&3)
}

// rerank moves the session to its class after a change of its queue or its connection.
func (ss *session) rerank() {
	r, class := &ss.shard.waits.ranking, ss.rank()
	if ss.place == 0 {
		if class == 0 {
			return
		}
		r.enter(ss)
	}
	if x := ss.ranked(); class != x.class {
		r.move(x, class)
	}
	if ss.queue.len() == 0 {
		r.leave(ss)
	}
}

func (ss *session) ranked() *ranked { return ss.shard.waits.ranking.places[ss.place] }

// took notes that the client takes messages from the queue.
func (ss *session) took() {
	if ss.place != 0 {
		ss.ranked().taken = ss.shard.now
	}
}

func (r *ranking) enter(ss *session) {
	x := &ranked{ss: ss, taken: ss.shard.now}
	if n := len(r.free); n > 0 {
		ss.place = r.free[n-1]
		r.free = r.free[:n-1]
		r.places[ss.place] = x
		return
	}
	if len(r.places) == 0 {
		r.places = append(r.places, nil)
	}
	ss.place = int32(len(r.places))
	r.places = append(r.places, x)
}

// leave removes a session of class 0.
func (r *ranking) leave(ss *session) {
	r.places[ss.place] = nil
	r.free = append(r.free, ss.place)
	ss.place = 0
}

func (r *ranking) move(x *ranked, class int32) {
	if x.class != 0 {
		r.remove(x)
	}
	x.class = class
	if class == 0 {
		return
	}
	first := r.classes[class]
	if x.next = first; first != nil {
		first.prev = x
	}
	r.classes[class] = x
	if class > r.highest {
		r.highest = class
		r.top.Store(class)
	}
}

func (r *ranking) remove(x *ranked) {
	if x.next != nil {
		x.next.prev = x.prev
	}
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		r.classes[x.class] = x.next
	}
	x.next, x.prev = nil, nil
	if x.class < r.highest || r.classes[x.class] != nil {
		return
	}
	for r.highest > 0 && r.classes[r.highest] == nil {
		r.highest--
	}
	r.top.Store(r.highest)
}

// longest returns the class of the longest queue.
func (r *ranking) longest() int32 { return r.highest }

// first returns a session of the highest class, which must not be 0.
func (r *ranking) first() *session { return r.classes[r.highest].ss }

// longestElsewhere returns the other shard with the longest queue; nil: all other shards have class 0 only.
func (b *Broker) longestElsewhere(s *shard) (other *shard) {
	most := int32(0)
	for _, t := range b.shards {
		if top := t.waits.ranking.top.Load(); t != s && top > most {
			other, most = t, top
		}
	}
	return other
}

// makeRoom asks this shard, from another one, to drop messages of its longest queues.
func (s *shard) makeRoom() {
	if s.waits.ranking.asked.CompareAndSwap(false, true) {
		s.post(call((*shard).giveRoom))
	}
}

// giveRoom drops messages of the shard's longest queues until the account has room for some messages.
func (s *shard) giveRoom() {
	a := &s.b.account
	for range roomBatch {
		if s.waits.ranking.longest() == 0 || s.fits(int(a.share.bytes/spareShare/2), &a.share) {
			break
		}
		s.waits.ranking.first().giveWay()
	}
	s.waits.ranking.asked.Store(false)
}

// giveWay drops a message from the session's queue by the overflow policy, because there is no room for messages of other sessions.
func (ss *session) giveWay() {
	if ss.dropExpired() {
		return
	}
	var d delivery
	switch ss.shard.b.limits.Overflow {
	case OverflowDropOldest:
		d = ss.queue.pop(ss)
		ss.left(&d)
	case OverflowDisconnect:
		if ss.conn != nil {
			ss.shard.doomConn(ss.conn, closeQueueFull)
		}
		fallthrough
	default:
		d = ss.queue.popLast(ss)
		ss.forgo(&d)
	}
	ss.loseQueued(&d)
}
