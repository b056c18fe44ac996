package broker

import (
	"time"

	"github.com/outcry-mqtt/outcry/broker/wire"
)

// closeReason is why a connection ended.
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

// closing is what is told to a connection that ends, and for what.
var closing = [closeReasons]struct {
	label   string
	code    byte   // of DISCONNECT (MQTT 5 3.14.2.1); 0: it is told nothing
	frame   uint16 // the WebSocket's close code (RFC 6455 7.4.1)
	explain string // for the reason string
}{
	closeNone:           {label: "none"},
	closeClient:         {label: "client_disconnect", frame: wsNormal},
	closePeer:           {label: "peer_closed"},
	closeIO:             {label: "io_error"},
	closeConnectTimeout: {label: "connect_timeout", frame: wsProtocol},
	closeKeepAlive:      {label: "keep_alive", code: wire.KeepAliveTimeout, frame: wsProtocol, explain: "nothing was heard for one and a half times the keep alive"},
	closeRefused:        {label: "refused", frame: wsPolicy},
	closeProtocol:       {label: "protocol_error", code: wire.ProtocolError, frame: wsProtocol},
	closeTakenOver:      {label: "session_taken_over", code: wire.SessionTakenOver, frame: wsPolicy, explain: "another connection uses this client identifier"},
	closeNotAuthorized:  {label: "not_authorized", code: wire.NotAuthorized, frame: wsPolicy},
	closeExpired:        {label: "token_expired", code: wire.NotAuthorized, frame: wsPolicy, explain: "the token has expired; connect with a fresh one"},
	closeSlow:           {label: "slow_consumer", code: wire.QuotaExceeded, frame: wsPolicy, explain: "the connection does not read as fast as it is sent to"},
	closeQueueFull:      {label: "queue_full", code: wire.QuotaExceeded, frame: wsPolicy, explain: "more messages wait for the client than may"},
	closeStore:          {label: "store_failed", code: wire.ServerBusy, frame: wsInternal, explain: "the message could not be stored; send it again later"},
	closeShutdown:       {label: "server_shutdown", code: wire.ServerShuttingDown, frame: wsGoingAway},
	closeAdmin:          {label: "administrative", code: wire.AdministrativeAction, frame: wsPolicy},
}

// lingerTime is how long a peer has to read the last words before its socket is closed. Closing a socket that still has
// something to be read resets it, and then the peer may never see them.
const lingerTime = 2 * time.Second

// close ends the connection for a reason that needs no more words. It is idempotent.
func (c *conn) close(r closeReason) { c.closeWith(r, closing[r].code, closing[r].explain) }

// closeWith ends the connection: the client is told (MQTT 5 only [MQTT-3.14.4]), the session loses it, and the socket
// is closed once the peer has had time to read.
func (c *conn) closeWith(r closeReason, code byte, reason string) {
	if c.state >= stateLingering {
		return
	}
	s := c.shard
	wasOpen := c.state == stateOpen
	if wasOpen && c.version == wire.V5 && code >= 0x80 {
		if !c.problemInfo {
			reason = ""
		}
		c.sendDisconnect(code, reason)
	}
	c.state = stateLingering
	s.stats.closed[r]++
	c.uncount()
	if wasOpen {
		c.session.lose(c, r)
	}
	c.farewell(closing[r].frame, r)
}

func (c *conn) sendDisconnect(code byte, reason string) {
	p := wire.AppendDisconnect(nil, code, reason, "")
	if c.maxPacket != 0 && len(p) > int(c.maxPacket) {
		p = wire.AppendDisconnect(nil, code, "", "")
	}
	if c.maxPacket == 0 || len(p) <= int(c.maxPacket) {
		c.send(wire.TypeDisconnect, p)
	}
}

// farewell writes what is left to be said and has the socket closed, at once where nobody listens.
func (c *conn) farewell(frame uint16, r closeReason) {
	c.dropParked()
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
		c.release() // its writer sends what it has before it closes
		return
	}
	c.linger()
}

// linger says that nothing more will come, and waits until the peer has closed too.
func (c *conn) linger() {
	if len(c.out.wire) == 0 {
		shutdownWrite(c.fd)
	}
	c.paused = 0
	c.in = nil
	c.watch()
	c.shard.wheel.arm(&c.timer, deadline(c.shard.now, lingerTime))
}

// release closes the socket and forgets the connection. It is idempotent.
func (c *conn) release() {
	if c.state == stateClosed {
		return
	}
	c.state = stateClosed
	if c.shard != nil && c.generation != 0 {
		c.releaseOut()
		if c.deflates {
			c.ws.deflation.drop(c.shard)
		}
		c.watched = false // to close the socket takes it out of the poller
		c.leave()
	}
	c.uncount()
	c.b.connections.Add(-1)
	c.leaveAddress()
	if c.carrier != nil {
		c.carrier.close()
		return
	}
	closeFD(c.fd)
}

// deadline is the tick that is d after now.
func deadline(now int64, d time.Duration) int64 {
	if d >= unlimitedTime-time.Duration(now) {
		return unlimitedTick
	}
	return (now+int64(d))/int64(tick) + 1
}

const unlimitedTick = int64(1) << 53 // ticks: further than any clock goes
