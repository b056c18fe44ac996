package broker_test

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
	"github.com/outcry-mqtt/outcry/broker/guard"
)

// A client that sends too fast is slowed down, loses nothing, and others are not slowed down with it.
func TestRates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, limit string
		limits      broker.Limits
	}{
		{"messages", "message_rate", broker.Limits{MessageRate: .1, MessageBurst: 20}},
		{"bytes", "byte_rate", broker.Limits{ByteRate: 3, ByteBurst: 600}},
		{"messages of an address", "address_message_rate", broker.Limits{Guard: guard.Options{MessagesPerSecond: .1, MessageBurst: 20}}},
		{"bytes of an address", "address_byte_rate", broker.Limits{Guard: guard.Options{BytesPerSecond: 3, ByteBurst: 600}}},
	} {
		for _, kind := range []string{"tcp", "websocket", "stream"} {
			t.Run(tt.name+" over "+kind, func(t *testing.T) {
				t.Parallel()
				s := start(t, broker.Options{Limits: tt.limits})
				hear := s.connect(raw.Connect{Version: raw.V5, ID: "hear", Clean: true})
				hear.Subscribe(0, "room")
				p := dialKind(s, kind)
				p.Connect(raw.Connect{Version: raw.V5, ID: "fast", Clean: true, KeepAlive: 5})
				const total = 100 // of 30 bytes
				var all []byte
				for i := range total {
					all = append(all, raw.Publish{Topic: "room", Payload: fmt.Sprintf("%020d", i)}.Bytes(raw.V5)...)
				}
				p.Send(all, raw.Plain(raw.PINGREQ))
				s.eventually("held up", func(st broker.Stats) bool { return st.Limited[tt.limit] > 0 })
				seen := 0
				for seen < total {
					if n := s.Stats().MessagesReceived[0]; n > uint64(seen+40) {
						t.Errorf("%d messages are taken when %d are paid for", n, seen+20)
					}
					for range 20 {
						hear.ExpectPublish("room", fmt.Sprintf("%020d", seen))
						seen++
					}
					if seen < total {
						s.Advance(200 * time.Second) // pays for 20 messages, and is longer than the keep alive
					}
				}
				p.Expect(raw.PINGRESP)
			})
		}
	}
}

func dialKind(s *server, kind string) *raw.Client {
	switch kind {
	case "websocket":
		return s.dialFramed(raw.V5)
	case "stream":
		addr := s.listen(broker.Conn{Listener: "tls"}, func(c net.Conn) net.Conn { return struct{ net.Conn }{c} })
		return raw.New(s.t, s.conn(addr), raw.V5)
	}
	return s.dial(raw.V5)
}

// What has been read when a client goes is handled all the same.
func TestRateOfAClientThatGoes(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{MessageRate: 1, MessageBurst: 5}})
	hear := s.connect(raw.Connect{Version: raw.V5, ID: "hear", Clean: true})
	hear.Subscribe(0, "room")
	p := s.connect(raw.Connect{Version: raw.V5, ID: "fast", Clean: true})
	p.Send(bytes.Repeat(raw.Publish{Topic: "room", Payload: "x"}.Bytes(raw.V5), 20), raw.Disconnect(0))
	p.Close()
	for n := 0; n < 20; n++ {
		if n > 0 && n%4 == 0 {
			s.Advance(time.Minute)
		}
		hear.ExpectPublish("room", "x")
	}
	s.eventually("it is gone in good order", func(st broker.Stats) bool { return st.Closed["client_disconnect"] == 1 })
}

// A packet larger than the burst passes, and is paid for afterwards.
func TestRateTakesAPacketLargerThanItsBurst(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Limits: broker.Limits{ByteRate: 1000, ByteBurst: 100}})
	hear := s.connect(raw.Connect{Version: raw.V5, ID: "hear", Clean: true})
	hear.Subscribe(0, "room")
	p := s.connect(raw.Connect{Version: raw.V5, ID: "fast", Clean: true})
	large := strings.Repeat("x", 200_000)
	p.Send(raw.Publish{Topic: "room", Payload: large}.Bytes(raw.V5), raw.Publish{Topic: "room", Payload: "next"}.Bytes(raw.V5))
	hear.ExpectPublish("room", large)
	s.limited("byte_rate", 1)
	s.Advance(200 * time.Second)
	hear.ExpectPublish("room", "next")
}

