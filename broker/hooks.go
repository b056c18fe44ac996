package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// A hook is any value in Options.Hooks that implements one or more of the interfaces in this file. The broker finds them by type
// assertion, and asks them in the order of Options.Hooks.

// ErrNotConcerned is returned by an Authenticator that does not handle the credentials; the next one is asked. If none handles
// them, the client is refused as not authorized.
var ErrNotConcerned = errors.New("authenticator not concerned")

// Refusal is an error with the reason code for the client. Code is an MQTT 5 reason code (0x80 and above). For a 3.x client it
// becomes the nearest CONNACK return code, 1 to 5.
type Refusal struct {
	Code   byte
	Reason string // for the log and the MQTT 5 reason string; never a secret
	Label  string // a word of a closed set, for metrics: "expired", "bad_signature", "unknown_user"
	Failed bool   // counts as a failed login, as CodeBadUserOrPassword always does

	hint  string // advice for the operator, in the log
	cause error  // cause of a refusal that needs the operator's attention, in the log
}

// Error returns the reason with its code.
func (r *Refusal) Error() string { return fmt.Sprintf("%s (0x%02X)", r.Reason, r.Code) }

// Reason codes that hooks commonly refuse with (MQTT 5 section 2.4).
const (
	CodeUnspecified        byte = 0x80
	CodeClientIDNotValid   byte = 0x85
	CodeBadUserOrPassword  byte = 0x86
	CodeNotAuthorized      byte = 0x87
	CodeServerUnavailable  byte = 0x88
	CodeServerBusy         byte = 0x89
	CodeBanned             byte = 0x8A
	CodeTopicNameInvalid   byte = 0x90
	CodeQuotaExceeded      byte = 0x97
	CodePayloadFormat      byte = 0x99
	CodeConnectionRate     byte = 0x9F
	CodeImplementationSpec byte = 0x83
)

// Credentials are a connecting client's credentials. They are valid only during the call.
type Credentials struct {
	ClientID string               // as sent; empty: the broker assigns one
	Username string               // empty: none
	Password []byte               // nil: none; must never be logged
	Version  byte                 // 3, 4 or 5 (MQTT 3.1, 3.1.1, 5.0)
	Listener string               // the listener's name
	Remote   string               // the peer's address, host:port
	TLS      *tls.ConnectionState // nil: no TLS
	Header   http.Header          // of the WebSocket upgrade; nil: no WebSocket
}

// Identity is a client's identity. It is immutable while in use, and connections may share it.
type Identity struct {
	User    string         // empty: an anonymous client
	Claims  map[string]any // values for rules: strings, numbers, bools, and []any or []string of them
	Expires time.Time      // zero: never
	Method  string         // the authenticator's name: "jwt", "passwd", "anonymous"
}

// Authenticator identifies a client by its credentials. It runs off the shards, so it may block; it must return when ctx ends. It
// returns ErrNotConcerned, a *Refusal, or another error; then the client is told 'server unavailable'.
type Authenticator interface {
	Authenticate(ctx context.Context, c *Credentials) (*Identity, error)
}

// QuickAuthenticator is an Authenticator that identifies some clients at once. AuthenticateQuickly is called on the shard before
// Authenticate is called elsewhere: it must not block, nor compute for longer than some microseconds. It returns an Identity, or
// nil if it is not concerned. known is false if only Authenticate can tell.
type QuickAuthenticator interface {
	Authenticator
	AuthenticateQuickly(c *Credentials) (id *Identity, known bool)
}

// GuessableAuthenticator is an Authenticator that reports whether it would check guessable credentials of c, such as a password.
// Failed logins limit such checks. Credentials that cannot be guessed, such as a signed token, are checked even while failed logins
// lock the client out. Without this interface all credentials count as guessable.
type GuessableAuthenticator interface {
	Authenticator
	Guessable(c *Credentials) bool
}

// Action is a client's operation on a topic.
type Action uint8

// The actions that an Authorizer decides on.
const (
	Publish   Action = iota // the topic is a topic name
	Subscribe               // the topic is a topic filter, without its $share prefix
	Deliver                 // the topic is a topic name that matches a subscription of the client
)

// String returns the action's name as used in rules.
func (a Action) String() string { return [...]string{"publish", "subscribe", "deliver"}[a] }

