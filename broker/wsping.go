package broker

import (
	"time"

	"github.com/outcry-mqtt/outcry/internal/websocket"
)

// Proxies cut silent connections, most after 60 s, and a 3.x client cannot be given a keep alive. So a WebSocket client is
// sent a ping (RFC 6455 5.5.2) after a silence of Link.Ping, and again after the same time. A missing pong does not close the
// connection, and a pong is no packet: the client's keep alive is checked as usual.
//
// Pings are due at whole multiples of the interval after the client's last packet. So the tick of the connection's only timer
// tells whether a ping is due, and connections store nothing for it.

// setPing sets the interval of pings to a silent connection.
func (w *webSocket) setPing(every time.Duration) {
	if every > 0 {
		w.ping = uint32(min(max(every/tick, 1), 1<<30))
	}
}

// pingEvery returns the interval of pings in ticks; 0: no pings. A client with a keep alive as short as that needs none.
func (c *conn) pingEvery() int64 {
	if c.ws == nil || c.input.keepAlive != 0 && c.input.keepAlive <= c.ws.ping*3/2 {
		return 0
	}
	return int64(c.ws.ping)
}

// pingDue returns the tick of the next ping if the client stays silent; 0: none.
func (c *conn) pingDue() int64 {
	every := c.pingEvery()
	if every == 0 {
		return 0
	}
	silent := max(c.shard.now/int64(tick)-c.input.lastRead, 0)
	return c.input.lastRead + (silent/every+1)*every
}

// ping sends a ping if one is due at the tick and the socket has no other output, which would serve as well.
func (c *conn) ping(due int64) {
	every := c.pingEvery()
	if every == 0 || due <= c.input.lastRead || (due-c.input.lastRead)%every != 0 || c.output.blocked != nil || !c.out.empty() {
		return
	}
	frame := websocket.Header(&c.shard.enc.wsHeader, websocket.Ping, 0)
	n, err := c.write(nil, frame) // at once, so that thousands of simultaneous pings need no buffers
	if err != nil {
		c.writeFailed()
		return
	}
	c.wrote(n)
	if n < len(frame) {
		c.blockRest(nil, frame, n, false)
		c.block()
	}
}
