package broker_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// patient is limits under which a reader that is slow for a moment loses nothing.
var patient = broker.Limits{MaxParkedMessages: -1, MaxParkedBytes: -1}

var deflatedLink = broker.Conn{Listener: "ws", Framed: true, Deflate: true}

// whole is a connection whose descriptor the broker takes, and hidden one that it leaves to a stream, as with TLS.
func whole(c net.Conn) net.Conn  { return c }
func hidden(c net.Conn) net.Conn { return struct{ net.Conn }{c} }

// deflated opens a WebSocket that has agreed to permessage-deflate, on which nothing has been said.
func (s *server) deflated(version byte, wrap func(net.Conn) net.Conn) (*raw.Client, *raw.Frames) {
	s.t.Helper()
	f := raw.NewFrames(s.conn(s.listen(deflatedLink, wrap)))
	f.Deflate = true
	return raw.New(s.t, f, version), f
}

// quote is a message as tickers send it, of about n bytes.
func quote(r *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, `{"symbol":"%c%c","price":%.2f,"volume":%d},`, 'A'+r.IntN(26), 'A'+r.IntN(26), r.Float64()*100, r.IntN(1e6))
	}
	return b.String()[:n]
}

// noise is a message that cannot be compressed.
func noise(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// TestDeflate has subscribers of all kinds, with and without compression, hear the same: messages that are compressed,
// that are not worth it and that cannot be, several in a turn, with acknowledgements and packet identifiers among them.
func TestDeflate(t *testing.T) {
	for _, version := range []byte{raw.V311, raw.V5} {
		for qos := range byte(3) {
			for way, wrap := range map[string]func(net.Conn) net.Conn{"socket": whole, "stream": hidden} {
				t.Run(fmt.Sprintf("version %d qos %d %s", version, qos, way), func(t *testing.T) {
					t.Parallel()
					s := start(t, broker.Options{Limits: patient})
					z, frames := s.deflated(version, wrap)
					z.Connect(raw.Connect{Version: version, ID: "deflated", Clean: true})
					z.Subscribe(qos, "a/#")
					plain := s.connect(raw.Connect{Version: version, ID: "plain", Clean: true})
					plain.Subscribe(qos, "a/#")
					p := s.connect(raw.Connect{Version: version, ID: "p", Clean: true})
					messages := mixture(200)
					var all []byte
					for i, payload := range messages {
						all = append(all, raw.Publish{Topic: fmt.Sprint("a/", i), Payload: payload, QoS: qos, ID: int(min(qos, 1)) * (i + 1)}.Bytes(version)...)
					}
					var wg sync.WaitGroup
					wg.Go(func() { p.Send(all) })
					for _, c := range []*raw.Client{z, plain} {
						wg.Go(func() { hear(t, c, messages, qos) })
					}
					wg.Wait()
					if frames.Compressed == 0 || s.Stats().BytesSaved == 0 {
						t.Errorf("%d frames were compressed, %d bytes saved", frames.Compressed, s.Stats().BytesSaved)
					}
				})
			}
		}
	}
}

// mixture is n messages of all kinds.
func mixture(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	all := make([]string, n)
	for i := range all {
		size := []int{0, 5, 100, 300, 2000, 20_000, 70_000}[r.IntN(7)]
		if all[i] = quote(r, size); r.IntN(4) == 0 {
			all[i] = noise(r, size)
		}
	}
	return all
}

// hear reads the messages, acknowledges them as they come and pings now and then, whose answers come among them.
func hear(t *testing.T, c *raw.Client, messages []string, qos byte) {
	pings := 0
	for i := 0; i < len(messages); {
		got, err := c.Read()
		if err != nil {
			t.Errorf("%s: message %d: %v", c.ID, i, err)
			return
		}
		switch got.Type {
		case raw.PINGRESP:
			pings--
			continue
		case raw.PUBREL:
			_ = c.TrySend(raw.Ack(raw.PUBCOMP, got.ID))
			continue
		}
		if got.Type != raw.PUBLISH || got.Topic != fmt.Sprint("a/", i) || got.Payload != messages[i] || got.QoS != qos {
			t.Errorf("%s: message %d is %v %s with %d bytes, want %d", c.ID, i, got.Type, got.Topic, len(got.Payload), len(messages[i]))
			return
		}
		switch qos {
		case 1:
			_ = c.TrySend(raw.Ack(raw.PUBACK, got.ID))
		case 2:
			_ = c.TrySend(raw.Ack(raw.PUBREC, got.ID))
		}
		if i++; i%7 == 0 && i < len(messages) {
			_ = c.TrySend(raw.Plain(raw.PINGREQ))
			pings++
		}
	}
	for pings > 0 {
		got, err := c.Read()
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			return
		}
		if got.Type == raw.PINGRESP {
			pings--
		}
	}
}

