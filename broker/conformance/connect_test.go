package conformance_test

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

func TestFirstPacketIsNotConnect(t *testing.T) {
	s := start(t)
	for _, p := range [][]byte{
		raw.Packet(0, nil),
		raw.Packet(raw.CONNACK.Header(), []byte{0, 0}),
		raw.Publish{Topic: "a"}.Bytes(raw.V311),
		raw.Ack(raw.PUBACK, 1), raw.Ack(raw.PUBREC, 1), raw.Ack(raw.PUBREL, 1), raw.Ack(raw.PUBCOMP, 1),
		raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "a"}}}.Bytes(raw.V311),
		raw.Unsubscribe{ID: 1, Filters: []string{"a"}}.Bytes(raw.V311),
		raw.Plain(raw.PINGREQ), raw.Plain(raw.PINGRESP), raw.Plain(raw.DISCONNECT), raw.Auth(0x18),
		[]byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		t.Run(raw.Type(p[0]>>4).String(), func(t *testing.T) {
			c := s.dial(t, raw.V311)
			c.Send(p)
			c.ExpectClosed()
		})
	}
}

func TestSecondConnect(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.connect(t, clean(version, "c"))
		c.SendConnect(clean(version, "c"))
		c.ExpectEnd(0x82)
	})
}

func TestProtocolName(t *testing.T) {
	s := start(t)
	for name, k := range map[string]struct {
		name  string
		level byte
	}{
		"lower case":         {"mqtt", 4},
		"another name":       {"HTTP", 4},
		"no name":            {"", 4},
		"longer":             {"MQTTT", 5},
		"of 3.1 with 4":      {"MQIsdp", 4},
		"of 3.1 with 5":      {"MQIsdp", 5},
		"of 3.1.1 with 3":    {"MQTT", 3},
		"ill-formed UTF-8":   {"MQT\xFF", 4},
		"with a NUL behind":  {"MQTT\x00", 4},
		"of an old bridge 3": {"MQIsdp", 0x83},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t, raw.V311)
			x := raw.Connect{Version: min(k.level, 5), ID: "c", Clean: true}
			c.Send(x.Named(k.name, k.level, raw.FlagClean, x.Payload()))
			p, err := c.Read() // CONNACK or nothing, both are allowed
			if err == nil && (p.Type != raw.CONNACK || p.Code == 0) {
				t.Fatalf("got %v, want it refused", p)
			}
			if err == nil {
				c.ExpectClosed()
			}
		})
	}
}

// TestProtocolLevel checks that an unknown level gets a CONNACK of 3.1.1, as [MQTT-3.1.2-2] of 3.1.1 demands. Clients
// of a future version can read it too.
func TestProtocolLevel(t *testing.T) {
	s := start(t)
	for _, level := range []byte{0, 1, 2, 6, 7, 127, 0x80, 0x83, 0x85, 0x86, 255} {
		t.Run(strconv.Itoa(int(level)), func(t *testing.T) {
			c := s.dial(t, raw.V311)
			k := raw.Connect{Version: min(level, 5), ID: "c", Clean: true}
			c.Send(k.Named("MQTT", level, raw.FlagClean, k.Payload()))
			c.ExpectRefused(1)
		})
	}
}

// TestConnectFlags sends flags that contradict each other or the payload. MQTT 3.1 ignores will flags without a will,
// and allows user name and password to be missing though their flags are set.
func TestConnectFlags(t *testing.T) {
	will := &raw.Will{Topic: "w", Payload: "gone"}
	user, password := ptr("u"), ptr("p")
	const all, will3, both = "3.1 3.1.1 5.0", raw.FlagWill | raw.FlagWillQoS1 | raw.FlagWillQoS2, raw.FlagUser | raw.FlagPassword
	for _, k := range []struct {
		name     string
		flags    byte        // of CONNECT
		k        raw.Connect // its payload is sent with the flags
		codes    []byte      // codes of MQTT 5's CONNACK
		accepted string      // versions that accept it
	}{
		{"reserved flag", raw.FlagReserved, raw.Connect{}, []byte{0x81}, "3.1"},
		{"will QoS without a will", raw.FlagWillQoS1, raw.Connect{}, []byte{0x81, 0x82}, "3.1"},
		{"will retain without a will", raw.FlagWillRetain, raw.Connect{}, []byte{0x81, 0x82}, "3.1"},
		{"will QoS 3", will3, raw.Connect{Will: will}, []byte{0x81}, ""},
		{"will flag without a will", raw.FlagWill, raw.Connect{}, []byte{0x81}, ""},
		{"a will without its flag", 0, raw.Connect{Will: will}, []byte{0x81}, ""},
		{"user name flag without one", raw.FlagUser, raw.Connect{}, []byte{0x81}, "3.1"},
		{"a user name without its flag", 0, raw.Connect{User: user}, []byte{0x81}, ""},
		{"password flag without one", both, raw.Connect{User: user}, []byte{0x81}, "3.1"},
		{"a password without its flag", raw.FlagUser, raw.Connect{User: user, Password: password}, []byte{0x81}, ""},
		{"a password without a user name", raw.FlagPassword, raw.Connect{Password: password}, nil, "5.0"},
		{"everything", raw.FlagWill | raw.FlagWillQoS2 | raw.FlagWillRetain | both,
			raw.Connect{Will: will, User: user, Password: password}, nil, all},
		{"empty user name and password", both, raw.Connect{User: ptr(""), Password: ptr("")}, nil, all},
	} {
		t.Run(k.name, func(t *testing.T) {
			versions(t, func(t *testing.T, s *server, version byte) {
				c := s.dial(t, version)
				x := k.k
				x.Version, x.ID = version, "c"
				c.Send(x.With(k.flags|raw.FlagClean, x.Payload()))
				if slices.Contains(strings.Fields(k.accepted), names[version]) {
					must(t, "code", c.Expect(raw.CONNACK).Code, 0)
					return
				}
				c.ExpectMalformed(k.codes...)
			})
		})
	}
}

