package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// A hook is any value in Options.Hooks that implements one or more of the interfaces in this file; they are found by
// type assertion, and asked in the order of Options.Hooks.

// ErrNotConcerned is returned by an Authenticator that has no opinion about the credentials it was shown; the next one
// is asked. If no authenticator is concerned, the client is refused as not authorized.
var ErrNotConcerned = errors.New("authenticator not concerned")

// Refusal is an error with the reason code that the client is told. Code is one of MQTT 5's reason codes (0x80 and
// above); for a 3.x client it is translated to the CONNACK return code 1 to 5 that comes nearest.
type Refusal struct {
	Code   byte
	Reason string // for the log and, in MQTT 5, the reason string: never a secret
	Label  string // a word of a closed set for metrics, e.g. "expired", "bad_signature", "unknown_user"
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

// Credentials are what a client shows when it connects. They are valid only during the call they are passed to.
type Credentials struct {
	ClientID string               // as sent; empty if the server is to assign one
	Username string               // empty if there is none
	Password []byte               // nil if there is none; never to be logged
	Version  byte                 // 3, 4 or 5 (MQTT 3.1, 3.1.1, 5.0)
	Listener string               // the listener's name
	Remote   string               // the peer's address, host:port
	TLS      *tls.ConnectionState // nil without TLS
	Header   http.Header          // of the WebSocket upgrade; nil elsewhere
}

// Identity is who a client is. It does not change while it is in use and may be shared by connections.
type Identity struct {
	User    string         // empty for an anonymous client
	Claims  map[string]any // what rules may refer to: strings, numbers, bools, and []any or []string of them
	Expires time.Time      // zero: never
	Method  string         // the authenticator's name: "jwt", "passwd", "anonymous"
}

// Authenticator tells who a client is from what it shows. It runs off the shards, so it may take time; it must return
// when ctx ends. It returns ErrNotConcerned, a *Refusal, or another error (then the client is told 'server unavailable').
type Authenticator interface {
	Authenticate(ctx context.Context, c *Credentials) (*Identity, error)
}

// QuickAuthenticator is an Authenticator that knows some clients at once. AuthenticateQuickly is asked on the shard before
// Authenticate is asked elsewhere: it must neither wait nor compute for longer than some microseconds. It returns an
// Identity, or nil if it is not concerned; known is false if only Authenticate can tell.
type QuickAuthenticator interface {
	Authenticator
	AuthenticateQuickly(c *Credentials) (id *Identity, known bool)
}

// Action is what a client wants to do with a topic.
type Action uint8

// The actions that an Authorizer decides on.
const (
	Publish   Action = iota // the topic is a topic name
	Subscribe               // the topic is a topic filter, without its $share prefix
	Deliver                 // the topic is a topic name that a subscription of the client matched
)

// String returns the action's name as it stands in rules.
func (a Action) String() string { return [...]string{"publish", "subscribe", "deliver"}[a] }

// Client is the client that a hook is asked about. It must not be kept after the call.
type Client struct {
	ID       string
	Identity *Identity // never nil
	Listener string
	Remote   string
	Version  byte
	Assigned bool // the client left the choice of ID to the broker
}

// Authorizer decides whether a client may do something. It is called on a shard and must not block or do I/O; it may be
// called from several shards at once. All authorizers must allow. The broker caches decisions per connection, and for
// Deliver asks only after the rules have changed (see Broker.RulesChanged) or a session was resumed.
type Authorizer interface {
	Authorize(c *Client, a Action, topic string) bool
}

// Grant is how far a client may go with a topic. The zero value is not at all.
type Grant struct {
	Allowed bool
	MaxQoS  byte    // a message above it is refused; a subscription above it gets this one (MQTT 5 3.8.4)
	Retain  bool    // whether a message may be retained; says nothing about a subscription
	MaxRate float64 // messages a second of each topic that a subscription is sent, the newest, with QoS 0; 0: no limit
}

// Granter is an Authorizer whose permissions have limits. For Publish and Subscribe it is asked this, in place of
// Authorize; what several authorizers grant is what all of them do.
type Granter interface {
	Authorizer
	Grant(c *Client, a Action, topic string) Grant
}

// Admitter decides whether a client may come in as who it is, with the client identifier it has; nil lets it in. It is
// asked on a shard and must not block, before the session is looked at, and again when the rules have changed: then a
// client that is refused is disconnected as not authorized. All admitters must agree.
type Admitter interface {
	Admit(c *Client) *Refusal
}

// Message is a message as hooks and embedding programs see it.
type Message struct {
	Topic   string
	Payload []byte // not to be changed
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

// UserProperty is a name and value pair of MQTT 5; names may repeat and order is kept [MQTT-3.3.2-18].
type UserProperty struct{ Name, Value string }

// PublishInterceptor sees each message that a client may publish, before it is routed. It may change the message
// (it is the hook's own copy), or return an error to drop it: a *Refusal's code is what an MQTT 5 publisher is told.
// It is called on a shard and must not block.
type PublishInterceptor interface {
	InterceptPublish(c *Client, m *Message) error
}

// SessionObserver hears of connections. It is called from one goroutine, in order, through a bounded queue: an observer
// that cannot keep up misses events, which are counted.
type SessionObserver interface {
	Observe(e Event)
}

// EventKind is what happened to a client.
type EventKind uint8

// The events that a SessionObserver hears of.
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
	Topic    string // of Subscribed and Unsubscribed: the filter
	Reason   string // of Disconnected: why
}

// QueuePolicy is what happens to a QoS 0 message for a connection that is not reading.
type QueuePolicy uint8

// The policies.
const (
	DropOldest QueuePolicy = iota // the oldest waiting message is dropped for the newest
	Conflate                      // only the newest message of each topic waits: for tickers
	Disconnect                    // a connection that cannot keep up is closed
)

// TopicPolicy tells the policy of a topic. It is called when a topic is first seen and cached; it must not block.
type TopicPolicy interface {
	QueuePolicy(topic string) QueuePolicy
}