// TestDeflateWithAliasesAndIdentifiers has a message whose packets differ for each subscriber compressed all the same.
func TestDeflateWithAliasesAndIdentifiers(t *testing.T) {
	s := start(t, broker.Options{})
	z, frames := s.deflated(raw.V5, whole)
	z.Connect(raw.Connect{Version: raw.V5, ID: "z", Clean: true, Props: raw.Props{raw.Num(raw.TopicAliasMaximum, 5)}})
	z.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "a"}}, Props: raw.Props{raw.Num(raw.SubscriptionIdentifier, 7)}}.Bytes(raw.V5))
	z.ExpectAck(raw.SUBACK, 1)
	p := s.connect(raw.Connect{Version: raw.V5, ID: "p", Clean: true})
	payload := quote(rand.New(rand.NewPCG(3, 4)), 2000)
	for range 3 {
		before := frames.Compressed
		p.Publish(raw.Publish{Topic: "a", Payload: payload})
		if got := z.ExpectPublish("a", payload); got.Props.Num(raw.SubscriptionIdentifier) != 7 {
			t.Errorf("%v has no subscription identifier", got)
		}
		if frames.Compressed == before {
			t.Error("the message was not compressed")
		}
	}
}

// TestDeflateLeavesSmallMessages has a frame without anything compressed in it go as it is.
func TestDeflateLeavesSmallMessages(t *testing.T) {
	s := start(t, broker.Options{})
	z, frames := s.deflated(raw.V311, whole)
	z.Connect(raw.Connect{Version: raw.V311, ID: "z", Clean: true})
	z.Subscribe(1, "a")
	z.Publish(raw.Publish{Topic: "a", Payload: "small"})
	z.ExpectPublish("a", "small")
	if frames.Compressed != 0 {
		t.Errorf("%d frames were compressed", frames.Compressed)
	}
}

// slowDeflated is slow for a connection that is compressed.
func (s *server) slowDeflated(k raw.Connect) *raw.Client {
	s.t.Helper()
	conn := s.conn(s.listen(deflatedLink, whole))
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		s.t.Fatal(err)
	}
	f := raw.NewFrames(conn)
	f.Deflate = true
	c := raw.New(s.t, f, k.Version)
	c.Connect(k)
	return c
}

// TestDeflateOfASlowReader parks compressed connections: frames that were written in part go on where they stopped, and
// what is dropped while they wait is dropped whole.
func TestDeflateOfASlowReader(t *testing.T) {
	for name, p := range map[string]broker.QueuePolicy{"drop the oldest": broker.DropOldest, "conflate": broker.Conflate} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, broker.Options{Hooks: []any{policy(p)}, Limits: broker.Limits{MaxParkedMessages: 100}})
			slow := s.slowDeflated(raw.Connect{Version: raw.V5, ID: "slow", Clean: true})
			slow.Subscribe(0, "a/#")
			pub := s.connect(raw.Connect{Version: raw.V5, ID: "p", Clean: true})
			r := rand.New(rand.NewPCG(5, 6))
			body := noise(r, 3000) + quote(r, 1500)
			for i := 0; s.Stats().Parked == 0 || i%1000 != 0; i++ {
				pub.Send(raw.Publish{Topic: fmt.Sprint("a/", i%10), Payload: fmt.Sprint(i, " ", body)}.Bytes(raw.V5))
				if i%50 == 49 {
					slow.Send(raw.Plain(raw.PINGREQ)) // answers wait among the messages
				}
			}
			const end = "the end"
			for i := range 10 {
				pub.Send(raw.Publish{Topic: fmt.Sprint("a/", i), Payload: end}.Bytes(raw.V5))
			}
			last, ends := -1, 0
			for ends < 10 {
				got, err := slow.Read()
				switch {
				case err != nil:
					t.Fatal(err)
				case got.Type != raw.PUBLISH:
				case got.Payload == end:
					ends++
				default:
					last = max(last, roundOf(t, got))
				}
			}
			if last < 0 {
				t.Error("nothing came before the end")
			}
			s.eventually("it goes on", func(st broker.Stats) bool { return st.Parked == 0 })
			pub.Publish(raw.Publish{Topic: "a/0", Payload: quote(r, 3000)})
			for {
				if got, err := slow.Read(); err != nil {
					t.Fatal(err)
				} else if got.Type == raw.PUBLISH {
					break
				}
			}
		})
	}
}

