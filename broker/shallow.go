package broker

// Of a ticker only the newest value counts, but what a socket holds for a slow reader cannot be replaced any more. The kernel
// holds megabytes, which is minutes behind a slow line. So a connection that is sent topics whose policy is Conflate is made
// shallow: little waits in its socket, everything else in its parking, where newer values take the place of older ones.
const (
	shallowBytes = 4 << 10 // that wait in a shallow connection's socket before it counts as full
	shallowPiece = 2 << 10 // written at once of what has waited
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

// sip writes what a shallow connection has as soon as it is a piece. If there is more, that is sent when the socket asks for
// it: until then it stays where it can be replaced.
func (c *conn) sip(more bool) {
	if c.out.waits() < shallowPiece {
		return
	}
	c.flush()
	if more && c.carrier == nil && c.state == stateOpen && c.doom == closeNone {
		c.block()
	}
}

// isTicker tells whether only the newest value of a topic counts.
func (s *shard) isTicker(topic string) bool {
	return s.b.policies != nil && s.b.policies.QueuePolicy(topic) == Conflate
}
