package broker

import (
	"crypto/tls"
	"net/http"
	"time"

	"github.com/outcry-mqtt/outcry/broker/poller"
	"github.com/outcry-mqtt/outcry/broker/wire"
)

type connState uint8

const (
	stateNew      connState = iota // waits for CONNECT
	stateChecking                  // its credentials are being checked; meanwhile it belongs to no shard
	stateOpen
	stateLingering // all is said; waits for the peer to have read it
	stateClosed
)

// pause is why a connection is not read.
type pause uint8

const (
	pauseChoked  pause = 1 << iota // it feeds a shard that cannot keep up
	pauseFull                      // it does not read our answers
	pauseAcks                      // too many of its messages wait for the store
	pauseStoring                   // too much waits for the disk
	pauseRate                      // it sends faster than it may
	pauseInflate                   // what it has sent compressed is being handled, a part in each turn
)

// conn is one network connection. An idle one has no buffers: what it costs is this and its session.
type conn struct {
	// Owned by the loop of the shard it is on, or static after construction. What every delivery and write needs comes first,
	// in two cache lines.
	shard       *shard
	parked      *parking // messages that wait for a socket that was full; nil: none
	aliases     *aliases // those that we set; nil: none
	session     *session
	ws          *webSocket // framing; nil: none
	maxPacket   uint32
	fd          int32
	state       connState
	version     byte
	queuedFlush bool
	watchWrite  bool
	shallow     bool // little may wait in its socket
	lagging     bool // that, and its socket has been full
	deflates    bool // permessage-deflate was agreed: there is ws.deflation
	doom        closeReason
	quota       uint16 // QoS 1 and 2 messages that may still be sent to it (MQTT 5 4.9)
	maxQuota    uint16
	interest    poller.Interest
	out         outbox
	carrier     carrier // instead of fd, where the poller does not watch it; nil: fd

	// Static after construction.
	b        *Broker
	listener string
	remote   string
	hello    *hello // what only CONNECT needs; nil afterwards

	// Owned by the loop of the shard it is on.
	client      *Client     // as hooks see it; nil before CONNECT
	connecting  *connecting // on its way to the authenticators; nil: not now
	in          []byte      // the beginning of a packet that is not complete
	acks        []heldAck   // acknowledgements in their order, the first of them waiting for the store
	ackBase     uint64      // the number of the first of acks
	heard       []*route    // topic aliases that the client has set, from 1
	allowed     *permissions
	meter       *meter // nil: its address is not counted, and it may send as fast as it can
	timer       timer
	expires     int64 // when its CONNECT must be there, and later when its identity expires, on the broker's clock; 0: never
	warnAt      int64 // when it is told so; 0: it has been, or need not be
	lastRead    int64 // when a packet last came, in ticks
	heldPubacks int32 // PUBACKs among acks
	slot        uint32
	generation  uint32
	keepAlive   uint32 // in ticks, one and a half of what was agreed; 0: none
	paused      pause
	watched     bool // by the shard's poller
	problemInfo bool // reason strings and user properties may be sent (MQTT 5 3.1.2.11.7)
	stores      bool // it publishes messages that wait for the disk
	hasMethod   bool // its CONNECT named the authentication method
	refreshing  bool // it has shown a fresh token, which is being checked
	counted     bool // in the gauge of its listener and version
	countedUser bool // among the connections of its user
}

// hello is what is known of a connection before its CONNECT.
type hello struct {
	header http.Header
	tls    *tls.ConnectionState
}

// begin takes a new connection into the shard.
func (c *conn) begin(s *shard) {
	if s.ending {
		c.release()
		return
	}
	s.stats.accepted++
	c.enter(s)
	c.timer.owner = c
	s.wheel.arm(&c.timer, deadline(s.now, time.Duration(c.expires-s.now)))
	if c.carrier != nil || c.readable() && c.state != stateClosed { // a CONNECT that is there already is not waited for
		c.join()
	}
}

// run makes a new connection a post.
func (c *conn) run(s *shard) { c.begin(s) }

// drop is called if the post never runs.
func (c *conn) drop() { c.release() }

