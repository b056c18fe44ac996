package broker

// Of a ticker only the newest value counts, but what a socket holds for a slow reader cannot be replaced any more. The kernel
// holds megabytes, which is minutes behind a slow line. So a connection that is sent topics whose policy is Conflate is made
// shallow: little waits in its socket, everything else in its parking, where newer values take the place of older ones.
const (
	shallowBytes = 4 << 10 // that wait in a shallow connection's socket before it counts as full
	shallowPiece = 2 << 10 // written at first of what has waited
	shallowBatch = 8 << 10 // written at once of what comes, once the socket has been full
)

// makeShallow makes the connection shallow, for good.
func (c *conn) makeShallow() {
	c.shallow = true
	if c.carrier == nil {
		setShallow(c.fd, shallowBytes)
	} else if st, ok := c.carrier.(*stream); ok {
		st.makeShallow()
	}
}

// sip writes what a shallow connection has as soon as it is a piece, and returns how large the next one may be. If there is
// more and not all is on its way, that is sent when the socket asks for it: until then it stays where it can be replaced. A
// peer that reads quickly again gets more at a time.
func (c *conn) sip(piece int, more bool) (next int) {
	if c.out.waits() < piece {
		return piece
	}
	if c.flush(); c.isQuick() {
		return min(2*piece, largeBuffer)
	}
	if more && c.carrier == nil && c.state == stateOpen && c.doom == closeNone {
		c.block()
	}
	return piece
}

// isQuick tells whether the socket has sent all that it was given.
func (c *conn) isQuick() bool {
	return c.carrier == nil && !c.watchWrite && c.state == stateOpen && c.doom == closeNone && unsent(c.fd) == 0
}

// isTicker tells whether only the newest value of a topic counts.
func (s *shard) isTicker(topic string) bool {
	return s.b.policies != nil && s.b.policies.QueuePolicy(topic) == Conflate
}
