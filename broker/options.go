package broker

import (
	"log/slog"
	"runtime"
	"time"

	"github.com/outcry-mqtt/outcry/broker/guard"
	"github.com/outcry-mqtt/outcry/broker/topic"
)

// MaxShards is the most shards that a broker can have.
const MaxShards = 64

// Options say how a broker works. The zero value is a broker in memory that lets everybody do everything: without an
// Authenticator every client is anonymous, and without an Authorizer everything is allowed.
type Options struct {
	Hooks   []any        // see Authenticator, Admitter, Authorizer, PublishInterceptor, SessionObserver, TopicPolicy
	Store   Store        // keeps what must outlive the process; nil: nothing does
	Relaxed bool         // acknowledge before the store has synced; a crash may lose what it had not
	Logger  *slog.Logger // nil: no log
	Shards  int          // 0: GOMAXPROCS at the time of New; at most MaxShards
	Version string       // of the program, for $SYS/broker/version
	Limits  Limits

	wallClock func() time.Time // the system clock; tests have their own
	hosting   hostRules        // likewise
}

// Limits bound what clients can take. In every field zero means the default that is named and a negative value no limit.
type Limits struct {
	ConnectTimeout  time.Duration // from the connection to a complete CONNECT; 10 s
	MaxConnectBytes int           // before CONNECT is complete; 64 KiB
	MaxPacketBytes  int           // of a packet from a client, with its header; 2 MiB
	MaxConnections  int           // in all; none

	ServerKeepAlive  time.Duration // the longest keep alive that a client may have [MQTT-3.1.2-21]; 0: the client's choice
	MaxSessionExpiry time.Duration // the longest that a session outlives its connection; 7 days

	ReceiveMaximum    int // QoS 1 and 2 messages of a client under way to us, sent in CONNACK (MQTT 5 3.2.2.3.3); 1024
	MaxInflight       int // QoS 1 and 2 messages under way to a client, if it does not say less; 1024
	TopicAliasMaximum int // topic aliases that a client may set (MQTT 5 3.2.2.3.8); 64
	MaxTopicAliasOut  int // topic aliases that we set, if the client takes them; 16

	MaxQueuedMessages int // QoS 1 and 2 messages that wait in a session; 10000
	MaxQueuedBytes    int // of these messages; 64 MiB
	Overflow          OverflowPolicy

	MaxQueuedMessagesTotal int // QoS 1 and 2 messages that wait in all sessions; none
	MaxQueuedBytesTotal    int // of these messages; 1 GiB

	MaxStoringBytes int // that wait for the store before what has to be stored is read more slowly; 32 MiB

	MaxParkedMessages int // QoS 0 messages that wait for a connection whose socket is full; 1000
	MaxParkedBytes    int // of these messages; 1 MiB

	MaxSubscriptions int // of a session; 10000
	MaxTopicBytes    int // of a topic name or filter; 4096
	MaxTopicLevels   int // of a topic name or filter; 128

	MaxRetainedMessages int // in all; none
	MaxRetainedBytes    int // of topics and payloads in all; none

	// What a client may send in a second; one that sends more is read more slowly, and loses nothing. Zero: none.
	MessageRate  float64 // messages
	MessageBurst int     // of them at once; what a second brings
	ByteRate     int     // bytes of packets
	ByteBurst    int     // of them at once; what a second brings. A packet may be larger: then those behind it wait longer

	Guard guard.Options // of what comes from one address, one user or one client; none
}

// OverflowPolicy is what becomes of a QoS 1 or 2 message that finds no room in its session's queue. What is lost is
// counted, and told on $me/dropped to the client whose session it is.
type OverflowPolicy uint8

// The policies of full queues. The zero value is what Mosquitto does.
const (
	OverflowDropNewest OverflowPolicy = iota // the message is lost
	OverflowDropOldest                       // the messages that have waited longest are lost, until there is room
	OverflowDisconnect                       // the message is lost, and the client is disconnected with 0x97 if it is there
)

const (
	unlimited     = int(^uint(0) >> 1)
	unlimitedTime = time.Duration(1<<63 - 1)
)

// takesTopic tells whether a topic name or filter is within the limits.
func (l *Limits) takesTopic(text string) bool {
	return len(text) <= l.MaxTopicBytes && topic.Levels(text) <= l.MaxTopicLevels
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Shards <= 0 {
		o.Shards = runtime.GOMAXPROCS(0)
	}
	o.Shards = min(o.Shards, MaxShards)
	if o.hosting == (hostRules{}) {
		o.hosting = defaultHostRules
	}
	if o.wallClock == nil {
		o.wallClock = time.Now
	}
	o.Limits.setDefaults()
}

func (l *Limits) setDefaults() {
	for _, f := range []struct {
		field    *int
		fallback int
		most     int // what the wire can carry
	}{
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
		{&l.MaxStoringBytes, 32 << 20, unlimited},
		{&l.MaxParkedMessages, 1000, unlimited},
		{&l.MaxParkedBytes, 1 << 20, unlimited},
		{&l.MaxSubscriptions, 10000, unlimited},
		{&l.MaxTopicBytes, 4096, 65535},
		{&l.MaxTopicLevels, 128, 1024}, // trees are walked recursively
		{&l.MaxRetainedMessages, unlimited, unlimited},
		{&l.MaxRetainedBytes, unlimited, unlimited},
	} {
		switch {
		case *f.field == 0:
			*f.field = f.fallback
		case *f.field < 0:
			*f.field = f.most
		}
		*f.field = min(*f.field, f.most)
	}
	defaultTime(&l.ConnectTimeout, 10*time.Second)
	defaultTime(&l.MaxSessionExpiry, 7*24*time.Hour)
	l.ServerKeepAlive = max(l.ServerKeepAlive, 0)
}

func defaultTime(d *time.Duration, fallback time.Duration) {
	switch {
	case *d == 0:
		*d = fallback
	case *d < 0:
		*d = unlimitedTime
	}
}
