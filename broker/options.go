package broker

import (
	"log/slog"
	"runtime"
	"time"

	"github.com/outcry-mqtt/outcry/broker/guard"
	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/broker/topic"
)

// MaxShards is the largest number of shards of a broker.
const MaxShards = 64

// Options configure a broker. The zero value is a broker in memory without access control: without an Authenticator every
// client is anonymous, and without an Authorizer everything is allowed.
type Options struct {
	Hooks   []any         // see Authenticator, Admitter, Authorizer, PublishInterceptor, SessionObserver, TopicPolicy
	Store   storage.Store // persists state across restarts; nil: none is persisted
	Relaxed bool          // acknowledge before the store has synced; a crash may lose unsynced writes
	Logger  *slog.Logger  // nil: no log
	Shards  int           // 0: GOMAXPROCS at the time of New; at most MaxShards
	Version string        // of the program, for $SYS/broker/version
	Limits  Limits

	// TakeOverAnonymous lets a client with a user name use a client identifier of an anonymous session. That session ends,
	// and the client gets a new one. Otherwise the client is refused until the session has expired.
	TakeOverAnonymous bool

	wallClock func() time.Time // the system clock; tests replace it
	hosting   hostingRules     // tests replace it
	leaving   leaveRules       // tests replace it
	lastWords time.Duration    // time limit for publishing wills during a stop while connections still receive them; tests replace it
}

// Limits bound the resources of clients. In every field zero means the default in its comment, and a negative value means no limit.
type Limits struct {
	ConnectTimeout  time.Duration // from the connection to a complete CONNECT; 10 s
	MaxConnectBytes int           // before CONNECT is complete; 64 KiB
	MaxPacketBytes  int           // of a packet from a client, with its header; 2 MiB
	MaxConnections  int           // in total; none

	ServerKeepAlive  time.Duration // longest keep alive of a client [MQTT-3.1.2-21]; 0: the client chooses
	MaxSessionExpiry time.Duration // longest time that a session outlives its connection; 7 days

	ReceiveMaximum    int // unacknowledged QoS 1 and 2 messages from a client, sent in CONNACK (MQTT 5 3.2.2.3.3); 1024
	MaxInflight       int // unacknowledged QoS 1 and 2 messages to a client, if its Receive Maximum is not lower; 1024
	TopicAliasMaximum int // topic aliases that a client may set (MQTT 5 3.2.2.3.8); 64
	MaxTopicAliasOut  int // topic aliases that the broker sets if the client accepts them; 16

	MaxQueuedMessages int // QoS 1 and 2 messages queued in a session; 10000
	MaxQueuedBytes    int // of these messages; 64 MiB
	Overflow          OverflowPolicy

	// When a total is reached, the longest queue loses messages.
	MaxQueuedMessagesTotal int // QoS 1 and 2 messages queued in all sessions; none
	MaxQueuedBytesTotal    int // of these messages and of inflight messages kept in memory; 1 GiB
	MaxParkedBytesTotal    int // of QoS 0 messages that wait for all clients; 1 GiB

	MaxStoringBytes int // bytes of unflushed writes; above it, packets that must be persisted are read more slowly; 32 MiB

	MaxParkedMessages int // QoS 0 messages that wait for a connection whose socket is full; 1000
	MaxParkedBytes    int // of these messages; 1 MiB

	MaxSubscriptions       int // of a session; 10000
	MaxSharedSubscriptions int // shared subscriptions of a session; 10000
	MaxShareGroups         int // share groups of one topic filter, and share groups that get one message; 10000
	MaxTopicBytes          int // of a topic name or filter; 4096
	MaxTopicLevels         int // of a topic name or filter; 128

	// Limits of the sessions of a user and of all sessions, offline ones included. All anonymous clients count as one user. A
	// subscription counts 250 bytes, 1000 more if it is shared or has a maximum rate, and twice the length of its filter. The
	// default of a total is the named part of Memory; the default for a user is three quarters of the total.
	MaxSessions                 int // Memory/2048, at least 1000
	MaxSessionsPerUser          int
	MaxSubscriptionsTotal       int // Memory/512, at least 20000
	MaxSubscriptionsPerUser     int
	MaxSubscriptionBytesTotal   int // Memory/4, at least 16 MiB
	MaxSubscriptionBytesPerUser int
	MaxSubscriptionBytes        int // of a session; MaxSubscriptionBytesTotal/8, 4 to 64 MiB

	Memory int64 // bytes that the process may use; Go's memory limit

	MaxTopicCacheBytes int // cached topics, in total; Memory/32, 16 to 256 MiB

	AllowControls bool // accept topic names and filters with control characters and non-characters; see topic.IsControl

	MaxRetainedMessages int // in total; none
	MaxRetainedBytes    int // of topics and payloads in total; none

	// Rate limits of a client. Above a limit the client is read more slowly and loses nothing. Zero: none.
	MessageRate  float64 // messages per second
	MessageBurst int     // messages at once; default: one second's worth
	ByteRate     int     // bytes of packets per second
	ByteBurst    int     // bytes at once; default: one second's worth. A larger packet is accepted and delays the next ones longer

	Guard guard.Options // per address, user and client; none
}

