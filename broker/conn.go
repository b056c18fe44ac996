package broker

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"

	"github.com/outcry-mqtt/outcry/internal/poller"
	"github.com/outcry-mqtt/outcry/internal/wheel"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

type connState uint8

const (
	stateNew      connState = iota // waits for CONNECT
	stateChecking                  // credentials are being checked; no shard owns the connection
	stateOpen
	stateLingering // all output is written; waits for the peer to read it
	stateClosed
)

// pause is a set of reasons not to read a connection.
type pause uint8

const (
	pauseChoked  pause = 1 << iota // it publishes to a shard that has fallen behind
	pauseFull                      // it does not read the broker's responses
	pauseAcks                      // too many of its messages wait for the store, or too many acknowledgements are held
	pauseStoring                   // too many operations are unflushed
	pauseRate                      // it exceeds its rate limit
	pauseInflate                   // its compressed input is being handled, a part in each turn
	pauseGroups                    // its message has not reached all groups of shared subscriptions yet
	pauseTurn                      // it has used up its slice of the turn; its unread packets wait in conn.in
)

// conn is one network connection. An idle one has no buffers: it costs this struct and its session.
type conn struct {
	// Owned by the loop of the connection's shard, or static after construction. Every delivery and write uses these fields; they
	// fill two cache lines.
	shard   *shard
	session *session
	ws      *webSocket // nil: no WebSocket
	output  outputState
	out     outbox
	carrier carrier // replaces fd where the poller does not watch the connection; nil: fd is used
	fd      int32
	state   connState
	version byte
	doom    closeReason // reason for closing it at the end of the turn; closeNone: stays open
	counted bool        // included in the gauge of its listener and version

	// Static after construction.
	b        *Broker
	listener string
	remote   string
	hello    *hello // needed until CONNECT; nil afterwards

	// Owned by the loop of the connection's shard.
	identity   identity
	input      connInput
	acks       heldAcks
	polled     polled
	connecting *connecting // its CONNECT while the authenticators check it; nil: none
	timer      wheel.Timer
}

// outputState holds a connection's output limits and state.
type outputState struct {
	blocked     *blockedOutput // blocked output: messages that wait because the socket is full; nil: none
	aliases     *aliases       // topic aliases that the broker has set; nil: none
	maxPacket   uint32         // the client's Maximum Packet Size in bytes; 0: no limit
	quota       uint16         // QoS 1 and 2 messages that may still be sent (MQTT 5 4.9)
	maxQuota    uint16         // the client's Receive Maximum
	queuedFlush bool           // already listed in shard.conns.dirty
	lowWater    bool           // the socket has a low-water mark, so that waiting tickers can be replaced
	lagging     bool           // the socket has a low-water mark and has been full
	deflates    bool           // permessage-deflate was negotiated: ws.deflation is set
}

// identity is a connection's client and its permissions.
type identity struct {
	client      *Client // the client as hooks see it; nil before CONNECT
	allowed     *permissions
	expires     int64 // CONNECT timeout, later the expiry of the identity, on the broker's clock; 0: never
	warnAt      int64 // when to warn the client of the expiry; 0: already warned, or no warning needed
	problemInfo bool  // reason strings and user properties may be sent (MQTT 5 3.1.2.11.7)
	hasMethod   bool  // CONNECT named the authentication method
	refreshing  bool  // a fresh token is being checked
	counted     bool  // included in its user's number of connections
}

// connInput holds a connection's unhandled input and its limits.
type connInput struct {
	partial   []byte   // start of an incomplete packet
	aliases   []*route // topic aliases that the client has set, from 1
	meter     *meter   // nil: the address is not metered, and there is no rate limit
	lastRead  int64    // when the last packet came, in ticks
	keepAlive uint32   // one and a half times the agreed keep alive, in ticks; 0: none
	paused    pause    // reasons not to read
	stores    bool     // its packets wait for the store
}

// heldAcks holds a connection's unsent acknowledgements in order. The first one waits for the store.
type heldAcks struct {
	held    []heldAck
	base    uint64 // number of the first acknowledgement in held
	pubacks int32  // PUBACKs in held
	replies int32  // bytes of the SUBACKs and UNSUBACKs in held
}

// polled is a connection's place in its shard and in the shard's poller.
type polled struct {
	slot       uint32
	generation uint32
	interest   poller.Interest
	watched    bool // the poller watches the socket
	watchWrite bool
	linedUp    bool // already listed in shard.turns.yielded
}

// hello holds a connection's properties from before its CONNECT.
type hello struct {
	header http.Header
	tls    *tls.ConnectionState
}

// begin adds a new connection to the shard.
func (c *conn) begin(s *shard) {
	if s.sched.ending {
		c.release()
		return
	}
	s.stats.accepted++
	c.enter(s)
	c.timer.Owner = c
	s.wheel.Arm(&c.timer, deadline(s.now, time.Duration(c.identity.expires-s.now)))
	if c.carrier != nil || c.readable() && c.state != stateClosed { // a CONNECT that has already arrived is read at once
		c.join()
	}
}

// run makes a new connection a post.
func (c *conn) run(s *shard) { c.begin(s) }

// drop runs in place of run if the broker closes first.
func (c *conn) drop() { c.release() }

// enter assigns the connection a slot of the shard.
func (c *conn) enter(s *shard) {
	c.shard = s
	if n := len(s.conns.free); n > 0 {
		c.polled.slot = s.conns.free[n-1]
		s.conns.free = s.conns.free[:n-1]
		s.conns.slots[c.polled.slot] = c
	} else {
		c.polled.slot = uint32(len(s.conns.slots))
		s.conns.slots = append(s.conns.slots, c)
	}
	s.stats.connections++
	s.stats.generation++
	c.polled.generation = s.stats.generation
	c.input.lastRead = s.now / int64(tick)
	if c.carrier != nil {
		c.carrier.settle(s)
	}
}

