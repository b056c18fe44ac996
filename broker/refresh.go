package broker

import (
	"encoding/json"
	"time"

	"github.com/outcry-mqtt/outcry/broker/topic"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// A client may present a fresh token without reconnecting: with MQTT 5 by AUTH, if its CONNECT named the method "token"
// (MQTT 5 4.12.1), and any client by publishing it to $auth/token. That message is delivered to no one. The client's
// permissions change in place. On $me/token the client receives its token's expiry and the result of a refresh.
const (
	tokenMethod = "token"
	authTopic   = "$auth/token"
	tokenTopic  = "$me/token"
	endedTopic  = "$me/subscriptions"
)

// A client is warned when a quarter of its identity's lifetime is left, but at most one minute before the end.
const (
	warnFraction = 4
	warnBefore   = time.Minute
)

var (
	errAuthMethod     = &wire.Error{Code: wire.ProtocolError, Reason: "AUTH with a different authentication method than CONNECT [MQTT-4.12.0-5]"}
	errAuthCode       = &wire.Error{Code: wire.ProtocolError, Reason: "AUTH without a preceding authentication exchange (MQTT 5 4.12)"}
	errAuthWhileBusy  = &wire.Error{Code: wire.ProtocolError, Reason: "AUTH before the answer to the previous AUTH (MQTT 5 4.12.1)"}
	refusedOtherUser  = &Refusal{Code: CodeNotAuthorized, Reason: "the token is for a different user", Label: "other_user"}
	refusedWhileBusy  = &Refusal{Code: CodeQuotaExceeded, Reason: "the previous token is still being verified", Label: "busy"}
	refusedNoPassword = &Refusal{Code: CodeNotAuthorized, Reason: "no token", Label: "no_credentials"}
)

// refreshing is a token on its way to the authenticators, and back to its connection. It is a post to the connection's shard.
type refreshing struct {
	c        *conn
	home     *shard
	token    []byte
	client   *Client // with the token's identity
	refusal  *Refusal
	answered func(*Refusal)
}

// onAuth handles a client's request to re-authenticate (MQTT 5 4.12.1).
func (c *conn) onAuth(body []byte) error {
	var a wire.Auth
	if err := wire.DecodeAuth(body, &a); err != nil {
		return err
	}
	switch {
	case !c.identity.hasMethod:
		return errAuthPacket
	case a.Method != tokenMethod:
		return errAuthMethod
	case a.Code != wire.ReAuthenticate:
		return errAuthCode
	case c.identity.refreshing:
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

// onToken handles a published token. Its acknowledgement carries the result.
func (c *conn) onToken(p *wire.Publish) {
	kind := wire.TypePuback
	if p.QoS == 2 {
		kind = wire.TypePubrec
		c.session.unreleased.set(unreleasedID{id: p.PacketID})
		c.session.save(savingFlow)
	}
	if c.identity.refreshing {
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
			c.acks.held[n-c.acks.base].code = c.refused(qos, id, r.Code)
		}
		c.ackStored(n, nil)
	})
}

// refused returns the reason code for the client. After an error in PUBREC the packet identifier is free again (MQTT 5 4.3.3).
func (c *conn) refused(qos byte, id uint16, code byte) byte {
	if c.version != wire.V5 {
		return wire.Success
	}
	if qos == 2 {
		c.session.unreleased.remove(id)
		c.session.save(savingFlow)
	}
	if code != wire.NotAuthorized && code != wire.QuotaExceeded {
		code = wire.NotAuthorized // the codes of an acknowledgement are limited (MQTT 5 3.4.2.1)
	}
	return code
}

// refresh has a token checked on another goroutine. It calls answered with the result if the connection is still open.
func (c *conn) refresh(token []byte, answered func(*Refusal)) {
	c.identity.refreshing = true
	client := *c.identity.client
	c.b.auth.tokens.put(&refreshing{c: c, home: c.shard, token: token, client: &client, answered: answered})
}

// check asks the authenticators. It runs on a checker.
func (k *refreshing) check(b *Broker, slow bool) (r *Refusal, postponed bool) {
	if len(k.token) == 0 {
		return refusedNoPassword, false
	}
	id, r, postponed := b.identify(&Credentials{
		ClientID: k.client.ID, Password: k.token, Version: k.client.Version, Listener: k.client.Listener, Remote: k.client.Remote,
	}, slow)
	if r != nil || postponed {
		return r, postponed
	}
	if id.User != k.client.Identity.User {
		return refusedOtherUser, false
	}
	k.client.Identity = id
	return nil, false
}

func (k *refreshing) checked(b *Broker, r *Refusal) {
	k.refusal = r
	k.home.post(k)
}

func (k *refreshing) drop() {}

// run gives the connection its new identity.
func (k *refreshing) run(s *shard) {
	c := k.c
	c.identity.refreshing = false
	refusal := k.refusal
	if refusal == nil {
		refusal = s.b.admit(k.client)
	}
	s.b.counters.auth(refusal)
	if c.state != stateOpen {
		return
	}
	if refusal != nil {
		s.b.logRefusal("token refused", refusal, c, c.identity.client.ID, c.identity.client.Identity.User)
		k.answered(refusal)
		c.tellToken("refused", refusal.Reason)
		return
	}
	c.identity.client = k.client
	c.identity.allowed = nil
	if w := c.session.will; w != nil {
		w.client = c.identity.client
		c.session.save(savingSession)
	}
	c.setIdentityExpiry()
	c.armTimer()
	k.answered(nil)
	c.tellToken("refreshed", "")
	c.session.recheck()
}

// setIdentityExpiry sets the expiry of the connection's identity and the time of the client's warning.
func (c *conn) setIdentityExpiry() {
	c.identity.expires, c.identity.warnAt = 0, 0
	e := c.identity.client.Identity.Expires
	if e.IsZero() {
		return
	}
	left := e.Sub(c.b.options.wallClock())
	c.identity.expires = after(c.shard.now, left)
	c.identity.warnAt = c.identity.expires - int64(min(left/warnFraction, warnBefore))
}

// warn tells the client that its token will expire, at the time of the warning.
func (c *conn) warn() {
	if c.identity.warnAt != 0 && c.shard.now >= c.identity.warnAt {
		c.identity.warnAt = 0
		c.tellToken("expiring", "")
	}
}

// tellToken sends an event of the client's token to $me/token.
func (c *conn) tellToken(event, reason string) {
	c.session.tell(tokenTopic, func() []byte { return c.tokenNotice(event, reason) })
}

func (c *conn) tokenNotice(event, reason string) []byte {
	notice := struct {
		Event   string     `json:"event"`             // current, expiring, refreshed, refused
		Expires *time.Time `json:"expires,omitempty"` // absent: never
		Seconds int64      `json:"seconds,omitempty"` // until Expires
		Reason  string     `json:"reason,omitempty"`  // of refused
	}{Event: event, Reason: reason}
	if e := c.identity.client.Identity.Expires; !e.IsZero() {
		e = writable(e)
		notice.Expires, notice.Seconds = &e, max(c.secondsLeft(e), 0)
	}
	b, _ := json.Marshal(notice) // cannot fail for strings, numbers and a time
	return b
}

// secondsLeft returns the remaining seconds of the connection's identity, which expires at e. It uses the broker's clock
// unless the expiry is beyond its range.
func (c *conn) secondsLeft(e time.Time) int64 {
	if c.identity.expires == int64(unlimitedTime) {
		return e.Unix() - c.b.options.wallClock().Unix()
	}
	return (c.identity.expires - c.shard.now) / int64(time.Second)
}

// writable returns t in UTC and within the range of JSON, which ends before the year 10000.
func writable(t time.Time) time.Time {
	if latest := time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC); t.After(latest) {
		return latest
	}
	return t.UTC()
}

