package broker

// backlog holds bytes that are ready for a socket and not accepted by it yet, WebSocket headers included. Small pieces are the
// connection's own copies. Large pieces refer to bytes shared by all connections, so a message of megabytes is in memory once,
// however many clients do not read it.
type backlog struct {
	pieces []piece // no piece is empty
	bytes  int     // unsent bytes of all pieces
	own    int     // unsent bytes of copied pieces
}

// piece is a part of the unsent bytes.
type piece struct {
	data   []byte
	sent   int  // bytes of data already sent
	shared bool // data is immutable and may be referenced by other connections
}

// len returns the number of unsent bytes. u may be nil.
func (u *backlog) len() int {
	if u == nil {
		return 0
	}
	return u.bytes
}

// add copies bytes to the end.
func (u *backlog) add(s *shard, b []byte) {
	if len(b) == 0 {
		return
	}
	if n := len(u.pieces); n == 0 || u.pieces[n-1].shared {
		u.pieces = append(u.pieces, piece{data: s.pools.buffer()})
	}
	last := &u.pieces[len(u.pieces)-1]
	last.data = append(last.data, b...)
	u.bytes += len(b)
	u.own += len(b)
}

// share appends immutable bytes by reference.
func (u *backlog) share(b []byte) {
	if len(b) > 0 {
		u.pieces = append(u.pieces, piece{data: b, shared: true})
		u.bytes += len(b)
	}
}

// next returns the unsent part of the first piece.
func (u *backlog) next() (data []byte, shared bool) {
	p := &u.pieces[0]
	return p.data[p.sent:], p.shared
}

// took records that the socket has accepted n bytes of the first piece.
func (u *backlog) took(s *shard, n int) {
	p := &u.pieces[0]
	p.sent += n
	u.bytes -= n
	if !p.shared {
		u.own -= n
	}
	if p.sent < len(p.data) {
		return
	}
	if p.shared {
		s.letGo(len(p.data))
	} else {
		s.pools.recycle(p.data)
	}
	u.pieces[0] = piece{}
	if len(u.pieces) == 1 {
		u.pieces = u.pieces[:0] // keeps the capacity for the next piece
	} else {
		u.pieces = u.pieces[1:]
	}
}

// spareBacklogs is the number of empty backlogs that a shard keeps for reuse.
const spareBacklogs = 256

// backlog returns the connection's backlog, and creates it if there is none.
func (c *conn) backlog() *backlog {
	if c.out.wire == nil {
		c.out.wire = c.shard.newBacklog()
	}
	return c.out.wire
}

func (s *shard) newBacklog() *backlog {
	last := len(s.pools.backlogs) - 1
	if last < 0 {
		return new(backlog)
	}
	u := s.pools.backlogs[last]
	s.pools.backlogs = s.pools.backlogs[:last]
	return u
}

// releaseBacklog drops the connection's unsent bytes and returns the backlog to the pool.
func (c *conn) releaseBacklog() {
	u, s := c.out.wire, c.shard
	c.out.wire = nil
	if u == nil {
		return
	}
	u.release(s)
	if len(s.pools.backlogs) < spareBacklogs {
		s.pools.backlogs = append(s.pools.backlogs, u)
	}
}

// release returns copied pieces to the pool.
func (u *backlog) release(s *shard) {
	for i := range u.pieces {
		if p := &u.pieces[i]; !p.shared {
			s.pools.recycle(p.data)
		}
	}
	clear(u.pieces)
	*u = backlog{pieces: u.pieces[:0]}
	if cap(u.pieces) > 8 {
		u.pieces = nil
	}
}
