package broker

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"
)

// SlowClient is a client that is connected and for which something waits, or that has not got all that it was to get.
type SlowClient struct {
	ID       string
	User     string // "": none
	Listener string
	Remote   string // its address

	ParkedSince time.Time // when its socket was full first, and has not been empty since; zero: it is not full
	LastWrite   time.Time // when it last took something, if it is parked
	Waiting     int       // QoS 0 messages that wait for its socket
	Queued      int       // QoS 1 and 2 messages that wait in its session
	Inflight    int       // QoS 1 and 2 messages that it has not acknowledged
	Bytes       int64     // of what is in Waiting and Queued, and of packets that its socket has not taken yet

	Lost map[string]uint64 // in the life of its session, by the reasons of Stats.Dropped; those that are 0 are left out
}

const mostSlowest = 1000

// slowestStep is how many connections a shard looks at in one turn. Tests make do with less.
var slowestStep = 2048

// Slowest returns the clients for which most bytes wait, most first, then those that have lost most; at most n, and never
// more than 1,000. The shards look at their connections a few at a time, beside their work. It returns ErrClosed if the
// broker does not run, and an error if they have not done so when ctx ends.
func (b *Broker) Slowest(ctx context.Context, n int) ([]SlowClient, error) {
	b.mu.RLock()
	running := b.state == stateRunning
	b.mu.RUnlock()
	if !running {
		return nil, ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n = min(max(n, 0), mostSlowest)
	answers := make(chan []slowConn, len(b.shards))
	for _, s := range b.shards {
		if !s.post(&slowSearch{ctx: ctx, most: n, answer: answers}) {
			return nil, ErrClosed
		}
	}
	var all []slowConn
	for range b.shards {
		select {
		case some := <-answers:
			all = append(all, some...)
		case <-ctx.Done():
			return nil, fmt.Errorf("broker: slowest clients: the shards have not answered: %w", ctx.Err())
		}
	}
	slices.SortFunc(all, func(x, y slowConn) int { return y.compare(&x) })
	out := make([]SlowClient, 0, n)
	for i := range all[:min(n, len(all))] {
		out = append(out, all[i].told)
	}
	return out, nil
}

// slowConn is a connection with what it is judged by.
type slowConn struct {
	c     *conn
	bytes int64
	lost  uint64
	told  SlowClient
}

// compare is positive if x is slower.
func (x *slowConn) compare(y *slowConn) int {
	return cmp.Or(cmp.Compare(x.bytes, y.bytes), cmp.Compare(x.lost, y.lost), cmp.Compare(y.told.ID, x.told.ID))
}

// slowSearch is a shard's search for its slowest connections: a post that posts itself again until it has seen all of them.
type slowSearch struct {
	ctx    context.Context // when it has ended nobody waits for the answer any more
	most   int
	at     int        // the next slot
	found  []slowConn // a heap, the least slow at its top
	answer chan<- []slowConn
}

func (q *slowSearch) run(s *shard) {
	if q.ctx.Err() != nil {
		return
	}
	end := min(q.at+slowestStep, len(s.conns))
	for _, c := range s.conns[min(q.at, end):end] {
		if c != nil && c.state == stateOpen {
			q.consider(c)
		}
	}
	if q.at = end; end < len(s.conns) && s.post(q) {
		return
	}
	found := q.found[:0]
	for _, x := range q.found {
		if x.c.shard == s && x.c.state == stateOpen {
			x.told = x.c.tellSlow()
			found = append(found, x)
		}
	}
	q.answer <- found // has room for the answers of all shards
}

func (q *slowSearch) consider(c *conn) {
	x := slowConn{c: c, bytes: c.waitingBytes(), lost: c.session.gap.total()}
	if x.bytes == 0 && x.lost == 0 || q.most == 0 {
		return
	}
	if len(q.found) < q.most {
		heap.Push(q, x)
	} else if x.compare(&q.found[0]) > 0 {
		q.found[0] = x
		heap.Fix(q, 0)
	}
}

// Len, Less, Swap, Push and Pop are for container/heap.
func (q *slowSearch) Len() int           { return len(q.found) }
func (q *slowSearch) Less(i, j int) bool { return q.found[i].compare(&q.found[j]) < 0 }
func (q *slowSearch) Swap(i, j int)      { q.found[i], q.found[j] = q.found[j], q.found[i] }
func (q *slowSearch) Push(x any)         { q.found = append(q.found, x.(slowConn)) }
func (q *slowSearch) Pop() any {
	last := len(q.found) - 1
	x := q.found[last]
	q.found = q.found[:last]
	return x
}

// waitingBytes is how much waits for the connection that it was not sent.
func (c *conn) waitingBytes() int64 {
	n := len(c.out.wire) + c.out.waits() + c.session.queue.bytes
	if c.parked != nil {
		n += c.parked.bytes
	}
	return int64(n)
}

// tellSlow describes the connection.
func (c *conn) tellSlow() SlowClient {
	ss := c.session
	x := SlowClient{
		ID: ss.id, User: ss.user, Listener: c.listener, Remote: c.remote,
		Queued: ss.queue.len(), Inflight: int(ss.window.live), Bytes: c.waitingBytes(), Lost: make(map[string]uint64),
	}
	if p := c.parked; p != nil {
		x.Waiting, x.ParkedSince, x.LastWrite = p.count, c.b.clock.wall(p.since), c.b.clock.wall(p.wrote)
	}
	if g := ss.gap; g != nil {
		for _, counts := range []map[dropReason]uint64{g.counts, g.untold} {
			for why, n := range counts {
				x.Lost[dropLabels[why]] += n
			}
		}
	}
	return x
}
