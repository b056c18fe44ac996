package broker

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/flate"
)

const (
	inflateChunk   = 16 << 10 // bytes inflated at once
	inflateFeed    = 64 << 10 // compressed bytes that may come without anything in them
	spareInflaters = 4        // kept by a shard
)

// inflateTail is what is appended to a compressed message: the end of an empty stored block, which the peer has left out
// (RFC 7692 7.2.2), and an empty final block, so that the end is not taken for a cut.
const inflateTail = "\x00\x00\xFF\xFF\x01\x00\x00\xFF\xFF"

// errStingy tells that a compressed message has many blocks with nothing in them.
var errStingy = errors.New("much is compressed to nothing")

// receiving is the part of a deflation that is about what the peer sends. A compressed message is kept as it is until it
// is complete, and then inflated in pieces: in a turn no more than would be read of one that is not compressed. What is
// behind it waits, and the peer is not read.
type receiving struct {
	in         []byte    // the compressed message so far
	message    *inflater // the message being inflated; nil: none
	room       int       // what it may still come to
	budget     int       // what may still be inflated in this turn
	later      []byte    // what was read and has to wait
	compressed bool      // the message whose frames are coming in is compressed
	posted     bool      // a post that goes on is on its way
}

// inflater inflates one message at a time.
type inflater struct {
	src   source
	flate io.ReadCloser
}

// source is compressed bytes. It gives up when many of them have been taken for nothing.
type source struct {
	bytes.Reader
	left int
}

func (r *source) ReadByte() (byte, error) {
	if r.left--; r.left < 0 {
		return 0, errStingy
	}
	return r.Reader.ReadByte()
}

// holds tells whether what comes next has to wait, and keeps it: while a message is being inflated, and whenever reading
// would stop, since what was read may be much more than it looks.
func (z *deflation) holds(c *conn, data []byte) bool {
	if z.message == nil && z.budget > 0 && c.paused&pauseRate == 0 && (c.state == stateOpen || c.state == stateNew) {
		return false
	}
	if z.later == nil {
		z.later = c.shard.buffer()
	}
	z.later = append(z.later, data...)
	z.wait(c)
	return true
}

// wait stops reading. A connection that is on its way to the authenticators goes on when it is let in.
func (z *deflation) wait(c *conn) {
	if c.state == stateChecking {
		c.paused |= pauseInflate
		return
	}
	c.setPause(pauseInflate, true)
}

// admits tells whether a frame of n bytes may come, given what the message may come to: deflating may make a message
// larger, but not by much.
func (z *deflation) admits(c *conn, n uint64) bool {
	most := c.mostBytes()
	return uint64(len(z.in))+n <= uint64(most+most/64+1024)
}

// keep keeps a piece of a compressed message.
func (z *deflation) keep(c *conn, chunk []byte) {
	if z.in == nil {
		z.in = c.shard.buffer()
	}
	z.in = append(z.in, chunk...)
}

// begin inflates the message that is complete.
func (z *deflation) begin(c *conn) {
	if len(z.in) == 0 {
		return
	}
	z.in = append(z.in, inflateTail...)
	z.message = c.shard.inflater(z.in)
	z.room = c.mostBytes()
	z.inflate(c)
}

// inflate handles what is in the message, as much as this turn may.
func (z *deflation) inflate(c *conn) {
	s := c.shard // not always the one on which the message began
	if s.inflated == nil {
		s.inflated = make([]byte, inflateChunk)
	}
	for z.message != nil {
		if z.budget <= 0 || c.paused&pauseRate != 0 {
			z.wait(c)
			return
		}
		n, taken, err := z.message.read(s.inflated)
		z.budget -= max(n, taken, 1)
		if z.room -= n; z.room < 0 {
			z.refuse(c, wsTooBig)
			return
		}
		if n > 0 {
			c.feed(s.inflated[:n])
		}
		switch {
		case c.state == stateLingering || c.state == stateClosed:
			z.end(s)
		case err == io.EOF && z.message.src.Len() == 0:
			z.end(s)
		case err == io.EOF:
			z.message.next() // a final block need not be the last one (RFC 7692 7.2.3.4)
		case err != nil:
			z.refuse(c, wsInvalid)
		}
	}
}

func (z *deflation) refuse(c *conn, code uint16) {
	z.end(c.shard)
	c.ws.fail(c, code)
}

// end gives back what inflating the message took.
func (z *deflation) end(s *shard) {
	s.recycleInflater(z.message)
	s.recycle(z.in)
	z.message, z.in = nil, nil
}

// drop gives back everything; nothing more will be handled.
func (z *deflation) drop(s *shard) {
	if z.message != nil {
		s.recycleInflater(z.message)
	}
	s.recycle(z.in)
	s.recycle(z.later)
	z.receiving = receiving{posted: z.posted}
}

// resume goes on with what waits, in another turn.
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

// proceed handles what waits, unless reading is stopped for another reason, too: then watch resumes it when that is over.
func (c *conn) proceed() {
	z := c.ws.deflation
	if c.state != stateOpen && c.state != stateNew || c.paused != pauseInflate || c.stores && c.shard.throttle(c) {
		return
	}
	z.budget = readBytes
	z.inflate(c)
	if later := z.later; z.message == nil && later != nil {
		z.later = nil
		c.ws.receive(c, later)
		c.shard.recycle(later)
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

// inflater returns one that inflates b.
func (s *shard) inflater(b []byte) *inflater {
	if n := len(s.inflaters); n > 0 {
		f := s.inflaters[n-1]
		s.inflaters = s.inflaters[:n-1]
		f.begin(b)
		return f
	}
	f := new(inflater)
	f.src.Reader.Reset(b)
	f.flate = flate.NewReader(&f.src)
	return f
}

func (f *inflater) begin(b []byte) {
	f.src.Reader.Reset(b)
	f.next()
}

// next begins anew with what follows.
func (f *inflater) next() { _ = f.flate.(flate.Resetter).Reset(&f.src, nil) }

// read inflates into b, and tells how many bytes that has taken.
func (f *inflater) read(b []byte) (n, taken int, err error) {
	before := f.src.Len()
	f.src.left = inflateFeed
	n, err = f.flate.Read(b)
	return n, before - f.src.Len(), err
}

// recycleInflater takes back an inflater that is no longer needed.
func (s *shard) recycleInflater(f *inflater) {
	f.src.Reader.Reset(nil)
	if len(s.inflaters) < spareInflaters {
		s.inflaters = append(s.inflaters, f)
	}
}
