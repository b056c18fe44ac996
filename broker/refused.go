package broker

import (
	"log/slog"
	"strings"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

// Refusals of a CONNECT by the broker itself, without a hook.
var (
	refusedMethod = &Refusal{
		Code: wire.BadAuthenticationMethod, Reason: "unsupported authentication method [MQTT-4.12.0-1]", Label: "bad_auth_method",
	}
	refusedWillTopic = &Refusal{
		Code: wire.TopicNameInvalid, Reason: "the will topic is not a valid topic name, or is reserved for the broker", Label: "will_topic",
	}
	refusedWillText = &Refusal{
		Code: wire.TopicNameInvalid, Label: "will_topic",
		Reason: "the topic or response topic of the will has a control character or a non-character",
	}
	refusedTaken = &Refusal{
		Code: CodeClientIDNotValid, Reason: "this client identifier belongs to another user", Label: "client_id_of_another",
	}
	refusedAnonymous = &Refusal{
		Code: CodeClientIDNotValid, Reason: "this client identifier has the session of an anonymous client",
		Label: "client_id_of_anonymous",
		hint:  "set auth.anonymous_sessions: takeover to let a user end it; otherwise it ends after its session expiry",
	}
	refusedWill = &Refusal{
		Code: CodeNotAuthorized, Reason: "the client may not publish its will", Label: "will_not_authorized",
	}
	refusedWithout = &Refusal{Code: CodeNotAuthorized, Reason: "no valid credentials were given", Label: "no_credentials"}
)

// mayTakeOver returns the refusal of another user's CONNECT with the session's client identifier; nil: it is allowed, and the
// session ends.
func (b *Broker) mayTakeOver(old *session) *Refusal {
	switch {
	case old.usage.user != "":
		return refusedTaken
	case !b.live.takeOverAnonymous.Load():
		return refusedAnonymous
	}
	return nil
}

// SetTakeOverAnonymous changes Options.TakeOverAnonymous while the broker runs.
func (b *Broker) SetTakeOverAnonymous(on bool) { b.live.takeOverAnonymous.Store(on) }

// labelProtocol is the counter label for connections with a protocol error before they were admitted.
const labelProtocol = "protocol_error"

// refuse counts and logs a refused CONNECT, answers it and closes the connection.
func (k *connecting) refuse(r *Refusal) {
	c := k.c
	c.b.counters.auth(r)
	id, user := k.packet.ClientID, loggable(k.packet.Username)
	if k.client != nil {
		id = k.client.ID
		if k.client.Identity.User != "" {
			user = k.client.Identity.User
		}
	}
	c.b.logRefusal("client refused", r, c, id, user)
	c.refuse(r.Code, r.Reason)
}

// logRefusal logs a refusal, with a rate limit for each label.
func (b *Broker) logRefusal(msg string, r *Refusal, c *conn, client, user string) {
	level := slog.LevelInfo
	args := []any{"listener", c.listener, "remote", c.remote, "client", shown(client), "user", shown(user), "reason", shown(r.Reason)}
	if r.hint != "" {
		args = append(args, "hint", r.hint)
	}
	if r.cause != nil {
		level = slog.LevelError
		args = append(args, "error", shown(r.cause.Error()))
	}
	b.lines.write(level, r.Label, msg, args...)
}

// logDenied logs that a client may not publish or subscribe to a topic, with a rate limit for each action.
func (c *conn) logDenied(action, topic string) {
	if suppressed, ok := c.b.lines.take(slog.LevelInfo, action); ok { // before any allocation
		c.b.lines.put(slog.LevelInfo, action+" not authorized", suppressed, []any{"listener", c.listener, "remote", c.remote,
			"client", shown(c.id()), "user", shown(c.identity.client.Identity.User), "topic", shown(topic)})
	}
}

// loggable returns a user name that is safe to log: some clients send their token as the user name.
func loggable(user string) string {
	if len(user) > 64 || strings.Count(user, ".") == 2 && strings.HasPrefix(user, "eyJ") {
		return "(not shown)"
	}
	return user
}
