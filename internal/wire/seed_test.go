package wire_test

import "github.com/outcry-mqtt/outcry/internal/wire"

// client is a packet of a client without its fixed header.
type client struct {
	typ     wire.Type
	flags   byte
	version byte
	body    []byte
}

// seeds are valid packets of every type, for fuzzing and for the comparison with mochi.
func seeds() []client {
	message := props(1, 1, 0x23, 0, 1, 3, "text", 2, 0, 0, 0, 60, 8, "r/é", 9, "\x00", 0x26, "k", "v", 0x26, "k", "")
	will := props(0x18, 0, 0, 0, 5, 1, 1, 2, 0, 0, 0, 9, 3, "t", 8, "r", 9, "c", 0x26, "k", "v")
	session := props(0x11, 0, 0, 0, 9, 0x21, 0, 10, 0x27, 0, 1, 0, 0, 0x22, 0, 20, 0x19, 1, 0x17, 0, 0x15, "m", 0x16, "d",
		0x26, "k", "v")
	reason := props(0x1F, "why", 0x26, "k", "v")
	all := []client{
		{wire.TypeConnect, 0, wire.V31, connect(wire.V31, 0xEE, nil, cat("id", "will", "gone", "user", "pass"))},
		{wire.TypeConnect, 0, wire.V31, connect(wire.V31, 0xC2, nil, cat("id"))},
		{wire.TypeConnect, 0, wire.V311, connect(wire.V311, 2, nil, cat(""))},
		{wire.TypeConnect, 0, wire.V311, connect(wire.V311, 0xEE, nil, cat("id", "will", "gone", "user", "pass"))},
		{wire.TypeConnect, 0, wire.V5, connect(wire.V5, 0, props(), cat(""))},
		{wire.TypeConnect, 0, wire.V5, connect(wire.V5, 0xD6, session, cat("id", will, "will", "gone", "user", "pass"))},
		{wire.TypePublish, 0, wire.V311, cat("a/b", []byte("payload"))},
		{wire.TypePublish, 3, wire.V311, cat("a/b", 0, 1, []byte("payload"))},
		{wire.TypePublish, 0, wire.V5, cat("a/b", 0, []byte("payload"))},
		{wire.TypePublish, 12, wire.V5, cat("a/b", 0, 1, message, []byte("payload"))},
		{wire.TypePublish, 1, wire.V5, cat("", props(0x23, 0, 1))},
		{wire.TypeSubscribe, 2, wire.V31, cat(0, 1, "a/+", 2, "b", 0)},
		{wire.TypeSubscribe, 2, wire.V311, cat(0, 1, "a/+", 2, "b", 0)},
		{wire.TypeSubscribe, 2, wire.V5, cat(0, 1, props(0x0B, 0x80, 1, 0x26, "k", "v"), "$share/g/a", 0x2A, "#", 0x15)},
		{wire.TypeUnsubscribe, 2, wire.V311, cat(0, 1, "a/+", "b")},
		{wire.TypeUnsubscribe, 2, wire.V5, cat(0, 1, props(0x26, "k", "v"), "a/+", "b")},
		{wire.TypeDisconnect, 0, wire.V311, nil},
		{wire.TypeDisconnect, 0, wire.V5, nil},
		{wire.TypeDisconnect, 0, wire.V5, cat(4)},
		{wire.TypeDisconnect, 0, wire.V5, cat(0, props(0x11, 0, 0, 0, 9, 0x1F, "why", 0x26, "k", "v"))},
		{wire.TypeAuth, 0, wire.V5, cat(0x18, props(0x15, "m", 0x16, "d", 0x1F, "why", 0x26, "k", "v"))},
	}
	for _, typ := range acks {
		flags := byte(0)
		if typ == wire.TypePubrel {
			flags = 2
		}
		all = append(all, client{typ, flags, wire.V311, cat(0, 1)}, client{typ, flags, wire.V5, cat(0, 1)},
			client{typ, flags, wire.V5, cat(0, 1, 0)}, client{typ, flags, wire.V5, cat(0, 1, 0, reason)})
	}
	return all
}