func TestConnectWithoutClientID(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.dial(t, version)
		c.Send(raw.Connect{Version: version}.With(raw.FlagClean, nil))
		c.ExpectMalformed(0x81)
	})
}

func TestClientIdentifiers(t *testing.T) {
	const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	versions(t, func(t *testing.T, s *server, version byte) {
		for i := range len(letters) - 22 {
			s.connect(t, clean(version, letters[i:i+23])).Close()
		}
		for _, id := range []string{"a", letters, strings.Repeat("x", 200), "a/b", "#", "+", " ", "日本", "$SYS", "\uFEFFbom"} {
			s.connect(t, clean(version, id)).Close()
		}
	})
}

func TestEmptyClientID(t *testing.T) {
	for _, k := range []struct {
		name    string
		version byte
		clean   bool
		refused byte // the CONNACK's code
	}{
		{"3.1", raw.V31, true, 2},
		{"3.1.1", raw.V311, true, 0},
		{"3.1.1 that wants a session", raw.V311, false, 2},
		{"5.0", raw.V5, true, 0},
		{"5.0 that wants a session", raw.V5, false, 0},
	} {
		t.Run(k.name, func(t *testing.T) {
			c := start(t).dial(t, k.version)
			c.SendConnect(raw.Connect{Clean: k.clean})
			if k.refused != 0 {
				c.ExpectRefused(k.refused)
				return
			}
			p := c.Expect(raw.CONNACK)
			must(t, "code", p.Code, 0)
			must(t, "session present", p.SessionPresent, false)
			c.Subscribe(0, "a")
			c.Publish(raw.Publish{Topic: "a", Payload: "1"})
			c.ExpectPublish("a", "1")
		})
	}
}

func TestAssignedClientID(t *testing.T) {
	s := start(t)
	k := raw.Connect{Version: raw.V5, Props: raw.Props{raw.Num(raw.SessionExpiry, 600)}}
	c, first := s.open(t, k)
	_, second := s.open(t, k)
	id := first.Props.Txt(raw.AssignedClientID)
	if id == "" || id == second.Props.Txt(raw.AssignedClientID) {
		t.Fatalf("two clients are named %v and %v", first, second)
	}
	c.Close()
	_, again := s.open(t, persistent(raw.V5, id))
	must(t, "session present of the client that uses the name it was given", again.SessionPresent, true)
	must(t, "a name is assigned to a client that has one", again.Props.Has(raw.AssignedClientID), false)
}

// TestConnackProperties checks that CONNACK announces every feature and no limit that is not needed.
func TestConnackProperties(t *testing.T) {
	_, p := start(t).open(t, clean(raw.V5, "c"))
	for name, id := range map[string]raw.ID{
		"maximum QoS": raw.MaximumQoS, "assigned client id": raw.AssignedClientID, "response information": raw.ResponseInformation,
		"server keep alive": raw.ServerKeepAlive, "authentication method": raw.AuthMethod, "authentication data": raw.AuthData,
		"session expiry": raw.SessionExpiry,
	} {
		if p.Props.Has(id) {
			t.Errorf("%s is in %v", name, p)
		}
	}
	for name, id := range map[string]raw.ID{
		"retain": raw.RetainAvailable, "wildcard subscriptions": raw.WildcardAvailable,
		"subscription identifiers": raw.IdentifiersAvailable, "shared subscriptions": raw.SharedAvailable,
	} {
		if p.Props.Num(id) == 0 {
			t.Errorf("%s is not available: %v", name, p)
		}
	}
	if p.Props.Num(raw.ReceiveMaximum) == 0 || p.Props.Num(raw.MaximumPacketSize) == 0 {
		t.Errorf("a limit is 0: %v", p)
	}
}

