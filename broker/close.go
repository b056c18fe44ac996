package broker

import (
	"time"

	"github.com/outcry-mqtt/outcry/internal/poller"
	"github.com/outcry-mqtt/outcry/internal/websocket"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// closeReason is the reason for closing a connection.
type closeReason uint8

const (
	closeNone closeReason = iota
	closeClient
	closePeer
	closeIO
	closeConnectTimeout
	closeKeepAlive
	closeRefused
	closeProtocol
	closeTakenOver
	closeNotAuthorized
	closeExpired
	closeSlow
	closeQueueFull
	closeStore
	closeShutdown
	closeAdmin
	closeReasons
)

// closing lists each reason's label, and the codes and reason string that the client is sent.
var closing = [closeReasons]struct {
	label   string
	code    byte   // reason code of DISCONNECT (MQTT 5 3.14.2.1); 0: no DISCONNECT
	frame   uint16 // WebSocket close code (RFC 6455 7.4.1); 0: no close frame
	explain string // reason string
}{
	closeNone:           {label: "none"},
	closeClient:         {label: "client_disconnect", frame: websocket.Normal},
	closePeer:           {label: "peer_closed"},
	closeIO:             {label: "io_error"},
	closeConnectTimeout: {label: "connect_timeout", frame: websocket.Protocol},
	closeKeepAlive:      {label: "keep_alive", code: wire.KeepAliveTimeout, frame: websocket.Protocol, explain: "no packet within one and a half times the keep alive"},
	closeRefused:        {label: "refused", frame: websocket.Policy},
	closeProtocol:       {label: "protocol_error", code: wire.ProtocolError, frame: websocket.Protocol},
	closeTakenOver:      {label: "session_taken_over", code: wire.SessionTakenOver, frame: websocket.Policy, explain: "another connection uses this client identifier"},
	closeNotAuthorized:  {label: "not_authorized", code: wire.NotAuthorized, frame: websocket.Policy},
	closeExpired:        {label: "token_expired", code: wire.NotAuthorized, frame: websocket.Policy, explain: "the token has expired; connect with a fresh one"},
	closeSlow:           {label: "slow_consumer", code: wire.QuotaExceeded, frame: websocket.Policy, explain: "the client reads too slowly"},
	closeQueueFull:      {label: "queue_full", code: wire.QuotaExceeded, frame: websocket.Policy, explain: "too many messages are queued for the client"},
	closeStore:          {label: "store_failed", code: wire.ServerBusy, frame: websocket.Internal, explain: "the message could not be stored; send it again later"},
	closeShutdown:       {label: "server_shutdown", code: wire.ServerShuttingDown, frame: websocket.GoingAway},
	closeAdmin:          {label: "administrative", code: wire.AdministrativeAction, frame: websocket.Policy},
}

// lingerTime is the peer's time to read the last bytes before its socket is closed. Closing a socket with unread input resets it,
// and the peer may lose them.
const lingerTime = 2 * time.Second

// close closes the connection with the reason's default code and text. It is idempotent.
func (c *conn) close(r closeReason) { c.closeWith(r, closing[r].code, closing[r].explain) }

// closeWith closes the connection. It sends DISCONNECT (MQTT 5 only [MQTT-3.14.4]), detaches the session, and closes the socket
// after lingerTime or when the peer has closed.
func (c *conn) closeWith(r closeReason, code byte, reason string) {
	if c.state >= stateLingering {
		return
	}
	s := c.shard
	wasOpen := c.state == stateOpen
	if wasOpen && c.version == wire.V5 && code >= 0x80 {
		if !c.identity.problemInfo {
			reason = ""
		}
		c.sendDisconnect(code, reason)
	}
	c.state = stateLingering
	s.stats.closed[r]++
	c.uncount()
	if wasOpen && r == closeClient {
		c.b.guard.Goodbye(c.identity.client.ID, c.remote)
	}
	if wasOpen {
		c.session.lose(c, r)
	}
	c.farewell(closing[r].frame, r)
}

func (c *conn) sendDisconnect(code byte, reason string) {
	p := wire.AppendDisconnect(nil, code, reason, "")
	if c.output.maxPacket != 0 && len(p) > int(c.output.maxPacket) {
		p = wire.AppendDisconnect(nil, code, "", "")
	}
	if c.output.maxPacket == 0 || len(p) <= int(c.output.maxPacket) {
		c.send(wire.TypeDisconnect, p)
	}
}

// farewell writes the remaining output and closes the socket. It does not linger if the peer has gone or there is no output.
func (c *conn) farewell(frame uint16, r closeReason) {
	c.dropBlocked()
	said := !c.out.empty() || c.ws != nil
	c.flush()
	if c.state == stateClosed {
		return
	}
	if c.ws != nil && (frame != 0 || c.ws.verdict != 0) {
		c.ws.close(c, frame)
		c.flush()
	}
	if c.state == stateClosed {
		return
	}
	if r == closePeer || r == closeIO || !said {
		c.release()
		return
	}
	if c.carrier != nil {
		c.release() // the carrier's writer sends its output before it closes
		return
	}
	c.linger()
}

// linger shuts down the write side and waits until the peer has closed, too, for lingerTime at most.
func (c *conn) linger() {
	if c.out.wire.len() == 0 {
		poller.ShutdownWrite(c.fd)
	}
	c.input.paused = 0
	c.input.partial = nil
	c.watch()
	c.shard.wheel.Arm(&c.timer, deadline(c.shard.now, lingerTime))
}

// release closes the socket and frees the connection. It is idempotent.
func (c *conn) release() {
	if c.state == stateClosed {
		return
	}
	c.state = stateClosed
	if c.shard != nil && c.polled.generation != 0 {
		c.shard.letGo(connBytes + c.out.wire.len())
		c.releaseOut()
		if c.output.deflates {
			c.ws.deflation.drop(c.shard)
		}
		c.polled.watched = false // closing the socket removes it from the poller
		c.leave()
	}
	c.uncount()
	c.b.connections.Add(-1)
	c.leaveAddress()
	if c.carrier != nil {
		c.carrier.close()
		return
	}
	poller.CloseFD(c.fd)
}

// tick is the resolution of timers. Timers fire at the first tick after they are due, never before.
const tick = 100 * time.Millisecond

// deadline returns the tick that is d after now.
func deadline(now int64, d time.Duration) int64 {
	if d >= unlimitedTime-time.Duration(now) {
		return unlimitedTick
	}
	return (now+int64(d))/int64(tick) + 1
}

const unlimitedTick = int64(1) << 53 // ticks; beyond the range of any clock
