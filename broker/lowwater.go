package broker

import "github.com/outcry-mqtt/outcry/internal/poller"

// Only the newest value of a ticker counts, but a value in the socket's buffer cannot be replaced. The kernel buffers
// megabytes, which take minutes on a slow line. So the socket of a connection that is sent Conflate topics gets a low-water
// mark: little waits in the socket, and the rest is blocked output, where newer values replace older ones.
const (
	lowWaterBytes = 4 << 10 // unsent bytes in the socket of such a connection before it counts as full
	lowWaterPiece = 2 << 10 // size of the first write from waiting messages
	lowWaterBatch = 8 << 10 // size of a write of new messages, once the socket has been full
)

// setLowWater gives the connection's socket the low-water mark, for good.
func (c *conn) setLowWater() {
	c.output.lowWater = true
	if c.carrier == nil {
		poller.SetLowWater(c.fd, lowWaterBytes)
	} else if st, ok := c.carrier.(*stream); ok {
		st.setLowWater()
	}
}

// writeLowWater writes the output of a connection with the low-water mark as soon as it reaches piece bytes, and returns the size of
// the next piece. If more waits and the socket still holds unsent bytes, the rest waits until the socket is writable, where
// newer values can replace it. A client that reads fast again gets larger pieces.
func (c *conn) writeLowWater(piece int, more bool) (next int) {
	if c.out.waits() < piece {
		return piece
	}
	if c.flush(); c.isQuick() {
		return min(2*piece, largeBuffer)
	}
	if more && c.carrier == nil && c.isUp() {
		c.block()
	}
	return piece
}

// isQuick reports whether the socket has sent all of its bytes.
func (c *conn) isQuick() bool {
	return c.carrier == nil && !c.polled.watchWrite && c.isUp() && poller.Unsent(c.fd) == 0
}

// isTicker reports whether a topic is a ticker.
func (s *shard) isTicker(topic string) bool {
	return s.b.hooks.policies != nil && s.b.hooks.policies.QueuePolicy(topic) == Conflate
}
