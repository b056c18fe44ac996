package broker

import (
	"encoding/json"
	"time"

	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/broker/wire"
)

// A client may show a fresh token without connecting anew: one of MQTT 5 by AUTH, if its CONNECT named the method "token"
// (MQTT 5 4.12.1), and any client by publishing it to $auth/token. The message goes to nobody. What the client may
// do changes in place, and on $me/token it hears when its token expires, and what became of a new one.
const (
	tokenMethod = "token"
	authTopic   = "$auth/token"
	tokenTopic  = "$me/token"
	endedTopic  = "$me/subscriptions"
)

// A client is warned when a quarter of the time that its identity is valid for is left, and a minute before at most.
const (
	warnFraction = 4
	warnBefore   = time.Minute
)

var (
	errAuthMethod     = &wire.Error{Code: wire.ProtocolError, Reason: "AUTH with another method than CONNECT [MQTT-4.12.0-5]"}
	errAuthCode       = &wire.Error{Code: wire.ProtocolError, Reason: "AUTH goes on with what nobody has begun (MQTT 5 4.12)"}
	errAuthWhileBusy  = &wire.Error{Code: wire.ProtocolError, Reason: "AUTH before the last one was answered (MQTT 5 4.12.1)"}
	refusedOtherUser  = &Refusal{Code: CodeNotAuthorized, Reason: "the token is another user's", Label: "other_user"}
	refusedWhileBusy  = &Refusal{Code: CodeQuotaExceeded, Reason: "the last token is still being checked"}
	refusedNoPassword = &Refusal{Code: CodeNotAuthorized, Reason: "no token", Label: "no_credentials"}
)

// refreshing is a token on its way to the authenticators, and back to the connection that showed it. It is a post to
// the connection's shard.
type refreshing struct {
	c        *conn
	home     *shard
	token    []byte
	client   *Client // with the identity that the token gives
	refusal  *Refusal
	answered func(*Refusal)
}

// onAuth takes a client's wish to authenticate anew (MQTT 5 4.12.1).
func (c *conn) onAuth(body []byte) error {
	var a wire.Auth
	if err := wire.DecodeAuth(body, &a); err != nil {
		return err
	}
	switch {
	case !c.hasMethod:
		return errAuthPacket
	case a.Method != tokenMethod:
		return errAuthMethod
	case a.Code != wire.ReAuthenticate:
		return errAuthCode
	case c.refreshing:
		return errAuthWhileBusy
	}
	c.refresh(a.Data, func(r *Refusal) {
		if r != nil {
			c.closeWith(closeNotAuthorized, wire.NotAuthorized, r.Reason) // [MQTT-4.12.1-2]
			return
		}
		c.send(wire.TypeAuth, wire.AppendAuth(nil, &wire.Auth{Code: wire.Success, Method: tokenMethod, HasMethod: true}))
	})
	return nil
}

// onToken takes a token that was published. Its acknowledgement says what became of it.
func (c *conn) onToken(p *wire.Publish) {
	kind := wire.TypePuback
	if p.QoS == 2 {
		kind = wire.TypePubrec
		c.session.received.set(receipt{id: p.PacketID})
		c.session.save(savingFlow)
	}
	if c.refreshing {
		c.tellToken("refused", refusedWhileBusy.Reason)
		if p.QoS > 0 {
			c.answer(kind, p.PacketID, c.refused(p.QoS, p.PacketID, refusedWhileBusy.Code), false)
		}
		return
	}
	n := c.nextAck()
	id, qos := p.PacketID, p.QoS
	if qos > 0 {
		c.answer(kind, id, wire.Success, true)
	}
	c.refresh(append([]byte(nil), p.Payload...), func(r *Refusal) {
		if qos == 0 {
			return
		}
		if r != nil {
			c.acks[n-c.ackBase].code = c.refused(qos, id, r.Code)
		}
		c.stored(n, nil)
	})
}

// refused is the code that a client is told. One that is told of an error by PUBREC has no more to do with the packet
// identifier (MQTT 5 4.3.3).
func (c *conn) refused(qos byte, id uint16, code byte) byte {
	if c.version != wire.V5 {
		return wire.Success
	}
	if qos == 2 {
		c.session.received.remove(id)
		c.session.save(savingFlow)
	}
	if code != wire.NotAuthorized && code != wire.QuotaExceeded {
		code = wire.NotAuthorized // what an acknowledgement may say (MQTT 5 3.4.2.1)
	}
	return code
}

// refresh has a token checked, off the shard, and answered called with what became of it if the connection is still open.
func (c *conn) refresh(token []byte, answered func(*Refusal)) {
	c.refreshing = true
	client := *c.client
	c.b.gate.put(&refreshing{c: c, home: c.shard, token: token, client: &client, answered: answered})
}

