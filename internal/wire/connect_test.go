package wire_test

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"github.com/outcry-mqtt/outcry/internal/wire"
)

var protocolNames = map[byte]string{wire.V31: "MQIsdp", wire.V311: "MQTT", wire.V5: "MQTT"}

// connect returns the body of a CONNECT with flags, properties (in MQTT 5) and a payload.
func connect(version, flags byte, properties, payload []byte) []byte {
	head := cat(protocolNames[version], version, flags, 0, 60)
	return slices.Concat(withProps(version, head, properties), payload)
}

// minimalConnect returns the Connect of a minimal packet.
func minimalConnect(version byte) wire.Connect {
	return wire.Connect{Version: version, KeepAlive: 60, ReceiveMaximum: 65535, RequestProblemInfo: true}
}

func with(c wire.Connect, change func(c *wire.Connect)) wire.Connect {
	change(&c)
	return c
}

func TestDecodeConnect(t *testing.T) {
	all := props(0x11, 0xFF, 0xFF, 0xFF, 0xFF, 0x21, 0, 10, 0x27, 0, 1, 0, 0, 0x22, 0, 20, 0x19, 1, 0x17, 0,
		0x26, "a", "1", 0x15, "SCRAM", 0x16, "\x00\xFF", 0x26, "a", "2")
	will := props(0x18, 0, 0, 0, 5, 1, 1, 0x26, "k", "v", 2, 0, 0, 0, 9, 8, "answers", 9, "id")
	for _, k := range []struct {
		name    string
		version byte
		body    []byte
		want    wire.Connect
	}{
		{"3.1", wire.V31, connect(wire.V31, 2, nil, cat("id")),
			with(minimalConnect(wire.V31), func(c *wire.Connect) { c.CleanStart, c.ClientID = true, "id" })},
		{"3.1.1", wire.V311, connect(wire.V311, 0, nil, cat("id")),
			with(minimalConnect(wire.V311), func(c *wire.Connect) { c.ClientID = "id" })},
		{"a bridge of 3.1", wire.V31, slices.Concat(cat("MQIsdp", byte(0x83), byte(2), 0, 60), cat("id")),
			with(minimalConnect(wire.V31), func(c *wire.Connect) { c.CleanStart, c.ClientID, c.Bridge = true, "id", true })},
		{"a bridge of 3.1.1", wire.V311, slices.Concat(cat("MQTT", byte(0x84), byte(2), 0, 60), cat("id")),
			with(minimalConnect(wire.V311), func(c *wire.Connect) { c.CleanStart, c.ClientID, c.Bridge = true, "id", true })},
		{"5.0", wire.V5, connect(wire.V5, 2, props(), cat("")),
			with(minimalConnect(wire.V5), func(c *wire.Connect) { c.CleanStart = true })},
		{"user name and password", wire.V311, connect(wire.V311, 0xC0, nil, cat("id", "name", "\x00pass\xFF")),
			with(minimalConnect(wire.V311), func(c *wire.Connect) {
				c.ClientID, c.Username, c.HasUsername = "id", "name", true
				c.Password, c.HasPassword = []byte("\x00pass\xFF"), true
			})},
		{"empty ones", wire.V311, connect(wire.V311, 0xC0, nil, cat("id", "", "")),
			with(minimalConnect(wire.V311), func(c *wire.Connect) {
				c.ClientID, c.HasUsername, c.HasPassword, c.Password = "id", true, true, []byte{}
			})},
		{"a password alone in 5", wire.V5, connect(wire.V5, 0x40, props(), cat("id", "token")),
			with(minimalConnect(wire.V5), func(c *wire.Connect) {
				c.ClientID, c.HasPassword, c.Password = "id", true, []byte("token")
			})},
		{"a will of 3.1.1", wire.V311, connect(wire.V311, 0x2C, nil, cat("id", "w", "gone")),
			with(minimalConnect(wire.V311), func(c *wire.Connect) {
				c.ClientID, c.Will = "id", &wire.Will{Topic: "w", Payload: []byte("gone"), QoS: 1, Retain: true}
			})},
		{"a will of 5 with everything", wire.V5, connect(wire.V5, 0xD6, props(), cat("id", will, "w", "", "u", "p")),
			with(minimalConnect(wire.V5), func(c *wire.Connect) {
				c.CleanStart, c.ClientID, c.Username, c.HasUsername = true, "id", "u", true
				c.Password, c.HasPassword = []byte("p"), true
				c.Will = &wire.Will{Topic: "w", Payload: []byte{}, QoS: 2, Delay: 5, Expiry: 9, HasExpiry: true,
					Props: cat(1, 1, 0x26, "k", "v", 8, "answers", 9, "id")}
			})},
		{"all properties", wire.V5, connect(wire.V5, 2, all, cat("id")),
			with(minimalConnect(wire.V5), func(c *wire.Connect) {
				c.CleanStart, c.ClientID = true, "id"
				c.SessionExpiry, c.HasSessionExpiry, c.ReceiveMaximum = 0xFFFFFFFF, true, 10
				c.MaximumPacketSize, c.TopicAliasMaximum = 65536, 20
				c.RequestResponseInfo, c.RequestProblemInfo = true, false
				c.AuthMethod, c.HasAuthMethod, c.AuthData = "SCRAM", true, []byte("\x00\xFF")
				c.UserProperties = cat(0x26, "a", "1", 0x26, "a", "2")
			})},
		{"3.1 without what its flags say", wire.V31, connect(wire.V31, 0xC0, nil, cat("id")),
			with(minimalConnect(wire.V31), func(c *wire.Connect) { c.ClientID = "id" })},
		{"3.1 without a password", wire.V31, connect(wire.V31, 0xC0, nil, cat("id", "u")),
			with(minimalConnect(wire.V31), func(c *wire.Connect) { c.ClientID, c.Username, c.HasUsername = "id", "u", true })},
		{"3.1 with flags that it does not use", wire.V31, connect(wire.V31, 0x3B, nil, cat("id")),
			with(minimalConnect(wire.V31), func(c *wire.Connect) { c.CleanStart, c.ClientID = true, "id" })},
	} {
		t.Run(k.name, func(t *testing.T) {
			got := wire.Connect{ClientID: "left over", Will: &wire.Will{}, MaximumPacketSize: 7}
			body := slices.Clone(k.body)
			mustCode(t, wire.DecodeConnect(body, &got), 0)
			for i := range body { // the decoded fields are copies
				body[i] = 0xEE
			}
			if !reflect.DeepEqual(got, k.want) {
				t.Errorf("got  %+v, will %+v\nwant %+v, will %+v", got, got.Will, k.want, k.want.Will)
			}
		})
	}
}

