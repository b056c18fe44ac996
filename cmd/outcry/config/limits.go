package config

import (
	"time"

	"github.com/outcry-mqtt/outcry/broker"
)

// Limits bound what clients can take; see broker.Limits.
type Limits struct {
	ConnectTimeout  time.Duration `key:"connect_timeout" least:"100ms" none:"no limit"`
	MaxConnectBytes Size          `key:"max_connect" least:"256" none:"no limit"`
	MaxPacketBytes  Size          `key:"max_packet" least:"256" none:"no limit"`
	MaxConnections  int           `key:"max_connections" least:"1" none:"no limit"`
	MaxHandshakes   int           `key:"max_handshakes" least:"1"` // of each listener; not the broker's

	ServerKeepAlive  time.Duration `key:"server_keepalive" least:"1s" none:"the client's choice"`
	MaxSessionExpiry time.Duration `key:"max_session_expiry" least:"1s" none:"no limit"`

	ReceiveMaximum    int `key:"receive_maximum" least:"1" none:"no limit"`
	MaxInflight       int `key:"max_inflight" least:"1" none:"no limit"`
	TopicAliasMaximum int `key:"topic_alias_maximum" least:"1" none:"no limit"`
	MaxTopicAliasOut  int `key:"max_topic_alias_out" least:"1" none:"no limit"`

	MaxQueuedMessages int    `key:"max_queued_messages" least:"1" none:"no limit"`
	MaxQueuedBytes    Size   `key:"max_queued" least:"1KiB" none:"no limit"`
	Overflow          string `key:"overflow" oneof:"drop-newest drop-oldest disconnect"`

	MaxQueuedMessagesTotal int  `key:"max_queued_messages_total" least:"1" none:"no limit"`
	MaxQueuedBytesTotal    Size `key:"max_queued_total" least:"1KiB" none:"no limit"`

	MaxParkedMessages int  `key:"max_parked_messages" least:"1" none:"no limit"`
	MaxParkedBytes    Size `key:"max_parked" least:"1KiB" none:"no limit"`

	MaxSubscriptions int  `key:"max_subscriptions" least:"1" none:"no limit"`
	MaxTopicBytes    Size `key:"max_topic" least:"16" none:"no limit"`
	MaxTopicLevels   int  `key:"max_topic_levels" least:"1" none:"no limit"`

	MaxRetainedMessages int  `key:"max_retained_messages" least:"1" none:"no limit"`
	MaxRetainedBytes    Size `key:"max_retained" least:"1KiB" none:"no limit"`
}

var overflows = map[string]broker.OverflowPolicy{
	"drop-newest": broker.OverflowDropNewest,
	"drop-oldest": broker.OverflowDropOldest,
	"disconnect":  broker.OverflowDisconnect,
}

// Broker returns the limits as the engine takes them.
func (l *Limits) Broker() broker.Limits {
	return broker.Limits{
		ConnectTimeout:    l.ConnectTimeout,
		MaxConnectBytes:   int(l.MaxConnectBytes),
		MaxPacketBytes:    int(l.MaxPacketBytes),
		MaxConnections:    l.MaxConnections,
		ServerKeepAlive:   max(0, l.ServerKeepAlive),
		MaxSessionExpiry:  l.MaxSessionExpiry,
		ReceiveMaximum:    l.ReceiveMaximum,
		MaxInflight:       l.MaxInflight,
		TopicAliasMaximum: l.TopicAliasMaximum,
		MaxTopicAliasOut:  l.MaxTopicAliasOut,
		MaxQueuedMessages: l.MaxQueuedMessages,
		MaxQueuedBytes:    int(l.MaxQueuedBytes),
		Overflow:          overflows[l.Overflow],

		MaxQueuedMessagesTotal: l.MaxQueuedMessagesTotal,
		MaxQueuedBytesTotal:    int(l.MaxQueuedBytesTotal),

		MaxParkedMessages:   l.MaxParkedMessages,
		MaxParkedBytes:      int(l.MaxParkedBytes),
		MaxSubscriptions:    l.MaxSubscriptions,
		MaxTopicBytes:       int(l.MaxTopicBytes),
		MaxTopicLevels:      l.MaxTopicLevels,
		MaxRetainedMessages: l.MaxRetainedMessages,
		MaxRetainedBytes:    int(l.MaxRetainedBytes),
	}
}

func defaultLimits() Limits {
	return Limits{
		ConnectTimeout:  10 * time.Second,
		MaxConnectBytes: 64 << 10,
		MaxPacketBytes:  2 << 20,
		MaxConnections:  none,
		MaxHandshakes:   2000,

		ServerKeepAlive:  none,
		MaxSessionExpiry: 7 * 24 * time.Hour,

		ReceiveMaximum:    1024,
		MaxInflight:       1024,
		TopicAliasMaximum: 64,
		MaxTopicAliasOut:  16,

		MaxQueuedMessages: 10000,
		MaxQueuedBytes:    64 << 20,
		Overflow:          "drop-newest",

		MaxQueuedMessagesTotal: none,
		MaxQueuedBytesTotal:    1 << 30,

		MaxParkedMessages: 1000,
		MaxParkedBytes:    1 << 20,

		MaxSubscriptions: 10000,
		MaxTopicBytes:    4096,
		MaxTopicLevels:   128,

		MaxRetainedMessages: none,
		MaxRetainedBytes:    none,
	}
}
