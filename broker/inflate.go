package broker

import (
	"io"

	"github.com/outcry-mqtt/outcry/internal/websocket"
)

const (
	inflateChunk   = 16 << 10 // bytes inflated at once
	spareInflaters = 4        // inflaters that a shard keeps for reuse
)

// receiving is the input side of a deflation. A compressed message is buffered until it is complete, and then inflated in pieces. A
// turn inflates no more than it would read of uncompressed input. Later input waits, and the peer is not read.
type receiving struct {
	in      []byte              // the compressed message so far
	message *websocket.Inflater // the message being inflated; nil: none
	room    int                 // bytes that the message may still inflate to
	budget  int                 // bytes that may still be inflated in this turn
	later   []byte              // input that has to wait
	posted  bool                // a post that continues inflating is on its way
}

// holds buffers input that has to wait, and reports whether it did. Input waits while a message is being inflated, and while
// reading is paused or the turn's budget is used up, because it may inflate to much more.
func (z *deflation) holds(c *conn, data []byte) bool {
	if z.message == nil && z.budget > 0 && c.input.paused&(pauseRate|pauseTurn) == 0 && (c.state == stateOpen || c.state == stateNew) {
		return false
	}
	if z.later == nil {
		z.later = c.shard.pools.buffer()
	}
	z.later = append(z.later, data...)
	z.wait(c)
	return true
}

// wait pauses reading. A connection that is being authenticated continues when it is admitted.
func (z *deflation) wait(c *conn) {
	if c.state == stateChecking {
		c.input.paused |= pauseInflate
		return
	}
	c.setPause(pauseInflate, true)
}

// admits reports whether a frame of n bytes fits the message's size limit. Deflating may make a message slightly larger.
func (z *deflation) admits(c *conn, n uint64) bool {
	most := c.mostBytes()
	return uint64(len(z.in))+n <= uint64(most+most/64+1024)
}

// keep buffers a piece of a compressed message.
func (z *deflation) keep(c *conn, chunk []byte) {
	if z.in == nil {
		z.in = c.shard.pools.buffer()
	}
	z.in = append(z.in, chunk...)
}

// begin inflates the complete message.
func (z *deflation) begin(c *conn) {
	if len(z.in) == 0 {
		return
	}
	z.in = append(z.in, websocket.Tail...)
	z.message = c.shard.inflater(z.in)
	z.room = c.mostBytes()
	z.inflate(c)
}

// inflate handles the message's packets, within this turn's budget.
func (z *deflation) inflate(c *conn) {
	s := c.shard // may differ from the shard on which the message began
	if s.input.inflated == nil {
		s.input.inflated = make([]byte, inflateChunk)
	}
	for z.message != nil {
		if z.budget <= 0 || c.input.paused&(pauseRate|pauseTurn) != 0 {
			z.wait(c)
			return
		}
		n, taken, err := z.message.Read(s.input.inflated)
		z.budget -= max(n, taken, 1)
		if z.room -= n; z.room < 0 {
			z.refuse(c, websocket.TooBig)
			return
		}
		if n > 0 {
			c.feed(s.input.inflated[:n])
		}
		switch {
		case c.state == stateLingering || c.state == stateClosed:
			z.end(s)
		case err == io.EOF:
			z.end(s)
		case err != nil:
			z.refuse(c, websocket.Invalid)
		}
	}
}

func (z *deflation) refuse(c *conn, code uint16) {
	z.end(c.shard)
	c.ws.fail(c, code)
}

// end releases the message's inflater and buffer.
func (z *deflation) end(s *shard) {
	s.recycleInflater(z.message)
	s.pools.recycle(z.in)
	z.message, z.in = nil, nil
}

// drop releases everything. No more input is handled.
func (z *deflation) drop(s *shard) {
	if z.message != nil {
		s.recycleInflater(z.message)
	}
	s.pools.recycle(z.in)
	s.pools.recycle(z.later)
	z.receiving = receiving{posted: z.posted}
}

// resume continues with waiting input, in another turn.
func (z *deflation) resume(c *conn) {
	if z.posted || c.state != stateOpen && c.state != stateNew {
		return
	}
	z.posted = true
	c.shard.post(call(func(*shard) {
		z.posted = false
		c.proceed()
	}))
}

// proceed handles waiting input, unless reading is paused for another reason, too. Then watch resumes it later.
func (c *conn) proceed() {
	z := c.ws.deflation
	if c.state != stateOpen && c.state != stateNew || c.input.paused != pauseInflate || c.input.stores && c.shard.throttle(c) {
		return
	}
	z.budget = readBytes
	z.inflate(c)
	if later := z.later; z.message == nil && later != nil {
		z.later = nil
		c.ws.receive(c, later)
		c.shard.pools.recycle(later)
	}
	if c.state == stateLingering || c.state == stateClosed {
		z.drop(c.shard)
		return
	}
	if z.message == nil && z.later == nil {
		c.setPause(pauseInflate, false)
	}
	c.handOver()
}

// inflater returns an inflater for a message.
func (s *shard) inflater(message []byte) *websocket.Inflater {
	var f *websocket.Inflater
	if n := len(s.pools.inflaters); n > 0 {
		f = s.pools.inflaters[n-1]
		s.pools.inflaters = s.pools.inflaters[:n-1]
	} else {
		f = new(websocket.Inflater)
	}
	f.Begin(message)
	return f
}

func (s *shard) recycleInflater(f *websocket.Inflater) {
	f.Forget()
	if len(s.pools.inflaters) < spareInflaters {
		s.pools.inflaters = append(s.pools.inflaters, f)
	}
}
