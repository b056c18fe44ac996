package config

import (
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/guard"
)

// Limits bound the clients' use of resources. A field is the limit of the same name in broker.Limits, which has the default too, or
// the one that its tag of names; "-": neither. The tag live marks a limit that changes with SIGHUP (see broker.SetLimits). So a new
// limit is a field here, a field with its default in broker.Limits, and a line in config.yaml.
type Limits struct {
	ConnectTimeout  time.Duration `key:"connect_timeout" least:"100ms" none:"no limit"`
	MaxConnectBytes Size          `key:"max_connect" least:"256" none:"no limit"`
	MaxPacketBytes  Size          `key:"max_packet" least:"256" none:"no limit"`
	MaxConnections  int           `key:"max_connections" least:"1" none:"no limit" live:"true"`
	MaxHandshakes   int           `key:"max_handshakes" least:"1" of:"-"` // of each listener
	MaxPages        int           `key:"max_pages" least:"1" of:"-"`      // likewise

	ServerKeepAlive  time.Duration `key:"server_keepalive" least:"1s" most:"18h" none:"the client's choice"`
	MaxSessionExpiry time.Duration `key:"max_session_expiry" least:"1s" none:"no limit"`

	ReceiveMaximum    int `key:"receive_maximum" least:"1" none:"no limit"`
	MaxInflight       int `key:"max_inflight" least:"1" none:"no limit"`
	TopicAliasMaximum int `key:"topic_alias_maximum" least:"1" none:"no limit"`
	MaxTopicAliasOut  int `key:"max_topic_alias_out" least:"1" none:"no limit"`

	MaxQueuedMessages int    `key:"max_queued_messages" least:"1" none:"no limit"`
	MaxQueuedBytes    Size   `key:"max_queued" least:"1KiB" none:"no limit"`
	Overflow          string `key:"overflow" oneof:"drop-newest drop-oldest disconnect" of:"-"`

	MaxQueuedMessagesTotal int  `key:"max_queued_messages_total" least:"1" none:"no limit"`
	MaxQueuedBytesTotal    Size `key:"max_queued_total" least:"1KiB" none:"no limit"`

	MaxParkedMessages   int  `key:"max_parked_messages" least:"1" none:"no limit"`
	MaxParkedBytes      Size `key:"max_parked" least:"1KiB" none:"no limit"`
	MaxParkedBytesTotal Size `key:"max_parked_total" least:"1KiB" none:"no limit"`

	MaxSubscriptions       int  `key:"max_subscriptions" least:"1" none:"no limit"`
	MaxSharedSubscriptions int  `key:"max_shared_subscriptions" least:"1" none:"no limit"`
	MaxShareGroups         int  `key:"max_share_groups" least:"1" none:"no limit"`
	MaxTopicBytes          Size `key:"max_topic" least:"16" none:"no limit"`
	MaxTopicLevels         int  `key:"max_topic_levels" least:"1" none:"no limit"`
	MaxTopicCacheBytes     Size `key:"max_topic_cache" least:"1MiB" auto:"a part of the memory" none:"no limit"`

	MaxSessions                 int  `key:"max_sessions" least:"1" auto:"a part of the memory" none:"no limit" live:"true"`
	MaxSessionsPerUser          int  `key:"max_sessions_per_user" least:"1" auto:"a part of the memory" none:"no limit" live:"true"`
	MaxSubscriptionsTotal       int  `key:"max_subscriptions_total" least:"1" auto:"a part of the memory" none:"no limit" live:"true"`
	MaxSubscriptionsPerUser     int  `key:"max_subscriptions_per_user" least:"1" auto:"a part of the memory" none:"no limit" live:"true"`
	MaxSubscriptionBytes        Size `key:"max_subscribed" least:"1KiB" auto:"a part of the memory" none:"no limit" live:"true"`
	MaxSubscriptionBytesTotal   Size `key:"max_subscribed_total" least:"1KiB" auto:"a part of the memory" none:"no limit" live:"true"`
	MaxSubscriptionBytesPerUser Size `key:"max_subscribed_per_user" least:"1KiB" auto:"a part of the memory" none:"no limit" live:"true"`

	ControlCharacters string `key:"control_characters" oneof:"refuse allow" of:"-"`

	MaxRetainedMessages int  `key:"max_retained_messages" least:"1" none:"no limit"`
	MaxRetainedBytes    Size `key:"max_retained" least:"1KiB" none:"no limit"`

	MessageRate  float64 `key:"message_rate" least:"0.01" none:"no limit" live:"true"`
	MessageBurst int     `key:"message_burst" least:"1" none:"one second of message_rate" live:"true"`
	ByteRate     Size    `key:"byte_rate" least:"16" none:"no limit" live:"true"`
	ByteBurst    Size    `key:"byte_burst" least:"16" none:"one second of byte_rate" live:"true"`

	AddressMessageRate  float64 `key:"address_message_rate" least:"0.01" none:"no limit" of:"Guard.MessagesPerSecond" live:"true"`
	AddressMessageBurst int     `key:"address_message_burst" least:"1" none:"one second of address_message_rate" of:"Guard.MessageBurst" live:"true"`
	AddressByteRate     Size    `key:"address_byte_rate" least:"16" none:"no limit" of:"Guard.BytesPerSecond" live:"true"`
	AddressByteBurst    Size    `key:"address_byte_burst" least:"16" none:"one second of address_byte_rate" of:"Guard.ByteBurst" live:"true"`

	MaxPerAddress int     `key:"max_connections_per_address" least:"1" none:"no limit" of:"Guard.MaxPerAddress" live:"true"`
	MaxHalfOpen   int     `key:"max_half_open_per_address" least:"1" none:"no limit" of:"Guard.MaxHalfOpen" live:"true"`
	MaxPerUser    int     `key:"max_connections_per_user" least:"1" none:"no limit" of:"Guard.MaxPerUser" live:"true"`
	ConnectRate   float64 `key:"connect_rate" least:"0.01" none:"no limit" of:"Guard.ConnectsPerSecond" live:"true"`
	ConnectBurst  int     `key:"connect_burst" least:"1" of:"Guard.ConnectBurst" live:"true"`

	FailedLogins  int           `key:"failed_logins" least:"1" none:"no limit" of:"Guard.FailedLogins" live:"true"`
	LoginWait     time.Duration `key:"failed_login_wait" least:"100ms" of:"Guard.LoginWait" live:"true"`
	LoginMaxWait  time.Duration `key:"failed_login_max_wait" least:"100ms" of:"Guard.LoginMaxWait" live:"true"`
	LoginForgiven time.Duration `key:"failed_login_memory" least:"1s" of:"Guard.LoginForgiven" live:"true"`

	Reconnects    int           `key:"reconnects_per_minute" least:"1" none:"no limit" of:"Guard.ReconnectsPerMinute" live:"true"`
	ReconnectWait time.Duration `key:"reconnect_wait" least:"100ms" of:"Guard.ReconnectWait" live:"true"`

	PrefixV4 int      `key:"address_prefix_v4" least:"8" of:"Guard.PrefixV4" live:"true"`
	PrefixV6 int      `key:"address_prefix_v6" least:"16" of:"Guard.PrefixV6" live:"true"`
	Exempt   []string `key:"exempt" of:"-" live:"true"` // loopback, or see Prefixes
}