func TestResponseInformation(t *testing.T) {
	s := start(t)
	for _, want := range []int{-1, 0} {
		k := clean(raw.V5, "c")
		if want == 0 {
			k.Props = raw.Props{raw.Num(raw.RequestResponseInfo, 0)}
		}
		_, p := s.open(t, k)
		must(t, "response information where none was asked for", p.Props.Has(raw.ResponseInformation), false)
	}
	k := clean(raw.V5, "c")
	k.Props = raw.Props{raw.Num(raw.RequestResponseInfo, 1)}
	s.connect(t, k) // CONNACK may have the property or not
}

func TestConnectPropertyValues(t *testing.T) {
	s := start(t)
	for _, k := range []struct {
		name  string
		props raw.Props
		codes []byte
	}{
		{"receive maximum 0", raw.Props{raw.Num(raw.ReceiveMaximum, 0)}, []byte{0x82}},
		{"maximum packet size 0", raw.Props{raw.Num(raw.MaximumPacketSize, 0)}, []byte{0x82}},
		{"request problem information 2", raw.Props{raw.Num(raw.RequestProblemInfo, 2)}, []byte{0x82}},
		{"request response information 2", raw.Props{raw.Num(raw.RequestResponseInfo, 2)}, []byte{0x82}},
		{"authentication data without a method", raw.Props{raw.Txt(raw.AuthData, "x")}, []byte{0x82}},
		{"an unknown authentication method", raw.Props{raw.Txt(raw.AuthMethod, "x")}, []byte{0x8C}},
		{"an unknown method with data", raw.Props{raw.Txt(raw.AuthMethod, "x"), raw.Txt(raw.AuthData, "y")}, []byte{0x8C}},
	} {
		t.Run(k.name, func(t *testing.T) {
			c := s.dial(t, raw.V5)
			x := clean(raw.V5, "c")
			x.Props = k.props
			c.SendConnect(x)
			p := c.ExpectRefused(k.codes...)
			must(t, "authentication method", p.Props.Has(raw.AuthMethod), false)
		})
	}
}

// TestNothingProcessedAfterRefusal sends a message right behind a refused CONNECT.
func TestNothingProcessedAfterRefusal(t *testing.T) {
	s := start(t)
	sub := s.connect(t, clean(raw.V5, "sub"))
	sub.Subscribe(0, "#")
	pub := s.connect(t, clean(raw.V5, "pub"))
	for _, k := range []raw.Connect{
		{Version: raw.V5, ID: "c", Clean: true, Props: raw.Props{raw.Txt(raw.AuthMethod, "x")}},
		{Version: raw.V311},
	} {
		c := s.dial(t, k.Version)
		c.Send(k.Bytes(), raw.Publish{Topic: "a"}.Bytes(k.Version), raw.Plain(raw.PINGREQ))
		c.ExpectRefused(0x8C, 2)
	}
	pub.Publish(raw.Publish{Topic: "b"})
	sub.ExpectPublish("b", "")
}

// TestPacketsBehindConnect sends packets before the CONNACK arrives. The CONNACK still comes first.
func TestPacketsBehindConnect(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		s.connect(t, clean(version, "retained")).Publish(raw.Publish{Topic: "a/1", Payload: "kept", QoS: 1, Retain: true})
		c := s.dial(t, version)
		c.Send(clean(version, "c").Bytes(),
			raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "a/#"}}}.Bytes(version),
			raw.Publish{Topic: "a/2", Payload: "x", QoS: 1, ID: 2}.Bytes(version),
			raw.Plain(raw.PINGREQ))
		must(t, "code", c.Expect(raw.CONNACK).Code, 0)
		seen := map[raw.Type]int{}
		for range 5 {
			p, err := c.Read()
			if err != nil {
				t.Fatalf("after %v: %v", seen, err)
			}
			seen[p.Type]++
		}
		if seen[raw.SUBACK] != 1 || seen[raw.PUBLISH] != 2 || seen[raw.PUBACK] != 1 || seen[raw.PINGRESP] != 1 {
			t.Fatalf("got %v", seen)
		}
	})
}

// TestPacketsInPieces sends one byte at a time: packet boundaries are independent of reads.
func TestPacketsInPieces(t *testing.T) {
	versions(t, func(t *testing.T, s *server, version byte) {
		c := s.dial(t, version)
		k := clean(version, "c")
		all := bytes.Join([][]byte{k.Bytes(), raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "a"}}}.Bytes(version),
			raw.Publish{Topic: "a", Payload: strings.Repeat("x", 200)}.Bytes(version)}, nil)
		for i := range all {
			c.Send(all[i : i+1])
		}
		c.Expect(raw.CONNACK)
		c.ExpectAck(raw.SUBACK, 1)
		c.ExpectPublish("a", strings.Repeat("x", 200))
	})
}
