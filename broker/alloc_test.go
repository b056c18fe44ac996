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

// readers is connections that subscribe to a topic and count the bytes that they are sent.
type readers struct {
	conns []net.Conn
	wg    sync.WaitGroup
}

// subscribeAll connects n subscribers of a topic.
func subscribeAll(tb testing.TB, b *broker.Broker, n int, topic string) *readers {
	tb.Helper()
	a := new(readers)
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
func (a *readers) hear(tb testing.TB, total int) {
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
	a := subscribeAll(t, s.Broker, subscribers, "room")
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

// TestAcknowledgedDeliveryDoesNotAllocate counts the same for messages that are acknowledged. They are kept until then only
// for a session that outlives its connection.
func TestAcknowledgedDeliveryDoesNotAllocate(t *testing.T) {
	const under, rounds = 100, 200
	for _, test := range []struct {
		qos   byte
		clean bool
	}{{1, true}, {2, true}, {1, false}, {2, false}} {
		qos := test.qos
		s := start(t, broker.Options{Shards: 1})
		p, sub := s.conn(s.tcp), s.conn(s.tcp)
		raw.New(t, p, raw.V311).Connect(raw.Connect{Version: raw.V311, ID: "p", Clean: true})
		c := raw.New(t, sub, raw.V311)
		c.Connect(raw.Connect{Version: raw.V311, ID: "s", Clean: test.clean})
		c.Subscribe(qos, "t")
		f := newAckedFlow(t, qos, under, p, sub)
		f.round() // buffers grow
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			f.round()
		}
		runtime.ReadMemStats(&after)
		if per := float64(after.Mallocs-before.Mallocs) / (under * rounds); per > 0.02 {
			t.Errorf("%+v: %.4f allocations per delivered message", test, per)
		}
	}
}

// ackedFlow is messages from a publisher to a subscriber, with all their acknowledgements, and allocates nothing itself.
type ackedFlow struct {
	t         *testing.T
	qos       byte
	p, sub    net.Conn
	published []byte // the messages, with the packet identifiers 1, 2, …
	heard     []byte
	acks      []byte
	ids       []byte // as the subscriber is told them
}

func newAckedFlow(t *testing.T, qos byte, under int, p, sub net.Conn) *ackedFlow {
	f := &ackedFlow{t: t, qos: qos, p: p, sub: sub}
	for id := 1; id <= under; id++ {
		f.published = append(f.published, raw.Publish{Topic: "t", Payload: "some twenty bytes", QoS: qos, ID: id}.Bytes(raw.V311)...)
		f.ids = append(f.ids, raw.U16(id)...)
	}
	f.heard, f.acks = make([]byte, len(f.published)), make([]byte, 4*under)
	return f
}

// round publishes everything once.
func (f *ackedFlow) round() {
	f.write(f.p, f.published)
	f.read(f.sub, f.heard)
	each := len(f.heard) / (len(f.ids) / 2)
	heard := f.ids // what the subscriber acknowledges; the publisher's are 1, 2, … in the same order
	for i := 0; i < len(f.heard); i += each {
		copy(heard[2*i/each:], f.heard[i+5:i+7])
	}
	if f.qos == 1 {
		f.send(f.sub, raw.PUBACK, heard)
		f.expect(f.p, raw.PUBACK)
		return
	}
	f.expect(f.p, raw.PUBREC)
	f.send(f.p, raw.PUBREL, nil)
	f.expect(f.p, raw.PUBCOMP)
	f.send(f.sub, raw.PUBREC, heard)
	f.expect(f.sub, raw.PUBREL)
	f.send(f.sub, raw.PUBCOMP, heard)
}

// send acknowledges all messages; without identifiers they are 1, 2, …
func (f *ackedFlow) send(c net.Conn, t raw.Type, ids []byte) {
	for i := range len(f.acks) / 4 {
		id := [2]byte{byte((i + 1) >> 8), byte(i + 1)}
		if ids != nil {
			id = [2]byte(ids[2*i:])
		}
		copy(f.acks[4*i:], []byte{t.Header(), 2, id[0], id[1]})
	}
	f.write(c, f.acks)
}

func (f *ackedFlow) expect(c net.Conn, t raw.Type) {
	f.read(c, f.acks)
	for i := 0; i < len(f.acks); i += 4 {
		if f.acks[i] != t.Header() {
			f.t.Fatalf("%#x in place of %v", f.acks[i], t)
		}
	}
}

func (f *ackedFlow) write(c net.Conn, b []byte) {
	if _, err := c.Write(b); err != nil {
		f.t.Fatal(err)
	}
}

func (f *ackedFlow) read(c net.Conn, b []byte) {
	if _, err := io.ReadFull(c, b); err != nil {
		f.t.Fatal(err)
	}
}

// BenchmarkFanout delivers one message to a thousand subscribers, whose reading in the same process is part of what it
// takes.
func BenchmarkFanout(b *testing.B) {
	br := runBroker(b)
	const subscribers, batch = 1000, 100
	a := subscribeAll(b, br, subscribers, "room")
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