// tellEnded lists for a client its subscriptions that ended because they are no longer allowed.
func (ss *session) tellEnded(lost []*subscription) {
	notice := struct {
		Ended  []string `json:"ended"`
		Reason string   `json:"reason"`
	}{Reason: "not_authorized"}
	for _, sub := range lost {
		notice.Ended = append(notice.Ended, sub.Key())
	}
	ss.tell(endedTopic, func() []byte {
		b, _ := json.Marshal(notice) // cannot fail for strings
		return b
	})
}

// tell sends a client a notice on one of its $me/ topics if it is connected and has subscribed to it. It looks up the filters
// that match: a client has up to MaxSubscriptions others. encode makes the payload and is called only for a subscriber.
func (ss *session) tell(name string, encode func() []byte) {
	if ss.conn == nil {
		return
	}
	var payload []byte
	for _, filter := range ownFilters(name) {
		sub := ss.subs.get(subscriptionKey{filter: filter})
		if sub == nil {
			continue
		}
		if payload == nil {
			payload = encode()
		}
		ss.tellOne(sub, name, payload)
	}
}

// ownFilters returns all private filters that match a topic $me/name.
func ownFilters(name string) [5]string {
	return [...]string{name, name + "/#", meTopics + "/+", meTopics + "/+/#", meTopics + "/#"}
}

// tellOne sends a notice for a subscription. A notice that exceeds the client's Maximum Packet Size is not reported as a
// loss: that would cause the next notice, without end.
func (ss *session) tellOne(sub *subscription, name string, payload []byte) {
	s, c := ss.shard, ss.conn
	s.turns.budget.work += noticeWork
	m := &message{topic: name, payload: payload, read: s.now}
	d := delivery{m: m, retain: true}
	if sub.id != 0 {
		d.ids = []uint32{sub.id}
	}
	switch {
	case c.output.blocked != nil:
		c.queueBlocked(&d)
	case c.state == stateOpen && !c.encode(&d, 0, false):
		s.stats.dropped[dropTooLarge]++
	}
}

// tellCurrent sends the current notices to a new subscription to $me/ topics.
func (ss *session) tellCurrent(sub *subscription) {
	if topic.Match(sub.filter(), droppedTopic) && ss.losses.tells() {
		ss.losses.changed = false
		ss.tellOne(sub, droppedTopic, ss.losses.encode())
	}
	if topic.Match(sub.filter(), deniedTopic) && ss.losses != nil && ss.losses.denied != nil {
		ss.losses.denied.changed = false
		ss.tellOne(sub, deniedTopic, ss.losses.denied.encode())
	}
	if topic.Match(sub.filter(), tokenTopic) && ss.conn != nil {
		ss.tellOne(sub, tokenTopic, ss.conn.tokenNotice("current", ""))
	}
}
