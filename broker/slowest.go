package broker

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"
)

// SlowClient is a connected client with waiting output or with losses.
type SlowClient struct {
	ID       string
	User     string // "": none
	Listener string
	Remote   string // its address

	ParkedSince time.Time // start of the current period with a full socket; zero: not full
	LastWrite   time.Time // last time when the socket took bytes, if it is full
	Waiting     int       // QoS 0 messages that wait for its socket
	Queued      int       // QoS 1 and 2 messages queued in its session
	Inflight    int       // unacknowledged QoS 1 and 2 messages
	Bytes       int64     // of Waiting and Queued, and of packets that its socket has not taken yet

	Lost map[string]uint64 // in the life of its session, by the reasons of Stats.Dropped; zeros are omitted
}

const mostSlowest = 1000

// slowestStep is the number of connections that a shard checks in one turn. Tests lower it.
var slowestStep = 2048

// Slowest returns the clients with the most waiting bytes, in descending order, then by losses; at most n, and never more
// than 1,000. The shards check a few connections per turn, beside their other work. It returns ErrClosed if the broker does
// not run, and an error if ctx ends first.
func (b *Broker) Slowest(ctx context.Context, n int) ([]SlowClient, error) {
	b.life.mu.RLock()
	running := b.life.state == stateRunning
	b.life.mu.RUnlock()
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

// slowConn is a connection with the values for its ranking.
type slowConn struct {
	c     *conn
	bytes int64
	lost  uint64
	told  SlowClient
}

// compare returns a positive number if x is slower than y.
func (x *slowConn) compare(y *slowConn) int {
	return cmp.Or(cmp.Compare(x.bytes, y.bytes), cmp.Compare(x.lost, y.lost), cmp.Compare(y.told.ID, x.told.ID))
}

// slowSearch is a shard's search for its slowest connections: a post that posts itself again until it has checked all of them.
type slowSearch struct {
	ctx    context.Context // of the caller; the search stops when it ends
	most   int
	at     int        // next slot
	found  []slowConn // a heap with the least slow connection at the top
	answer chan<- []slowConn
}

func (q *slowSearch) run(s *shard) {
	if q.ctx.Err() != nil {
		return
	}
	end := min(q.at+slowestStep, len(s.conns.slots))
	for _, c := range s.conns.slots[min(q.at, end):end] {
		if c != nil && c.state == stateOpen {
			q.consider(c)
		}
	}
	if q.at = end; end < len(s.conns.slots) && s.post(q) {
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
	x := slowConn{c: c, bytes: c.waitingBytes(), lost: c.session.losses.total()}
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

// waitingBytes returns the number of bytes that wait for the connection.
func (c *conn) waitingBytes() int64 {
	n := c.out.wire.len() + c.out.waits() + c.session.queue.bytes
	if c.output.blocked != nil {
		n += c.output.blocked.bytes
	}
	return int64(n)
}

func (c *conn) tellSlow() SlowClient {
	ss := c.session
	x := SlowClient{
		ID: ss.id, User: ss.usage.user, Listener: c.listener, Remote: c.remote,
		Queued: ss.queue.len(), Inflight: int(ss.inflight.live), Bytes: c.waitingBytes(), Lost: make(map[string]uint64),
	}
	if p := c.output.blocked; p != nil {
		x.Waiting, x.ParkedSince = p.count, c.b.clock.wall(p.since)
		x.LastWrite = x.ParkedSince.Add(time.Duration(p.wrote - p.since))
	}
	if g := ss.losses; g != nil {
		for _, counts := range []map[dropReason]uint64{g.counts, g.untold} {
			for why, n := range counts {
				x.Lost[dropLabels[why]] += n
			}
		}
	}
	return x
}
