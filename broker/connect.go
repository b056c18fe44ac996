package broker

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"math"
	"time"

	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// connecting is a connection between its CONNECT and the shard that owns its client identifier. It is a post to that shard.
type connecting struct {
	c        *conn
	packet   wire.Connect
	client   *Client
	assigned bool
	refusal  *Refusal // the authenticators' refusal; nil: accepted
	since    int64    // when its CONNECT came, on the broker's clock
	usage    *usage   // counts the session to be made; nil: it resumes or replaces one of the same user
}

// onConnect decodes a CONNECT and starts authentication.
func (c *conn) onConnect(body []byte) error {
	k := &connecting{c: c, since: c.shard.now}
	err := wire.DecodeConnect(body, &k.packet)
	c.version = k.packet.Version
	if err != nil {
		return err
	}
	c.identity.problemInfo = k.packet.RequestProblemInfo
	c.output.maxPacket = k.packet.MaximumPacketSize
	if c.identity.hasMethod = k.packet.HasAuthMethod; c.identity.hasMethod && k.packet.AuthMethod != tokenMethod {
		k.refuse(refusedMethod)
		return nil
	}
	if w := k.packet.Will; w != nil {
		if refusal := c.checkWill(w); refusal != nil {
			k.refuse(refusal)
			return nil
		}
	}
	id := k.packet.ClientID
	if k.assigned = id == ""; k.assigned {
		id = assignedID()
	}
	k.client = &Client{ID: id, Listener: c.listener, Remote: c.remote, Version: c.version, Identity: anonymous, Assigned: k.assigned,
		Bridge: k.packet.Bridge}
	c.state = stateChecking
	c.greet()
	c.connecting = k // authentication starts when all input read with the CONNECT is saved
	return nil
}

var anonymous = &Identity{Method: "anonymous"}

// assignedID returns an identifier for a client without one [MQTT-3.1.3-6].
func assignedID() string {
	var b [10]byte
	_, _ = rand.Read(b[:])
	return "auto-" + hex.EncodeToString(b[:])
}

// checkWill validates a will, apart from the authorizers.
func (c *conn) checkWill(w *wire.Will) *Refusal {
	if f, err := wire.DecodeProps(w.Props); c.b.limits.refuses(w.Topic) || err == nil && c.b.limits.refuses(f.ResponseTopic) {
		return refusedWillText
	}
	if topic.CheckName(w.Topic) != nil || !c.b.limits.takesTopic(w.Topic) || reserved(w.Topic) {
		return refusedWillTopic
	}
	return nil
}

// refuse sends a CONNACK with the reason, and closes the connection (MQTT 5 4.13). A peer with an unsupported protocol version gets
// an MQTT 3.1.1 return code. A 3.x client gets no CONNACK if 3.x has no return code for the error.
func (c *conn) refuse(code byte, reason string) {
	if c.version == 0 && code != wire.UnsupportedProtocolVersion || c.version != 0 && c.version != wire.V5 && code < 0x84 {
		c.closeWith(closeProtocol, 0, "") // 3.x has no return code for a malformed packet [MQTT-3.1.4-1]
		return
	}
	version := c.version
	if version == 0 {
		version = wire.V311
	}
	k := wire.Connack{Code: code, ReasonString: reason}
	p := wire.AppendConnack(nil, version, &k)
	if !c.identity.problemInfo || c.output.maxPacket != 0 && len(p) > int(c.output.maxPacket) {
		k.ReasonString = ""
		p = wire.AppendConnack(nil, version, &k)
	}
	c.send(wire.TypeConnack, p)
	c.closeWith(closeRefused, 0, "")
}

// enter accepts or refuses the client on the shard that owns its client identifier.
func (k *connecting) enter(s *shard) {
	c := k.c
	if s.sched.ending {
		c.release()
		return
	}
	c.state = stateNew
	c.enter(s)
	if !c.join() {
		return
	}
	c.timer.Owner = c
	c.identity.client = k.client
	if refusal := k.admit(s); refusal != nil {
		k.refuse(refusal)
		return
	}
	s.b.counters.auth(nil)
	k.open(s)
	c.hello = nil
	c.feed(nil) // packets that came behind the CONNECT
	c.watch()
	if c.state == stateOpen && c.carrier != nil && c.input.paused == 0 {
		c.carrier.proceed()
	}
}

func (k *connecting) drop() { k.c.release() }

