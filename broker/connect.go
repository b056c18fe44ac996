package broker

import (
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/broker/wire"
)

// connecting is a connection on its way from its CONNECT to the shard that owns its client identifier. It is a post to
// that shard.
type connecting struct {
	c        *conn
	packet   wire.Connect
	client   *Client
	assigned bool
	refusal  *Refusal // what the authenticators said; nil: come in
	since    int64    // when its CONNECT came, on the broker's clock
}

// onConnect takes a CONNECT to the authenticators and from there to the shard of the client identifier.
func (c *conn) onConnect(body []byte) error {
	k := &connecting{c: c, since: c.shard.now}
	err := wire.DecodeConnect(body, &k.packet)
	c.version = k.packet.Version
	if err != nil {
		return err
	}
	c.problemInfo = k.packet.RequestProblemInfo
	c.maxPacket = k.packet.MaximumPacketSize
	if c.hasMethod = k.packet.HasAuthMethod; c.hasMethod && k.packet.AuthMethod != tokenMethod {
		c.refuse(wire.BadAuthenticationMethod, "no such authentication method [MQTT-4.12.0-1]")
		return nil
	}
	if w := k.packet.Will; w != nil {
		if code, reason := c.checkWill(w); code != 0 {
			c.refuse(code, reason)
			return nil
		}
	}
	id := k.packet.ClientID
	if k.assigned = id == ""; k.assigned {
		id = assignedID()
	}
	k.client = &Client{ID: id, Listener: c.listener, Remote: c.remote, Version: c.version, Identity: anonymous, Assigned: k.assigned}
	c.state = stateChecking
	c.greet()
	c.connecting = k // goes on when all that was read with the CONNECT is put aside
	return nil
}

var anonymous = &Identity{Method: "anonymous"}

// assignedID names a client that did not name itself [MQTT-3.1.3-6].
func assignedID() string {
	var b [10]byte
	_, _ = rand.Read(b[:])
	return "auto-" + hex.EncodeToString(b[:])
}

// checkWill looks at what a will must be like, apart from the rules.
func (c *conn) checkWill(w *wire.Will) (code byte, reason string) {
	if topic.CheckName(w.Topic) != nil || !c.b.limits.takesTopic(w.Topic) || reserved(w.Topic) {
		return wire.TopicNameInvalid, "the will's topic is no topic name that can be published to"
	}
	return 0, ""
}

// refuse answers a CONNECT with a CONNACK that says why not, and closes (MQTT 5 4.13). A peer that spoke no version that
// we know is told in the oldest words there are.
func (c *conn) refuse(code byte, reason string) {
	if c.version == 0 && code != wire.UnsupportedProtocolVersion || c.version != 0 && c.version != wire.V5 && code < 0x84 {
		c.closeWith(closeProtocol, 0, "") // no return code of 3.x says 'malformed' [MQTT-3.1.4-1]
		return
	}
	version := c.version
	if version == 0 {
		version = wire.V311
	}
	k := wire.Connack{Code: code, ReasonString: reason}
	p := wire.AppendConnack(nil, version, &k)
	if !c.problemInfo || c.maxPacket != 0 && len(p) > int(c.maxPacket) {
		k.ReasonString = ""
		p = wire.AppendConnack(nil, version, &k)
	}
	c.send(wire.TypeConnack, p)
	c.closeWith(closeRefused, 0, "")
}

// enter lets the client in, or refuses it, on the shard that owns its client identifier.
func (k *connecting) enter(s *shard) {
	c := k.c
	if s.ending {
		c.release()
		return
	}
	c.state = stateNew
	c.enter(s)
	if !c.join() {
		return
	}
	c.timer.owner = c
	c.client = k.client
	refusal := k.admit(s)
	s.b.counters.auth(refusal)
	if refusal != nil {
		c.refuse(refusal.Code, refusal.Reason)
		return
	}
	k.open(s)
	c.hello = nil
	c.feed(nil) // what came right behind the CONNECT
	c.watch()
	if c.state == stateOpen && c.carrier != nil && c.paused == 0 {
		c.carrier.proceed()
	}
}

func (k *connecting) drop() { k.c.release() }

var (
	refusedTaken = &Refusal{
		Code: CodeClientIDNotValid, Reason: "this client identifier belongs to another user", Label: "client_id_of_another",
	}
	refusedWill = &Refusal{
		Code: CodeNotAuthorized, Reason: "the will is a message that this client may not publish", Label: "will_not_authorized",
	}
)