// OverflowPolicy selects the message to lose when a QoS 1 or 2 message finds the session's queue full. Losses are counted and
// reported on $me/dropped to the client of the session.
type OverflowPolicy uint8

// Overflow policies. The zero value is Mosquitto's policy.
const (
	OverflowDropNewest OverflowPolicy = iota // the new message is lost
	OverflowDropOldest                       // the messages that have waited longest are lost until there is room
	OverflowDisconnect                       // the new message is lost, and a connected client is disconnected with 0x97
)

const (
	unlimited     = int(^uint(0) >> 1)
	unlimitedTime = storage.Forever

	longestKeepAlive = 65535 * time.Second // maximum of the two-byte Keep Alive field
)

// takesTopic reports whether a topic name or filter is within the limits.
func (l *Limits) takesTopic(text string) bool {
	return len(text) <= l.MaxTopicBytes && topic.Levels(text) <= l.MaxTopicLevels
}

// refuses reports whether a topic name or filter has forbidden characters.
func (l *Limits) refuses(text string) bool { return !l.AllowControls && topic.HasControls(text) }

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Shards <= 0 {
		o.Shards = runtime.GOMAXPROCS(0)
	}
	o.Shards = min(o.Shards, MaxShards)
	if o.hosting == (hostingRules{}) {
		o.hosting = defaultHostRules
	}
	if o.leaving == (leaveRules{}) {
		o.leaving = defaultLeaveRules
	}
	if o.lastWords == 0 {
		o.lastWords = defaultLastWords
	}
	if o.wallClock == nil {
		o.wallClock = time.Now
	}
	o.Limits.setDefaults()
}

// limitDefault is the default of a limit.
type limitDefault struct {
	field    *int
	fallback int
	most     int // maximum of the wire format
}

// defaults returns the defaults of the limits that do not depend on the memory.
func (l *Limits) defaults() []limitDefault {
	return []limitDefault{
		{&l.MaxConnectBytes, 64 << 10, unlimited},
		{&l.MaxPacketBytes, 2 << 20, 268435460},
		{&l.MaxConnections, unlimited, unlimited},
		{&l.ReceiveMaximum, 1024, 65535},
		{&l.MaxInflight, 1024, 65535},
		{&l.TopicAliasMaximum, 64, 65535},
		{&l.MaxTopicAliasOut, 16, 65535},
		{&l.MaxQueuedMessages, 10000, unlimited},
		{&l.MaxQueuedBytes, 64 << 20, unlimited},
		{&l.MaxQueuedMessagesTotal, unlimited, unlimited},
		{&l.MaxQueuedBytesTotal, 1 << 30, unlimited},
		{&l.MaxParkedBytesTotal, 1 << 30, unlimited},
		{&l.MaxStoringBytes, 32 << 20, unlimited},
		{&l.MaxParkedMessages, 1000, unlimited},
		{&l.MaxParkedBytes, 1 << 20, unlimited},
		{&l.MaxSubscriptions, 10000, unlimited},
		{&l.MaxSharedSubscriptions, 10000, unlimited},
		{&l.MaxShareGroups, 10000, unlimited},
		{&l.MaxTopicBytes, 4096, 65535},
		{&l.MaxTopicLevels, 128, 1024}, // trees are walked recursively
		{&l.MaxRetainedMessages, unlimited, unlimited},
		{&l.MaxRetainedBytes, unlimited, unlimited},
	}
}

const (
	defaultConnectTimeout = 10 * time.Second
	defaultSessionExpiry  = 7 * 24 * time.Hour
)

// DefaultLimits returns the defaults of all limits. A negative value is no limit; zero is a limit that depends on the memory.
func DefaultLimits() Limits {
	l := Limits{ConnectTimeout: defaultConnectTimeout, MaxSessionExpiry: defaultSessionExpiry}
	for _, d := range l.defaults() {
		if *d.field = d.fallback; d.fallback == unlimited {
			*d.field = -1
		}
	}
	return l
}

func (l *Limits) setDefaults() {
	for _, d := range l.defaults() {
		switch {
		case *d.field == 0:
			*d.field = d.fallback
		case *d.field < 0:
			*d.field = d.most
		}
		*d.field = min(*d.field, d.most)
	}
	l.deriveDefaults()
	defaultTime(&l.ConnectTimeout, defaultConnectTimeout)
	defaultTime(&l.MaxSessionExpiry, defaultSessionExpiry)
	l.ServerKeepAlive = min(max(l.ServerKeepAlive, 0), longestKeepAlive)
}

func defaultTime(d *time.Duration, fallback time.Duration) {
	switch {
	case *d == 0:
		*d = fallback
	case *d < 0:
		*d = unlimitedTime
	}
}