// TestDecodeConnectRefused checks each code, and that the version is known for the answer.
func TestDecodeConnectRefused(t *testing.T) {
	id := cat("id")
	for _, k := range []struct {
		name    string
		body    []byte
		code    byte
		version byte // the decoded version
	}{
		{"nothing", nil, 0x81, 0},
		{"a name that ends early", []byte{0, 4, 'M', 'Q'}, 0x81, 0},
		{"a name alone", cat("MQTT"), 0x81, 0},
		{"another name", cat("HTTP", 4, 2, 0, 0, id), 0x84, 0},
		{"no name", cat("", 4, 2, 0, 0, id), 0x84, 0},
		{"name in lower case", cat("mqtt", 4, 2, 0, 0, id), 0x84, 0},
		{"a name that is longer", cat("MQTT\x00", 5, 2, 0, 0, 0, id), 0x84, 0},
		{"version 6", cat("MQTT", 6, 2, 0, 0, 0, id), 0x84, 0},
		{"version 0", cat("MQTT", 0, 2, 0, 0, id), 0x84, 0},
		{"3.1's name with 4", cat("MQIsdp", 4, 2, 0, 0, id), 0x84, 0},
		{"3.1.1's name with 3", cat("MQTT", 3, 2, 0, 0, id), 0x84, 0},
		{"version of a bridge of MQTT 5", cat("MQTT", 0x85, 2, 0, 0, id), 0x84, 0},
		{"no flags", cat("MQTT", 5), 0x81, 5},
		{"no keep alive", cat("MQTT", 4, 2, 0), 0x81, 4},
		{"reserved flag in 3.1.1", connect(wire.V311, 3, nil, id), 0x81, 4},
		{"reserved flag in 5", connect(wire.V5, 3, props(), id), 0x81, 5},
		{"will QoS without a will", connect(wire.V5, 0x0A, props(), id), 0x81, 5},
		{"will retain without a will", connect(wire.V311, 0x22, nil, id), 0x81, 4},
		{"will QoS 3", connect(wire.V5, 0x1E, props(), cat(id, 0, "w", "")), 0x81, 5},
		{"will QoS 3 in 3.1", connect(wire.V31, 0x1E, nil, cat(id, "w", "")), 0x81, 3},
		{"password alone in 3.1", connect(wire.V31, 0x42, nil, cat(id, "p")), 0x81, 3},
		{"password alone in 3.1.1", connect(wire.V311, 0x42, nil, cat(id, "p")), 0x81, 4},
		{"no client identifier", connect(wire.V311, 2, nil, nil), 0x81, 4},
		{"a will's flag without a will", connect(wire.V311, 6, nil, id), 0x81, 4},
		{"a will without its payload", connect(wire.V311, 6, nil, cat(id, "w")), 0x81, 4},
		{"a user name's flag without one", connect(wire.V311, 0x82, nil, id), 0x81, 4},
		{"a password's flag without one", connect(wire.V5, 0xC2, props(), cat(id, "u")), 0x81, 5},
		{"a user name without its flag", connect(wire.V31, 2, nil, cat(id, "u")), 0x81, 3},
		{"a byte more", connect(wire.V5, 2, props(), cat(id, 0)), 0x81, 5},
		{"client identifier not UTF-8", connect(wire.V5, 2, props(), cat("\xFF")), 0x81, 5},
		{"client identifier with U+0000", connect(wire.V311, 2, nil, cat("a\x00")), 0x81, 4},
		{"will topic not UTF-8", connect(wire.V311, 6, nil, cat(id, "\xED\xBF\xBF", "")), 0x81, 4},
		{"user name not UTF-8", connect(wire.V311, 0x82, nil, cat(id, "\xF5")), 0x81, 4},
		{"no identifier for a session in 3.1.1", connect(wire.V311, 0, nil, cat("")), 0x85, 4},
		{"no identifier in 3.1", connect(wire.V31, 2, nil, cat("")), 0x85, 3},
		{"properties beyond the end", connect(wire.V5, 2, cat(50), id), 0x81, 5},
		{"properties' length padded", connect(wire.V5, 2, cat(0x80, 0), id), 0x81, 5},
		{"receive maximum 0", connect(wire.V5, 2, props(0x21, 0, 0), id), 0x82, 5},
		{"maximum packet size 0", connect(wire.V5, 2, props(0x27, 0, 0, 0, 0), id), 0x82, 5},
		{"request problem information 2", connect(wire.V5, 2, props(0x17, 2), id), 0x82, 5},
		{"request response information 2", connect(wire.V5, 2, props(0x19, 2), id), 0x82, 5},
		{"authentication data alone", connect(wire.V5, 2, props(0x16, "x"), id), 0x82, 5},
		{"authentication method not UTF-8", connect(wire.V5, 2, props(0x15, "\x80"), id), 0x81, 5},
		{"a will's payload format 2", connect(wire.V5, 6, props(), cat(id, props(1, 2), "w", "")), 0x82, 5},
		{"a will's response topic with #", connect(wire.V5, 6, props(), cat(id, props(8, "#"), "w", "")), 0x82, 5},
		{"a will's delay among the properties", connect(wire.V5, 2, props(0x18, 0, 0, 0, 1), id), 0x81, 5},
		{"a session's expiry in the will", connect(wire.V5, 6, props(), cat(id, props(0x11, 0, 0, 0, 1), "w", "")), 0x81, 5},
		{"a will's delay twice", connect(wire.V5, 6, props(),
			cat(id, props(0x18, 0, 0, 0, 1, 0x18, 0, 0, 0, 1), "w", "")), 0x82, 5},
	} {
		t.Run(k.name, func(t *testing.T) {
			c := wire.Connect{Version: 77}
			mustCode(t, wire.DecodeConnect(slices.Clone(k.body), &c), k.code)
			if c.Version != k.version {
				t.Errorf("got version %d, want %d", c.Version, k.version)
			}
		})
	}
}

func TestConnectEndsInFull(t *testing.T) {
	for version, name := range versions {
		t.Run(name, func(t *testing.T) {
			will := withProps(version, nil, props(0x18, 0, 0, 0, 5, 1, 1, 0x26, "k", "v"))
			body := connect(version, 0xEE, props(0x11, 0, 0, 0, 1, 0x26, "k", "v"),
				cat("id", will, "w", "gone", "user", "password"))
			var ends []int
			if version == wire.V31 { // the credentials may be missing
				ends = []int{len(body) - len("..user..password"), len(body) - len("..password")}
			}
			mustRefuseTruncated(t, body, func(b []byte) error {
				var c wire.Connect
				return wire.DecodeConnect(b, &c)
			}, ends...)
		})
	}
}

// TestConnectErrorsSayNothingSecret checks that reasons, which are logged and sent, are constant.
func TestConnectErrorsSayNothingSecret(t *testing.T) {
	var c wire.Connect
	err := wire.DecodeConnect(connect(wire.V311, 0x42, nil, cat("id", "hunter2")), &c)
	if err == nil || bytes.Contains([]byte(err.Error()), []byte("hunter2")) {
		t.Errorf("got %v", err)
	}
}