// admit tells why the client may not come in; nil: it may.
func (k *connecting) admit(s *shard) *Refusal {
	if k.refusal != nil {
		return k.refusal
	}
	if refusal := s.b.admit(k.client); refusal != nil {
		s.log.Info("client refused", "listener", k.c.listener, "remote", k.c.remote, "client", k.client.ID,
			"user", k.client.Identity.User, "reason", refusal.Reason)
		return refusal
	}
	old := s.sessions[k.client.ID]
	if old != nil && old.user != k.client.Identity.User {
		return refusedTaken
	}
	if w := k.packet.Will; w != nil && !s.b.grant(k.client, Publish, w.Topic).takes(w.QoS, w.Retain) {
		return refusedWill
	}
	return k.limit(s, old)
}

// open makes c the connection of its session, and says so.
func (k *connecting) open(s *shard) {
	c, p := k.c, &k.packet
	ss, present := s.claim(k)
	c.state = stateOpen
	c.session = ss
	ss.conn = c
	c.count(s)
	c.maxQuota = min(p.ReceiveMaximum, uint16(s.b.limits.MaxInflight))
	c.quota = c.maxQuota
	if n := min(int(p.TopicAliasMaximum), s.b.limits.MaxTopicAliasOut); n > 0 {
		c.aliases = &aliases{most: uint16(n)}
	}
	c.joinAddress()
	ss.setWill(p.Will)
	ss.saveNext(savingSession) // no later than what is acknowledged next
	k.setTimers(s)
	c.sendConnack(k, present)
	if s.b.observers != nil {
		s.observe(c, Connected, "", "")
	}
	if present {
		ss.resume()
	}
}

func (k *connecting) setTimers(s *shard) {
	c, p := k.c, &k.packet
	keep := time.Duration(p.KeepAlive) * time.Second
	if most := s.b.limits.ServerKeepAlive; most > 0 && (keep == 0 || keep > most) {
		keep = most
		if c.version != wire.V5 {
			keep = time.Duration(p.KeepAlive) * time.Second // a 3.x client cannot be told
		}
	}
	c.keepAlive = uint32(keep * 3 / 2 / tick) // one and a half times [MQTT-3.1.2-22]
	c.setIdentityExpiry()
	c.armTimer()
}

// sendConnack tells the client that it is in, and everything that differs from what it asked for.
func (c *conn) sendConnack(k *connecting, present bool) {
	l := &c.b.limits
	a := wire.Connack{
		SessionPresent: present, ReceiveMaximum: uint16(l.ReceiveMaximum), MaximumPacketSize: uint32(l.MaxPacketBytes),
		TopicAliasMaximum: uint16(l.TopicAliasMaximum),
	}
	if c.hasMethod {
		a.AuthMethod = tokenMethod // [MQTT-4.12.0-5]
	}
	if k.assigned {
		a.AssignedClientID = k.client.ID
	}
	if asked := seconds(k.packet.SessionExpiry); c.session.expiry < asked {
		n := uint32(c.session.expiry / time.Second)
		a.SessionExpiry = &n
	}
	if most := l.ServerKeepAlive; most > 0 && (k.packet.KeepAlive == 0 || time.Duration(k.packet.KeepAlive)*time.Second > most) {
		a.HasServerKeepAlive, a.ServerKeepAlive = true, uint16(most/time.Second)
	}
	c.send(wire.TypeConnack, wire.AppendConnack(nil, c.version, &a))
}

// claim returns the session of a client, and whether it was there before. What held it until now lets go.
func (s *shard) claim(k *connecting) (ss *session, present bool) {
	ss = s.sessions[k.client.ID]
	if ss != nil && ss.conn != nil {
		ss.conn.close(closeTakenOver)
		ss = s.sessions[k.client.ID]
	}
	if ss != nil && k.packet.CleanStart {
		ss.end()
		ss = nil
	}
	if present = ss != nil; !present {
		ss = s.newSession(k.client.ID, k.client.Identity.User)
	} else {
		s.wheel.stop(&ss.timer)
		s.stats.sessionsOffline--
	}
	ss.setExpiry(k.expiry(), s.b.limits.MaxSessionExpiry)
	if !present && s.b.store != nil && ss.expiry > 0 {
		ss.makeDurable()
	}
	return ss, present
}

// expiry is how long the client wants its session to outlive the connection. In 3.x a session is for this connection
// (clean session) or for good.
func (k *connecting) expiry() time.Duration {
	switch {
	case k.c.version == wire.V5:
		return seconds(k.packet.SessionExpiry)
	case k.packet.CleanStart:
		return 0
	}
	return unlimitedTime
}
