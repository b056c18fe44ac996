package broker_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// carriage is a way in which a connection comes to the broker.
type carriage struct {
	name    string
	link    broker.Conn
	wrap    func(net.Conn) net.Conn
	deflate bool
}

var carriages = []carriage{
	{"TCP", broker.Conn{Listener: "tcp"}, whole, false},
	{"WebSocket", broker.Conn{Listener: "ws", Framed: true}, whole, false},
	{"compressed", deflatedLink, whole, true},
	{"stream", broker.Conn{Listener: "tls"}, hidden, false},
	{"compressed stream", deflatedLink, hidden, true},
}

// subscribe connects a client and subscribes to the large messages.
func (k carriage) subscribe(t testing.TB, conn net.Conn, version, qos byte, id string) *raw.Client {
	t.Helper()
	if k.link.Framed {
		f := raw.NewFrames(conn)
		f.Deflate = k.deflate
		conn = f
	}
	c := raw.New(t, conn, version)
	c.Connect(raw.Connect{Version: version, ID: id, Clean: true})
	c.Subscribe(qos, "large/#")
	return c
}

// stalled connects clients that subscribe and then do not read. widen has one of them read faster than it would.
func (s *server) stalled(k carriage, n int, version, qos byte) (all []*raw.Client, widen func(int)) {
	s.t.Helper()
	var sockets []*net.TCPConn
	addr := s.listen(k.link, k.wrap)
	for i := range n {
		conn := s.narrow(addr)
		sockets = append(sockets, conn.(*net.TCPConn))
		all = append(all, k.subscribe(s.t, conn, version, qos, fmt.Sprint("stalled", i)))
	}
	return all, func(i int) { _ = sockets[i].SetReadBuffer(1 << 20) }
}

// TestStalledClientsShareLargeMessages has clients subscribe and not read. However many they are, a message is in memory once
// for each shard, and what they read in the end is whole.
func TestStalledClientsShareLargeMessages(t *testing.T) {
	const clients, messages, size, most = 24, 4, 3 << 20, 40 << 20
	r := rand.New(rand.NewPCG(1, 2))
	for _, k := range carriages {
		for qos := range byte(3) {
			t.Run(fmt.Sprintf("%s QoS %d", k.name, qos), func(t *testing.T) {
				s := start(t, broker.Options{Limits: broker.Limits{MaxPacketBytes: 2 * size, MaxParkedBytes: 2 * messages * size}})
				all, widen := s.stalled(k, clients, raw.V5, qos)
				p := s.connect(raw.Connect{Version: raw.V5, ID: "publisher", Clean: true})
				payloads := []string{noise(r, size), quote(r, size), noise(r, size), quote(r, size)}
				before := measureMemory(t)
				for i, payload := range payloads {
					p.Publish(raw.Publish{Topic: fmt.Sprint("large/", i), Payload: payload, QoS: max(qos, 1)})
				}
				s.eventually("parked", func(st broker.Stats) bool { return st.Parked == clients })
				if grown := measureMemory(t).heap - before.heap; grown > most {
					t.Errorf("%d clients hold %d MiB, want %d at most", clients, grown>>20, most>>20)
				}
				widen(0)
				hearLarge(t, all[0], payloads, qos)
			})
		}
	}
}

// TestLargeMessagesToManyAreWhole publishes to more clients than a shard has time for in a turn, so that most of them are written
// to in later turns.
func TestLargeMessagesToManyAreWhole(t *testing.T) {
	const clients, messages, size = 300, 3, 1 << 20
	for _, k := range carriages[:3] { // a stream writes in a goroutine of its own
		t.Run(k.name, func(t *testing.T) {
			s := start(t, broker.Options{Limits: broker.Limits{MaxPacketBytes: 2 * size, MaxParkedBytes: 2 * messages * size}})
			addr := s.listen(k.link, k.wrap)
			var all []*raw.Client
			for i := range clients {
				all = append(all, k.subscribe(t, s.conn(addr), raw.V5, byte(i%2), fmt.Sprint("reader", i)))
			}
			p := s.connect(raw.Connect{Version: raw.V5, ID: "publisher", Clean: true})
			r := rand.New(rand.NewPCG(1, 3))
			payloads := []string{noise(r, size), quote(r, size), noise(r, size)}
			for i, payload := range payloads {
				p.Publish(raw.Publish{Topic: fmt.Sprint("large/", i), Payload: payload, QoS: 1})
			}
			for i, c := range all {
				hearLarge(t, c, payloads, byte(i%2))
			}
		})
	}
}

// hearLarge reads large messages, in order, and acknowledges them.
func hearLarge(t *testing.T, c *raw.Client, payloads []string, qos byte) {
	t.Helper()
	for i, released := 0, 0; i < len(payloads) || qos == 2 && released < len(payloads); {
		got, err := c.Read()
		switch {
		case err != nil:
			t.Fatalf("after %d messages: %v", i, err)
		case got.Type == raw.PUBREL:
			released++
			c.Send(raw.Ack(raw.PUBCOMP, got.ID))
			continue
		case got.Type != raw.PUBLISH || got.Topic != fmt.Sprint("large/", i) || got.Payload != payloads[i] || got.QoS != qos:
			t.Fatalf("message %d: %v of %s with %d bytes and QoS %d, not as published", i, got.Type, got.Topic, len(got.Payload), got.QoS)
		}
		i++
		if qos > 0 {
			c.Send(raw.Ack(map[byte]raw.Type{1: raw.PUBACK, 2: raw.PUBREC}[qos], got.ID))
		}
	}
}

