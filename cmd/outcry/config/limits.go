package config

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/guard"
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

	MessageRate  float64 `key:"message_rate" least:"0.01" none:"no limit"`
	MessageBurst int     `key:"message_burst" least:"1" none:"what a second brings"`
	ByteRate     Size    `key:"byte_rate" least:"16" none:"no limit"`
	ByteBurst    Size    `key:"byte_burst" least:"16" none:"what a second brings"`

	AddressMessageRate  float64 `key:"address_message_rate" least:"0.01" none:"no limit"`
	AddressMessageBurst int     `key:"address_message_burst" least:"1" none:"what a second brings"`
	AddressByteRate     Size    `key:"address_byte_rate" least:"16" none:"no limit"`
	AddressByteBurst    Size    `key:"address_byte_burst" least:"16" none:"what a second brings"`

	MaxPerAddress int     `key:"max_connections_per_address" least:"1" none:"no limit"`
	MaxHalfOpen   int     `key:"max_half_open_per_address" least:"1" none:"no limit"`
	MaxPerUser    int     `key:"max_connections_per_user" least:"1" none:"no limit"`
	ConnectRate   float64 `key:"connect_rate" least:"0.01" none:"no limit"`
	ConnectBurst  int     `key:"connect_burst" least:"1"`

	FailedLogins  int           `key:"failed_logins" least:"1" none:"no limit"`
	LoginWait     time.Duration `key:"failed_login_wait" least:"100ms"`
	LoginMaxWait  time.Duration `key:"failed_login_max_wait" least:"100ms"`
	LoginForgiven time.Duration `key:"failed_login_memory" least:"1s"`

	Reconnects    int           `key:"reconnects_per_minute" least:"1" none:"no limit"`
	ReconnectWait time.Duration `key:"reconnect_wait" least:"100ms"`

	PrefixV4 int      `key:"address_prefix_v4" least:"8"`
	PrefixV6 int      `key:"address_prefix_v6" least:"16"`
	Exempt   []string `key:"exempt"` // loopback, or see Prefixes
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

		MessageRate:  l.MessageRate,
		MessageBurst: l.MessageBurst,
		ByteRate:     int(l.ByteRate),
		ByteBurst:    int(l.ByteBurst),

		Guard: l.guard(),
	}
}

// liveLimits are the keys below limits that can be changed while the broker runs; see broker.SetLimits.
var liveLimits = []string{
	"max_connections", "message_rate", "message_burst", "byte_rate", "byte_burst",
	"address_message_rate", "address_message_burst", "address_byte_rate", "address_byte_burst",
	"max_connections_per_address", "max_half_open_per_address", "max_connections_per_user", "connect_rate", "connect_burst",
	"failed_logins", "failed_login_wait", "failed_login_max_wait", "failed_login_memory",
	"reconnects_per_minute", "reconnect_wait", "address_prefix_v4", "address_prefix_v6", "exempt",
}

// IsLiveLimit tells whether a path is that of a limit that can be changed while the broker runs.
func IsLiveLimit(path string) bool {
	key, found := strings.CutPrefix(path, "limits.")
	return found && slices.Contains(liveLimits, key)
}

// TakeLive takes over from other limits what can be changed while the broker runs.
func (l *Limits) TakeLive(next *Limits) {
	to, from := reflect.ValueOf(l).Elem(), reflect.ValueOf(next).Elem()
	for _, key := range liveLimits {
		lookup(to, key).Set(lookup(from, key))
	}
}

func (l *Limits) guard() guard.Options {
	exempt, _ := l.exempt() // Load has checked them
	return guard.Options{
		MaxPerAddress:       l.MaxPerAddress,
		MaxHalfOpen:         l.MaxHalfOpen,
		MaxPerUser:          l.MaxPerUser,
		MessagesPerSecond:   l.AddressMessageRate,
		MessageBurst:        l.AddressMessageBurst,
		BytesPerSecond:      float64(l.AddressByteRate),
		ByteBurst:           int(l.AddressByteBurst),
		ConnectsPerSecond:   l.ConnectRate,
		ConnectBurst:        l.ConnectBurst,
		FailedLogins:        l.FailedLogins,
		LoginWait:           l.LoginWait,
		LoginMaxWait:        l.LoginMaxWait,
		LoginForgiven:       l.LoginForgiven,
		ReconnectsPerMinute: l.Reconnects,
		ReconnectWait:       l.ReconnectWait,
		PrefixV4:            l.PrefixV4,
		PrefixV6:            l.PrefixV6,
		Exempt:              exempt,
	}
}

// exempt are the networks whose clients are not counted by their address.
func (l *Limits) exempt() (all []netip.Prefix, err error) {
	for _, text := range l.Exempt {
		if text == "loopback" {
			all = append(all, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
			continue
		}
		p, err := parsePrefix(text)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// limits checks what the tags of Limits cannot say.
func (v *validator) limits() {
	l := &v.loaded.Limits
	if l.PrefixV4 > 32 {
		v.report("limits.address_prefix_v4", "an IPv4 address has 32 bits", "write 32, or less for networks")
	}
	if l.PrefixV6 > 128 {
		v.report("limits.address_prefix_v6", "an IPv6 address has 128 bits", "write 64, or less for larger networks")
	}
	if l.LoginMaxWait < l.LoginWait {
		v.report("limits.failed_login_max_wait", "is less than failed_login_wait", "write a longer time")
	}
	for i := range l.Exempt {
		one := Limits{Exempt: l.Exempt[i : i+1]}
		if _, err := one.exempt(); err != nil {
			v.report(Item("limits.exempt", i), err.Error(), "write loopback, an address or a network, such as 192.0.2.1 or 10.0.0.0/8")
		}
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

		MessageRate:  none,
		MessageBurst: none,
		ByteRate:     none,
		ByteBurst:    none,

		AddressMessageRate:  none,
		AddressMessageBurst: none,
		AddressByteRate:     none,
		AddressByteBurst:    none,

		MaxPerAddress: none,
		MaxHalfOpen:   1000,
		MaxPerUser:    none,
		ConnectRate:   none,
		ConnectBurst:  100,

		FailedLogins:  10,
		LoginWait:     time.Second,
		LoginMaxWait:  time.Minute,
		LoginForgiven: 15 * time.Minute,

		Reconnects:    30,
		ReconnectWait: 10 * time.Second,

		PrefixV4: 32,
		PrefixV6: 64,
		Exempt:   []string{"loopback"},
	}
}