// check asks the authenticators, on a checker.
func (k *refreshing) check(b *Broker) *Refusal {
	if len(k.token) == 0 {
		return refusedNoPassword
	}
	id, refusal := b.identify(&Credentials{
		ClientID: k.client.ID, Password: k.token, Version: k.client.Version, Listener: k.client.Listener, Remote: k.client.Remote,
	})
	if refusal != nil {
		return refusal
	}
	if id.User != k.client.Identity.User {
		return refusedOtherUser
	}
	k.client.Identity = id
	return nil
}

func (k *refreshing) checked(b *Broker, r *Refusal) {
	k.refusal = r
	k.home.post(k)
}

func (k *refreshing) drop() {}

// run makes the identity that was shown the connection's own.
func (k *refreshing) run(s *shard) {
	c := k.c
	c.refreshing = false
	refusal := k.refusal
	if refusal == nil {
		refusal = s.b.admit(k.client)
	}
	s.b.counters.auth(refusal)
	if c.state != stateOpen {
		return
	}
	if refusal != nil {
		s.log.Info("token refused", "listener", c.listener, "remote", c.remote, "client", c.client.ID,
			"user", c.client.Identity.User, "reason", refusal.Reason)
		k.answered(refusal)
		c.tellToken("refused", refusal.Reason)
		return
	}
	c.client = k.client
	c.allowed = nil
	if w := c.session.will; w != nil {
		w.client = c.client
		c.session.save(savingSession)
	}
	c.setIdentityExpiry()
	c.armTimer()
	k.answered(nil)
	c.tellToken("refreshed", "")
	c.session.recheck()
}

// setIdentityExpiry sets when the connection's identity expires, and when its client is warned.
func (c *conn) setIdentityExpiry() {
	c.expires, c.warnAt = 0, 0
	e := c.client.Identity.Expires
	if e.IsZero() {
		return
	}
	left := e.Sub(c.b.options.wallClock())
	c.expires = c.shard.now + int64(left)
	c.warnAt = c.expires - int64(min(left/warnFraction, warnBefore))
}

// warn tells the client that its token will expire, when it is time.
func (c *conn) warn() {
	if c.warnAt != 0 && c.shard.now >= c.warnAt {
		c.warnAt = 0
		c.tellToken("expiring", "")
	}
}

// tellToken sends what has become of the client's token to $me/token.
func (c *conn) tellToken(event, reason string) {
	c.session.tell(tokenTopic, c.tokenNotice(event, reason))
}

func (c *conn) tokenNotice(event, reason string) []byte {
	notice := struct {
		Event   string     `json:"event"`             // current, expiring, refreshed, refused
		Expires *time.Time `json:"expires,omitempty"` // left out: never
		Seconds int64      `json:"seconds,omitempty"` // until then
		Reason  string     `json:"reason,omitempty"`  // of refused
	}{Event: event, Reason: reason}
	if e := c.client.Identity.Expires; !e.IsZero() {
		e = e.UTC()
		notice.Expires, notice.Seconds = &e, max((c.expires-c.shard.now)/int64(time.Second), 0)
	}
	b, _ := json.Marshal(notice) // of strings, numbers and a time: it cannot fail
	return b
}

// tellEnded tells a client which of its subscriptions have ended because they are no longer allowed.
func (ss *session) tellEnded(lost []*subscription) {
	notice := struct {
		Ended  []string `json:"ended"`
		Reason string   `json:"reason"`
	}{Reason: "not_authorized"}
	for _, sub := range lost {
		notice.Ended = append(notice.Ended, sub.text())
	}
	b, _ := json.Marshal(notice) // of strings: it cannot fail
	ss.tell(endedTopic, b)
}

// tell sends a client something on a topic of its own, if it is there and has subscribed to it.
func (ss *session) tell(name string, payload []byte) {
	if ss.conn == nil {
		return
	}
	ss.subs.each(func(sub *subscription) {
		if sub.isOwn() && topic.Match(sub.filter(), name) {
			ss.tellOne(sub, name, payload)
		}
	})
}

func (ss *session) tellOne(sub *subscription, name string, payload []byte) {
	s := ss.shard
	m := &message{topic: name, payload: payload, read: s.now}
	d := delivery{m: m, retain: true}
	if sub.id != 0 {
		d.ids = []uint32{sub.id}
	}
	s.begin(m)
	s.handDelivery(ss, &d)
	s.current = nil
}

// tellCurrent sends a new subscription to topics of the client's own what there is to say.
func (ss *session) tellCurrent(sub *subscription) {
	if topic.Match(sub.filter(), droppedTopic) && ss.gap.tells() {
		ss.gap.changed = false
		ss.tellOne(sub, droppedTopic, ss.gap.encode())
	}
	if topic.Match(sub.filter(), tokenTopic) && ss.conn != nil {
		ss.tellOne(sub, tokenTopic, ss.conn.tokenNotice("current", ""))
	}
}