var overflows = map[string]broker.OverflowPolicy{
	"drop-newest": broker.OverflowDropNewest,
	"drop-oldest": broker.OverflowDropOldest,
	"disconnect":  broker.OverflowDisconnect,
}

// Broker returns the limits for the broker.
func (l *Limits) Broker() broker.Limits {
	b := broker.Limits{Overflow: overflows[l.Overflow], AllowControls: l.ControlCharacters == "allow"}
	l.each(&b, func(_ field, mine, its reflect.Value) { convert(its, mine) })
	b.ServerKeepAlive = max(0, b.ServerKeepAlive)
	b.Guard.Exempt, _ = l.exempt() // Load has checked them
	return b
}

// each calls do with every limit of the broker, as it is in l and in b.
func (l *Limits) each(b *broker.Limits, do func(f field, mine, its reflect.Value)) {
	from, to := reflect.ValueOf(l).Elem(), reflect.ValueOf(b).Elem()
	for _, f := range fieldsOf(from.Type()) {
		if f.of == "-" {
			continue
		}
		its := to
		for name := range strings.SplitSeq(f.of, ".") {
			its = its.FieldByName(name)
		}
		do(f, from.FieldByIndex(f.index), its)
	}
}

// convert sets a number to another one, which may be of another type. What the type cannot hold becomes its largest value.
func convert(to, from reflect.Value) {
	switch {
	case to.Kind() == reflect.Float64 && from.CanInt():
		to.SetFloat(float64(from.Int()))
	case to.Kind() == reflect.Int && from.Type() == reflect.TypeFor[Size]():
		to.SetInt(int64(Size(from.Int()).Int()))
	default:
		to.Set(from.Convert(to.Type()))
	}
}

// IsLiveLimit reports whether the limit at a path can change while the broker runs.
func IsLiveLimit(path string) bool {
	key, found := strings.CutPrefix(path, "limits.")
	f, known := findField(fieldsOf(reflect.TypeFor[Limits]()), key)
	return found && known && f.live
}

// TakeLive copies the live limits from next.
func (l *Limits) TakeLive(next *Limits) {
	to, from := reflect.ValueOf(l).Elem(), reflect.ValueOf(next).Elem()
	for _, f := range fieldsOf(to.Type()) {
		if f.live {
			to.FieldByIndex(f.index).Set(from.FieldByIndex(f.index))
		}
	}
}

// exempt returns the networks that are exempt from limits by address.
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

// limits checks rules that the tags of Limits cannot express.
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

// defaultLimits returns the broker's defaults, and those of the program for limits that the broker leaves off.
func defaultLimits() Limits {
	b := broker.DefaultLimits()
	b.Guard = guard.Options{
		MaxHalfOpen:  1000,
		ConnectBurst: 100,

		FailedLogins:  10,
		LoginWait:     time.Second,
		LoginMaxWait:  time.Minute,
		LoginForgiven: 15 * time.Minute,

		ReconnectsPerMinute: 30,
		ReconnectWait:       10 * time.Second,

		PrefixV4: 32,
		PrefixV6: 64,
	}
	l := Limits{
		MaxHandshakes:     2000,
		MaxPages:          1000,
		Overflow:          "drop-newest",
		ControlCharacters: "refuse",
		Exempt:            []string{"loopback"},
	}
	l.each(&b, func(f field, mine, its reflect.Value) {
		convert(mine, its)
		if mine.IsZero() && f.auto == "" {
			_ = f.set(mine, "none")
		}
	})
	return l
}