// admit returns the reason to refuse the client; nil: it may connect.
func (k *connecting) admit(s *shard) *Refusal {
	if k.refusal != nil {
		return k.refusal
	}
	if refusal := s.b.admit(k.client); refusal != nil {
		if refusal.Failed {
			return s.b.failedProof(refusal, k.c.remote)
		}
		return refusal
	}
	old := s.sessionOf(k.client.ID)
	if old != nil && old.usage.user != k.client.Identity.User {
		if refusal := s.b.mayTakeOver(old); refusal != nil {
			return refusal
		}
	}
	if w := k.packet.Will; w != nil && !s.b.grant(k.client, Publish, w.Topic).takes(w.QoS, w.Retain) {
		return refusedWill
	}
	return k.limit(s, old)
}

// open attaches c to its session and sends CONNACK.
func (k *connecting) open(s *shard) {
	c, p := k.c, &k.packet
	ss, present := s.claim(k)
	c.state = stateOpen
	c.session = ss
	ss.conn = c
	c.count(s)
	c.output.maxQuota = min(p.ReceiveMaximum, uint16(s.b.limits.MaxInflight))
	c.output.quota = c.output.maxQuota
	if n := min(int(p.TopicAliasMaximum), s.b.limits.MaxTopicAliasOut); n > 0 {
		c.output.aliases = &aliases{most: uint16(n)}
	}
	c.joinAddress()
	ss.setWill(p.Will)
	ss.saveNext(savingSession) // no later than the next acknowledgement
	k.setTimers(s)
	c.sendConnack(k, present)
	if s.b.hooks.observers != nil {
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
			keep = time.Duration(p.KeepAlive) * time.Second // a 3.x client cannot be told the server's keep alive
		}
	}
	c.input.keepAlive = uint32(keep * 3 / 2 / tick) // one and a half times [MQTT-3.1.2-22]
	c.setIdentityExpiry()
	c.armTimer()
}

// sendConnack sends CONNACK with every value that differs from the client's request.
func (c *conn) sendConnack(k *connecting, present bool) {
	l := &c.b.limits
	a := wire.Connack{
		SessionPresent: present, ReceiveMaximum: uint16(l.ReceiveMaximum), MaximumPacketSize: uint32(l.MaxPacketBytes),
		TopicAliasMaximum: uint16(l.TopicAliasMaximum),
	}
	if c.identity.hasMethod {
		a.AuthMethod = tokenMethod // [MQTT-4.12.0-5]
	}
	if k.assigned {
		a.AssignedClientID = k.client.ID
	}
	if asked := seconds(k.packet.SessionExpiry); c.session.expiry < asked {
		n := uint32(min(c.session.expiry/time.Second, math.MaxUint32-1)) // MaxUint32 would mean no expiry
		a.SessionExpiry = &n
	}
	if most := l.ServerKeepAlive; most > 0 && (k.packet.KeepAlive == 0 || time.Duration(k.packet.KeepAlive)*time.Second > most) {
		a.HasServerKeepAlive, a.ServerKeepAlive = true, uint16(most/time.Second)
	}
	c.send(wire.TypeConnack, wire.AppendConnack(nil, c.version, &a))
}

// claim returns the client's session, and whether it existed before. It closes an older connection of the session.
func (s *shard) claim(k *connecting) (ss *session, present bool) {
	ss = s.sessions[k.client.ID]
	if ss != nil && ss.conn != nil {
		ss.conn.close(closeTakenOver)
		ss = s.sessions[k.client.ID]
	}
	another := ss != nil && ss.usage.user != k.client.Identity.User // admit has allowed the takeover
	if another {
		s.b.lines.write(slog.LevelInfo, "takeover", "a user took over a client identifier; the anonymous client's session ended",
			"client", shown(ss.id), "user", shown(k.client.Identity.User), "remote", k.c.remote)
	}
	if ss != nil && (k.packet.CleanStart || another) {
		ss.end()
		ss = nil
	}
	if present = ss != nil; !present {
		if k.usage == nil { // the user's previous session has just ended
			k.usage = s.b.usages.join(k.client.Identity.User)
		}
		ss = s.newSessionOf(k.client.ID, k.usage)
	} else {
		s.wheel.Stop(&ss.timer)
		s.stats.sessionsOffline--
	}
	ss.setExpiry(k.expiry(), s.b.limits.MaxSessionExpiry)
	if !present && s.b.store != nil && ss.expiry > 0 {
		ss.makeDurable()
	}
	return ss, present
}

// expiry returns the requested session expiry. A 3.x session ends with its connection (clean session) or never expires.
func (k *connecting) expiry() time.Duration {
	switch {
	case k.c.version == wire.V5:
		return seconds(k.packet.SessionExpiry)
	case k.packet.CleanStart:
		return 0
	}
	return unlimitedTime
}
