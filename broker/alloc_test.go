package broker_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// audience is connections that subscribe to a topic and count the bytes that they are sent.
type audience struct {
	conns []net.Conn
	wg    sync.WaitGroup
}

// seat connects n subscribers of a topic.
func seat(tb testing.TB, b *broker.Broker, n int, topic string) *audience {
	tb.Helper()
	a := new(audience)
	for i := range n {
		conn := attach(tb, b, false)
		c := raw.New(tb, conn, raw.V311)
		c.Connect(raw.Connect{Version: raw.V311, ID: fmt.Sprint("seat", i), Clean: true})
		c.Subscribe(0, topic)
		a.conns = append(a.conns, conn)
	}
	return a
}

// hear reads total bytes of packets on every connection.
func (a *audience) hear(tb testing.TB, total int) {
	for _, c := range a.conns {
		a.wg.Go(func() {
			if _, err := io.CopyN(io.Discard, struct{ io.Reader }{c}, int64(total)); err != nil {
				tb.Error(err)
			}
		})
	}
	a.wg.Wait()
}

// TestDeliveryDoesNotAllocate counts what the process allocates while a message goes to many: nothing for each of them.
func TestDeliveryDoesNotAllocate(t *testing.T) {
	s := start(t, broker.Options{})
	const subscribers, messages = 100, 2000
	a := seat(t, s.Broker, subscribers, "room")
	p := s.conn(s.tcp)
	defer p.Close()
	_, _ = p.Write(raw.Connect{Version: raw.V311, ID: "p", Clean: true}.Bytes())
	packet := raw.Publish{Topic: "room", Payload: "twenty bytes or more"}.Bytes(raw.V311)
	all := bytes.Repeat(packet, messages)
	round := func() {
		done := make(chan struct{})
		go func() { defer close(done); _, _ = p.Write(all) }()
		a.hear(t, len(all))
		<-done
	}
	round() // buffers grow
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	round()
	runtime.ReadMemStats(&after)
	if per := float64(after.Mallocs-before.Mallocs) / (subscribers * messages); per > 0.02 {
		t.Errorf("%.4f allocations per delivered message", per)
	}
}

// BenchmarkFanout delivers one message to a thousand subscribers, whose reading in the same process is part of what it
// takes.
func BenchmarkFanout(b *testing.B) {
	br := runBroker(b)
	const subscribers, batch = 1000, 100
	a := seat(b, br, subscribers, "room")
	p := attach(b, br, false)
	defer p.Close()
	_, _ = p.Write(raw.Connect{Version: raw.V311, ID: "p", Clean: true}.Bytes())
	all := bytes.Repeat(raw.Publish{Topic: "room", Payload: strings.Repeat("x", 64)}.Bytes(raw.V311), batch)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = p.Write(all)
		a.hear(b, len(all))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*subscribers*batch), "ns/delivery")
}