// TestStalledClientsShareLargeProperties has the bytes in user properties, of which 3.1.1 gets none.
func TestStalledClientsShareLargeProperties(t *testing.T) {
	const clients, size, most = 24, 3 << 20, 24 << 20
	m := raw.Publish{Topic: "large/0", Payload: "payload", QoS: 1, Props: raw.Props{raw.Txt(raw.ContentType, "text")}}
	for n := 0; n < size; n += 60000 {
		m.Props = append(m.Props, raw.User("key", strings.Repeat("v", 60000)))
	}
	for _, k := range carriages {
		t.Run(k.name, func(t *testing.T) {
			s := start(t, broker.Options{Limits: broker.Limits{MaxPacketBytes: 2 * size}})
			old := s.connect(raw.Connect{Version: raw.V311, ID: "old", Clean: true})
			old.Subscribe(1, "large/#")
			all, widen := s.stalled(k, clients, raw.V5, 0)
			p := s.connect(raw.Connect{Version: raw.V5, ID: "publisher", Clean: true})
			before := measureMemory(t)
			for range 3 {
				p.Publish(m)
			}
			s.eventually("parked", func(st broker.Stats) bool { return st.Parked == clients })
			if grown := measureMemory(t).heap - before.heap; grown > most {
				t.Errorf("%d clients hold %d MiB, want %d at most", clients, grown>>20, most>>20)
			}
			widen(0)
			got := all[0].ExpectPublish("large/0", "payload")
			if users := got.Props.All(raw.UserProperty); len(users) != len(m.Props)-1 || got.Props.Txt(raw.ContentType) != "text" {
				t.Errorf("%d user properties came, content type %q", len(users), got.Props.Txt(raw.ContentType))
			}
			old.ExpectPublish("large/0", "payload")
		})
	}
}

// TestStalledClientsShareLargeRetainedMessages has them subscribe to what is retained.
func TestStalledClientsShareLargeRetainedMessages(t *testing.T) {
	const clients, size, most = 24, 3 << 20, 24 << 20
	r := rand.New(rand.NewPCG(1, 2))
	for _, k := range carriages {
		for qos := range byte(2) {
			t.Run(fmt.Sprintf("%s QoS %d", k.name, qos), func(t *testing.T) {
				s := start(t, broker.Options{Limits: broker.Limits{MaxPacketBytes: 2 * size}})
				p := s.connect(raw.Connect{Version: raw.V311, ID: "publisher", Clean: true})
				payloads := []string{noise(r, size), noise(r, size), noise(r, size)}
				for i, payload := range payloads {
					p.Publish(raw.Publish{Topic: fmt.Sprint("large/", i), Payload: payload, QoS: 1, Retain: true})
				}
				before := measureMemory(t)
				all, widen := s.stalled(k, clients, raw.V311, qos)
				s.eventually("parked", func(st broker.Stats) bool { return st.Parked == clients })
				if grown := measureMemory(t).heap - before.heap; grown > most {
					t.Errorf("%d clients hold %d MiB, want %d at most", clients, grown>>20, most>>20)
				}
				widen(0)
				seen := map[string]bool{}
				for range payloads {
					got := all[0].Expect(raw.PUBLISH)
					seen[got.Payload] = true
					if qos == 1 {
						all[0].Send(raw.Ack(raw.PUBACK, got.ID))
					}
				}
				if len(seen) != len(payloads) || !seen[payloads[0]] || !seen[payloads[1]] || !seen[payloads[2]] {
					t.Error("what came is not what is retained")
				}
			})
		}
	}
}

// TestNothingIsEncodedForAConnectionThatHasFailed resets connections for which messages wait.
func TestNothingIsEncodedForAConnectionThatHasFailed(t *testing.T) {
	for _, k := range carriages[:3] {
		for qos := range byte(2) {
			t.Run(fmt.Sprintf("%s QoS %d", k.name, qos), func(t *testing.T) {
				s := start(t, broker.Options{})
				addr := s.listen(k.link, k.wrap)
				tcp := s.narrow(addr).(*net.TCPConn)
				conn := net.Conn(tcp)
				if k.link.Framed {
					f := raw.NewFrames(conn)
					f.Deflate = k.deflate
					conn = f
				}
				c := raw.New(t, conn, raw.V311)
				c.Connect(raw.Connect{Version: raw.V311, ID: "stalled", Clean: true})
				c.Subscribe(qos, "#")
				p := s.connect(raw.Connect{Version: raw.V311, ID: "publisher", Clean: true})
				payload := noise(rand.New(rand.NewPCG(1, 2)), 50_000)
				for s.Stats().Parked == 0 {
					p.Publish(raw.Publish{Topic: "a", Payload: payload, QoS: 1})
				}
				for range 10 {
					p.Publish(raw.Publish{Topic: "a", Payload: payload, QoS: 1})
				}
				before := s.Stats()
				_ = tcp.SetLinger(0)
				_ = tcp.Close()
				s.eventually("closed", func(st broker.Stats) bool { return st.Sessions == 1 })
				if st := s.Stats(); st.MessagesSent != before.MessagesSent {
					t.Errorf("sent %v messages, and %v after the connection was reset", before.MessagesSent, st.MessagesSent)
				}
			})
		}
	}
}