// Client is the client in a call of a hook. A hook must not keep it after the call.
type Client struct {
	ID       string
	Identity *Identity // never nil
	Listener string
	Remote   string
	Version  byte
	Assigned bool // the broker assigned ID
	Bridge   bool // the client's MQTT 3.x CONNECT marks it as a bridge
}

// Authorizer decides whether a client may use a topic. It is called on a shard, and must not block or do I/O; several shards may
// call it at once. All authorizers must allow. The broker caches decisions per connection. It asks for Deliver only after the rules
// have changed (see Broker.RulesChanged) or a session was resumed.
type Authorizer interface {
	Authorize(c *Client, a Action, topic string) bool
}

// Grant is a client's rights on a topic. The zero value allows nothing.
type Grant struct {
	Allowed bool
	MaxQoS  byte    // a message with a higher QoS is refused; a subscription with a higher QoS gets this one (MQTT 5 3.8.4)
	Retain  bool    // messages may be retained; has no effect on a subscription
	MaxRate float64 // messages per second and topic for a subscription, the newest ones, with QoS 0; 0: no limit
}

// Granter is an Authorizer with limited permissions. For Publish and Subscribe the broker calls Grant in place of Authorize. The
// grants of several authorizers are combined: the strictest value counts.
type Granter interface {
	Authorizer
	Grant(c *Client, a Action, topic string) Grant
}

// Admitter decides whether an identified client may connect with its client identifier; nil: it may. It is called on a shard,
// before the session is looked up, and must not block. It is called again when the rules have changed: a refused client is
// disconnected as not authorized. It is also called when the client's will is about to be published, possibly much later and in
// another process: a refused will is dropped. All admitters must agree.
type Admitter interface {
	Admit(c *Client) *Refusal
}

// SessionAdmitter is an Admitter that also decides whether a session may outlive its connection; nil: it may. It is called on a
// shard for every session, at the broker's start and when the rules have changed, and must not block. A refused session ends as
// soon as no client is connected to it; its will is subject to Admit. Only ID and Identity.User of c are set: a session belongs to
// its user, not to a token.
type SessionAdmitter interface {
	Admitter
	AdmitSession(c *Client) *Refusal
}

// Message is a message as hooks and embedding programs see it.
type Message struct {
	Topic   string
	Payload []byte // must not be changed
	QoS     byte
	Retain  bool
	// MQTT 5 properties; zero values are absent.
	PayloadFormat   byte
	MessageExpiry   time.Duration // rounded up to whole seconds on the wire
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte
	UserProperties  []UserProperty
}

// UserProperty is an MQTT 5 name-value pair. Names may repeat, and order is kept [MQTT-3.3.2-18].
type UserProperty struct{ Name, Value string }

// PublishInterceptor gets each message that a client may publish, before it is routed. It may change the message, its own copy, or
// return an error to drop it. An MQTT 5 publisher gets the code of a *Refusal. It is called on a shard and must not block.
type PublishInterceptor interface {
	InterceptPublish(c *Client, m *Message) error
}

// SessionObserver gets events of connections and sessions. It is called from one goroutine, in order, through a bounded queue. A
// slow observer misses events, which are counted.
type SessionObserver interface {
	Observe(e Event)
}

// EventKind is the kind of an Event.
type EventKind uint8

// The events for a SessionObserver.
const (
	Connected EventKind = iota
	Disconnected
	Subscribed
	Unsubscribed
	SessionEnded
)

// Event is one event of a client.
type Event struct {
	Kind     EventKind
	Time     time.Time
	ClientID string
	User     string
	Listener string
	Remote   string
	Topic    string // of Subscribed and Unsubscribed: the topic filter
	Reason   string // of Disconnected: the reason
}

// QueuePolicy decides about QoS 0 messages for a connection that does not read.
type QueuePolicy uint8

// The policies.
const (
	DropOldest QueuePolicy = iota // the oldest waiting message is dropped for the newest
	Conflate                      // only the newest message of each topic waits: for tickers
	Disconnect                    // a connection that cannot keep up is closed
)

// TopicPolicy returns the policy of a topic. It is called when a topic is first used, and the result is cached. It must not block.
type TopicPolicy interface {
	QueuePolicy(topic string) QueuePolicy
}
