package broker_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

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
