package broker

import "time"

// streamGrace is the time for a stream's reader, after the keep alive is over, to pass on bytes that wait in the socket.
const streamGrace = time.Second

// isSilent reports whether no packet has arrived for the keep alive. now is in ticks.
func (c *conn) isSilent(now int64) bool {
	return c.input.keepAlive != 0 && now-c.input.lastRead >= int64(c.input.keepAlive) && c.input.paused&^pauseFull == 0
}

// listen reads once before the connection is closed for silence: if the process stood still, the client's packets wait in the
// socket. It returns false if the connection was closed or its timer runs on.
func (c *conn) listen() bool {
	if st, ok := c.carrier.(*stream); ok && st.askedAt != c.input.lastRead {
		st.askedAt = c.input.lastRead
		c.shard.wheel.Arm(&c.timer, deadline(c.shard.now, streamGrace))
		return false
	}
	if c.carrier != nil {
		return true
	}
	if c.input.paused&pauseFull != 0 {
		c.writable() // if the socket has room again, reading resumes
	}
	return c.state == stateOpen && c.readable() && c.state == stateOpen
}

// listenForConnect reads once before the connection is closed for a missing CONNECT. It returns false if the connection must
// not be closed any more; it may have left the shard.
func (c *conn) listenForConnect() bool {
	if c.carrier != nil {
		return true
	}
	return c.readable() && c.state == stateNew
}