// join adds the socket to the shard's poller. If that fails it closes the connection and returns false.
func (c *conn) join() bool {
	c.polled.interest, c.polled.watched = c.wants(), true
	if c.carrier != nil {
		return true
	}
	if err := c.shard.poll.Add(int(c.fd), c.token(), c.polled.interest); err != nil {
		c.b.log.Warn("cannot watch connection", "listener", c.listener, "remote", c.remote, "error", err)
		c.release()
		return false
	}
	return true
}

// leave removes the connection from its shard. The socket stays open.
func (c *conn) leave() {
	s := c.shard
	s.wheel.Stop(&c.timer)
	if c.input.meter != nil {
		s.wheel.Stop(&c.input.meter.timer)
	}
	if c.carrier != nil {
		c.carrier.settle(nil)
	} else if c.polled.watched {
		_ = s.poll.Remove(int(c.fd))
	}
	c.polled.watched = false
	delete(s.input.partial, c)
	s.conns.slots[c.polled.slot] = nil
	s.conns.free = append(s.conns.free, c.polled.slot)
	s.stats.connections--
	c.polled.generation = 0
}

func (c *conn) token() uint64 { return uint64(c.polled.slot) | uint64(c.polled.generation)<<32 }

// wants returns the events that the poller has to watch for.
func (c *conn) wants() (i poller.Interest) {
	if c.input.paused == 0 {
		i = poller.Read
	}
	if c.polled.watchWrite {
		i |= poller.Write
	}
	return i
}

func (c *conn) watch() {
	switch {
	case c.input.paused == pauseInflate:
		c.ws.deflation.resume(c)
	case c.input.paused&pauseTurn != 0:
		c.lineUp()
	}
	i := c.wants()
	if i == c.polled.interest || !c.polled.watched {
		return
	}
	resumed := i&poller.Read != 0 && c.polled.interest&poller.Read == 0
	c.polled.interest = i
	if c.carrier != nil {
		if resumed {
			c.carrier.proceed()
		}
		return
	}
	if err := c.shard.poll.Change(int(c.fd), c.token(), i); err != nil {
		c.shard.doomConn(c, closeIO)
	}
}

func (c *conn) setPause(why pause, on bool) {
	if on {
		c.input.paused |= why
	} else {
		c.input.paused &^= why
	}
	c.watch()
}

// expire handles the connection's due deadlines and arms the timer for the next one.
func (c *conn) Expire(t *wheel.Timer) {
	s := c.shard
	if t != &c.timer {
		s.reapLater(c)
		return
	}
	switch c.state {
	case stateNew:
		if c.listenForConnect() {
			c.close(closeConnectTimeout)
		}
		return
	case stateLingering:
		c.release()
		return
	}
	now := s.now / int64(tick)
	if c.identity.expires != 0 && s.now >= c.identity.expires {
		c.close(closeExpired)
		return
	}
	c.warn()
	if c.isSilent(now) {
		if !c.listen() {
			return
		}
		if c.isSilent(now) {
			c.close(closeKeepAlive)
			return
		}
	}
	c.session.trim()
	c.ping(t.Due())
	c.armTimer()
}

// armTimer arms the timer for the earliest deadline. Later input moves only lastRead; the timer compares when it fires.
func (c *conn) armTimer() {
	due := int64(0)
	if c.input.keepAlive != 0 {
		due = c.input.lastRead + int64(c.input.keepAlive)
	}
	if c.identity.expires != 0 {
		at := c.identity.expires
		if c.identity.warnAt != 0 {
			at = c.identity.warnAt
		}
		if at = at/int64(tick) + 1; due == 0 || at < due {
			due = at
		}
	}
	if p := c.pingDue(); p != 0 && (due == 0 || p < due) {
		due = p
	}
	if due != 0 {
		c.shard.wheel.Arm(&c.timer, due)
	}
}

// isUp reports whether the connection is open and stays open after this turn. No packets are encoded for any other connection.
func (c *conn) isUp() bool { return c.state == stateOpen && c.doom == closeNone }

// takes reports whether the connection is up and has no blocked output.
func (c *conn) takes() bool { return c.output.blocked == nil && c.isUp() }

// doomConn closes c at the end of the turn. Closing it at once would change a list that is being iterated.
func (s *shard) doomConn(c *conn, r closeReason) {
	if c.state == stateOpen && c.doom == closeNone {
		c.doom = r
		s.ends.doomed = append(s.ends.doomed, c)
	}
}

// fail closes the connection after invalid input.
func (c *conn) fail(err error) {
	e, ok := err.(*wire.Error)
	if !ok {
		e = &wire.Error{Code: wire.UnspecifiedError, Reason: err.Error()}
	}
	level, kind := slog.LevelDebug, "protocol_violation"
	if c.state == stateNew { // only the log tells the operator why a client cannot connect
		level, kind = slog.LevelInfo, labelProtocol
	}
	c.b.lines.write(level, kind, "protocol violation", "listener", c.listener, "remote", c.remote, "client", shown(c.id()),
		"code", e.Code, "reason", shown(e.Reason))
	if c.state == stateNew {
		c.b.counters.auth(&Refusal{Label: labelProtocol})
		c.refuse(e.Code, e.Reason)
		return
	}
	c.closeWith(closeProtocol, e.Code, e.Reason)
}

func (c *conn) id() string {
	if c.identity.client == nil {
		return ""
	}
	return c.identity.client.ID
}