// enter gives the connection a slot of the shard.
func (c *conn) enter(s *shard) {
	c.shard = s
	if n := len(s.free); n > 0 {
		c.slot = s.free[n-1]
		s.free = s.free[:n-1]
		s.conns[c.slot] = c
	} else {
		c.slot = uint32(len(s.conns))
		s.conns = append(s.conns, c)
	}
	s.stats.connections++
	s.stats.generation++
	c.generation = s.stats.generation
	c.lastRead = s.now / int64(tick)
	if c.carrier != nil {
		c.carrier.settle(s)
	}
}

// join has the shard's poller watch the socket. A connection that cannot be watched is closed.
func (c *conn) join() bool {
	c.interest, c.watched = c.wants(), true
	if c.carrier != nil {
		return true
	}
	if err := c.shard.poll.Add(int(c.fd), c.token(), c.interest); err != nil {
		c.shard.log.Warn("watch connection", "listener", c.listener, "remote", c.remote, "err", err)
		c.release()
		return false
	}
	return true
}

// leave takes the connection out of its shard; the socket stays open.
func (c *conn) leave() {
	s := c.shard
	s.wheel.stop(&c.timer)
	if c.meter != nil {
		s.wheel.stop(&c.meter.timer)
	}
	if c.carrier != nil {
		c.carrier.settle(nil)
	} else if c.watched {
		_ = s.poll.Remove(int(c.fd))
	}
	c.watched = false
	s.conns[c.slot] = nil
	s.free = append(s.free, c.slot)
	s.stats.connections--
	c.generation = 0
}

func (c *conn) token() uint64 { return uint64(c.slot) | uint64(c.generation)<<32 }

// wants is what the socket has to be watched for.
func (c *conn) wants() (i poller.Interest) {
	if c.paused == 0 {
		i = poller.Read
	}
	if c.watchWrite {
		i |= poller.Write
	}
	return i
}

func (c *conn) watch() {
	if c.paused == pauseInflate {
		c.ws.deflation.resume(c)
	}
	i := c.wants()
	if i == c.interest || !c.watched {
		return
	}
	resumed := i&poller.Read != 0 && c.interest&poller.Read == 0
	c.interest = i
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
		c.paused |= why
	} else {
		c.paused &^= why
	}
	c.watch()
}

// expire looks at every deadline that the connection has, and waits for the next.
func (c *conn) expire(*timer) {
	s := c.shard
	switch c.state {
	case stateNew:
		c.close(closeConnectTimeout)
		return
	case stateLingering:
		c.release()
		return
	}
	now := s.now / int64(tick)
	if c.expires != 0 && s.now >= c.expires {
		c.close(closeExpired)
		return
	}
	c.warn()
	if c.keepAlive != 0 && now-c.lastRead >= int64(c.keepAlive) && c.paused&^pauseFull == 0 {
		c.close(closeKeepAlive)
		return
	}
	c.session.trim()
	c.armTimer()
}

// armTimer waits for whichever deadline comes first. What is read later only moves lastRead: the timer finds out when it
// fires.
func (c *conn) armTimer() {
	due := int64(0)
	if c.keepAlive != 0 {
		due = c.lastRead + int64(c.keepAlive)
	}
	if c.expires != 0 {
		at := c.expires
		if c.warnAt != 0 {
			at = c.warnAt
		}
		if at = at/int64(tick) + 1; due == 0 || at < due {
			due = at
		}
	}
	if due != 0 {
		c.shard.wheel.arm(&c.timer, due)
	}
}

// doomConn has c closed at the end of the turn, where closing it now would change what is being walked over.
func (s *shard) doomConn(c *conn, r closeReason) {
	if c.state == stateOpen && c.doom == closeNone {
		c.doom = r
		s.doomed = append(s.doomed, c)
	}
}

// fail closes the connection for what the peer sent.
func (c *conn) fail(err error) {
	e, ok := err.(*wire.Error)
	if !ok {
		e = &wire.Error{Code: wire.UnspecifiedError, Reason: err.Error()}
	}
	c.shard.log.Debug("protocol violation", "listener", c.listener, "remote", c.remote, "client", c.id(),
		"code", e.Code, "reason", e.Reason)
	if c.state == stateNew {
		c.refuse(e.Code, e.Reason)
		return
	}
	c.closeWith(closeProtocol, e.Code, e.Reason)
}

func (c *conn) id() string {
	if c.client == nil {
		return ""
	}
	return c.client.ID
}