// TestDeflateAtTheEnd has what was compressed and not yet sent leave before the close frame.
func TestDeflateAtTheEnd(t *testing.T) {
	s := start(t, broker.Options{})
	z, frames := s.deflated(raw.V5, whole)
	z.Connect(raw.Connect{Version: raw.V5, ID: "z", Clean: true})
	z.Subscribe(0, "a")
	payload := quote(rand.New(rand.NewPCG(7, 8)), 5000)
	z.Send(raw.Publish{Topic: "a", Payload: payload}.Bytes(raw.V5), raw.Publish{Topic: "a", Payload: payload}.Bytes(raw.V5), raw.Disconnect(0))
	got := 0
	for {
		p, err := z.Read()
		if err != nil {
			break
		}
		if p.Payload == payload {
			got++
		}
	}
	if frames.CloseCode != 1000 || got != 2 {
		t.Errorf("close code %d after %d messages", frames.CloseCode, got)
	}
}

// seatDeflated connects n subscribers of a topic, with permessage-deflate or without, which read whatever they are sent.
func (s *server) seatDeflated(n int, topic string, deflate bool) {
	s.t.Helper()
	link := deflatedLink
	link.Deflate = deflate
	addr := s.listen(link, whole)
	for i := range n {
		f := raw.NewFrames(s.conn(addr))
		f.Deflate = deflate
		c := raw.New(s.t, f, raw.V311)
		c.Connect(raw.Connect{Version: raw.V311, ID: fmt.Sprint("seat", i), Clean: true})
		c.Subscribe(0, topic)
		go func() { _, _ = io.Copy(io.Discard, struct{ io.Reader }{f.Conn}) }()
	}
}

// TestCompressedDeliveryDoesNotAllocate counts what the process allocates while compressed messages go to many.
func TestCompressedDeliveryDoesNotAllocate(t *testing.T) {
	s := start(t, broker.Options{Limits: patient})
	const subscribers, messages = 100, 500
	s.seatDeflated(subscribers, "room", true)
	p := s.connect(raw.Connect{Version: raw.V311, ID: "p", Clean: true})
	all := bytes.Repeat(raw.Publish{Topic: "room", Payload: quote(rand.New(rand.NewPCG(1, 2)), 2000)}.Bytes(raw.V311), messages)
	sent := uint64(0)
	round := func() {
		p.Send(all)
		sent += subscribers * messages
		s.eventually("sent to all", func(st broker.Stats) bool { return st.MessagesSent[0] == sent })
	}
	round() // buffers grow
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	round()
	runtime.ReadMemStats(&after)
	if per := float64(after.Mallocs-before.Mallocs) / (subscribers * messages); per > 0.05 {
		t.Errorf("%.4f allocations per delivered message", per)
	}
	if s.Stats().BytesSaved < sent*1000 {
		t.Errorf("%d bytes saved of %d messages", s.Stats().BytesSaved, sent)
	}
}

// BenchmarkDeflate delivers JSON to a thousand WebSockets, with compression and without: what that takes, and how many
// bytes are sent. The subscribers read in the same process.
func BenchmarkDeflate(b *testing.B) {
	for _, size := range []int{200, 300, 500, 2000} {
		for _, deflate := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d bytes, compressed %v", size, deflate), func(b *testing.B) {
				s := start(b, broker.Options{Limits: patient})
				const subscribers, batch = 1000, 20
				s.seatDeflated(subscribers, "room", deflate)
				p := s.connect(raw.Connect{Version: raw.V311, ID: "p", Clean: true})
				var all []byte
				r := rand.New(rand.NewPCG(1, 2))
				for range batch {
					all = append(all, raw.Publish{Topic: "room", Payload: quote(r, size)}.Bytes(raw.V311)...)
				}
				sent, before := uint64(0), s.Stats().BytesSent
				b.ReportAllocs()
				for b.Loop() {
					p.Send(all)
					sent += subscribers * batch
					s.eventually("sent to all", func(st broker.Stats) bool { return st.MessagesSent[0] == sent })
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(sent), "ns/delivery")
				b.ReportMetric(float64(s.Stats().BytesSent-before)/float64(sent), "bytes/delivery")
			})
		}
	}
}