// The connections of an address share what it may send, whatever shards they are on, and each gets its part of it. Other
// addresses are not slowed down.
func TestRatesOfAnAddress(t *testing.T) {
	t.Parallel()
	const burst, clients, each = 20, 4, 25
	s := start(t, broker.Options{Shards: 4, Limits: broker.Limits{Guard: guard.Options{
		MessagesPerSecond: .1, MessageBurst: burst, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}}})
	hear := s.connect(raw.Connect{Version: raw.V5, ID: "hear", Clean: true})
	hear.Subscribe(0, "here/+", "there")
	here, there := s.from("192.0.2.1:1"), s.from("192.0.2.2:1")
	for i := range clients {
		p := here(raw.V5)
		p.Connect(raw.Connect{Version: raw.V5, ID: fmt.Sprint("fast", i), Clean: true})
		p.Send(bytes.Repeat(raw.Publish{Topic: fmt.Sprint("here/", i), Payload: "x"}.Bytes(raw.V5), each))
	}
	s.eventually("all are held up", func(st broker.Stats) bool { return st.Limited["address_message_rate"] >= clients })
	if n := s.Stats().MessagesReceived[0]; n > burst+1 {
		t.Errorf("%d messages are taken, want %d", n, burst)
	}
	other := there(raw.V5)
	other.Connect(raw.Connect{Version: raw.V5, ID: "other", Clean: true})
	other.Publish(raw.Publish{Topic: "there", Payload: "y", QoS: 1})
	heard := map[string]int{}
	next := func() {
		t.Helper()
		heard[hear.Expect(raw.PUBLISH).Topic]++
	}
	for range burst + 1 {
		next()
	}
	for heard["there"] = 0; len(heard) < clients+1; next() { // one of them may have had all of the burst
		s.Advance(10 * time.Second)
	}
	before := maps.Clone(heard)
	for range 20 {
		s.Advance(10 * time.Second)
		next()
	}
	for i := range clients {
		name := fmt.Sprint("here/", i)
		if got := heard[name] - before[name]; heard[name] < each && (got < 3 || got > 7) {
			t.Errorf("of 20 messages %d are of client %d", got, i)
		}
	}
	for total := clients * each; heard["here/0"]+heard["here/1"]+heard["here/2"]+heard["here/3"] < total; next() {
		s.Advance(10 * time.Second)
	}
}

// Limits that come later hold for those who are there, and none of them is closed.
func TestSetLimits(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Options{Hooks: []any{keeper{}}})
	here := s.from("192.0.2.1:1")
	connect := func(id string) *raw.Client {
		c := here(raw.V5)
		c.Connect(login(id, "ann", "open"))
		return c
	}
	refused := func(limit string, want uint64) {
		t.Helper()
		here(raw.V5).ExpectClosed()
		s.limited(limit, want)
	}
	one, two := connect("one"), connect("two")
	s.SetLimits(broker.Limits{Guard: guard.Options{MaxPerAddress: 2}})
	refused("address_connections", 1)

	s.SetLimits(broker.Limits{Guard: guard.Options{MaxPerUser: 2}})
	three := here(raw.V5)
	three.SendConnect(login("three", "ann", "open"))
	three.ExpectRefused(0x97)
	bye(two)
	s.eventually("two are gone", func(st broker.Stats) bool { return sumConnections(st) == 1 })
	two = connect("two")

	s.SetLimits(broker.Limits{MaxConnections: 2})
	refused("connections", 1)

	s.SetLimits(broker.Limits{})
	connect("three")
	two.Subscribe(0, "room")
	fast := bytes.Repeat(raw.Publish{Topic: "room", Payload: "x"}.Bytes(raw.V5), 10)
	for i, l := range []broker.Limits{
		{MessageRate: .001, MessageBurst: 1},
		{Guard: guard.Options{MessagesPerSecond: .001, MessageBurst: 1}},
	} {
		s.SetLimits(l)
		one.Send(fast)
		s.limited([]string{"message_rate", "address_message_rate"}[i], 1)
		s.SetLimits(broker.Limits{}) // and without a limit nobody has to wait any more
		for range 10 {
			two.ExpectPublish("room", "x")
		}
	}
}
