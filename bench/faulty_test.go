package bench_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
)

// faulty is a broker of MQTT 3.1.1 at QoS 0 and 1 that mishandles every tenth message on purpose, and counts the
// faults.
type faulty struct {
	fault func(f *faulty, n int, m []byte) // delivers the n-th message, a PUBLISH

	mu     sync.Mutex
	conns  []net.Conn
	subs   map[string][]net.Conn
	n      int
	faults uint64
	held   []byte
}

func (f *faulty) start(t *testing.T) string {
	t.Helper()
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	f.subs = map[string][]net.Conn{}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			running.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		f.mu.Lock()
		for _, c := range f.conns {
			c.Close()
		}
		f.mu.Unlock()
		running.Wait()
	})
	return "mqtt://" + l.Addr().String()
}

func (f *faulty) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		first, body, err := readPacket(in)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.answer(c, first, body)
		f.mu.Unlock()
	}
}

func (f *faulty) answer(c net.Conn, first byte, body []byte) {
	switch first >> 4 {
	case 1:
		c.Write([]byte{0x20, 2, 0, 0})
	case 8:
		filter := string(body[4 : 4+binary.BigEndian.Uint16(body[2:])])
		f.subs[filter] = append(f.subs[filter], c)
		c.Write([]byte{0x90, 3, body[0], body[1], body[len(body)-1]})
	case 3:
		if first>>1&3 > 0 {
			id := 2 + int(binary.BigEndian.Uint16(body))
			c.Write([]byte{0x40, 2, body[id], body[id+1]})
		}
		f.n++
		f.fault(f, f.n, packet(first, body))
	}
}

// deliver sends a message to the subscribers of its topic.
func (f *faulty) deliver(m []byte) {
	for _, c := range f.subs[topicOf(m)] {
		c.Write(m)
	}
}

// topicOf returns the topic of a PUBLISH whose remaining length takes one byte.
func topicOf(m []byte) string { return string(m[4 : 4+binary.BigEndian.Uint16(m[2:])]) }

func packet(first byte, body []byte) []byte { return append([]byte{first, byte(len(body))}, body...) }

func readPacket(in *bufio.Reader) (first byte, body []byte, err error) {
	if first, err = in.ReadByte(); err != nil {
		return 0, nil, err
	}
	length, err := binary.ReadUvarint(in)
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, length)
	_, err = io.ReadFull(in, body)
	return first, body, err
}

func tenth(n int) bool { return n%10 == 0 }

func drop(f *faulty, n int, m []byte) {
	if tenth(n) {
		f.faults++
		return
	}
	f.deliver(m)
}

func twice(f *faulty, n int, m []byte) {
	f.deliver(m)
	if tenth(n) {
		f.faults++
		f.deliver(m)
	}
}

// swap delivers every tenth message after the next one.
func swap(f *faulty, n int, m []byte) {
	if tenth(n) {
		f.held = m
		return
	}
	f.deliver(m)
	if f.held != nil {
		f.faults++
		f.deliver(f.held)
		f.held = nil
	}
}

func change(f *faulty, n int, m []byte) {
	if tenth(n) {
		f.faults++
		m = slices.Clone(m)
		m[len(m)-1] ^= 1
	}
	f.deliver(m)
}

// misroute delivers every tenth message to the subscribers of another topic, too.
func misroute(f *faulty, n int, m []byte) {
	f.deliver(m)
	if !tenth(n) {
		return
	}
	for filter, subs := range f.subs {
		if filter != topicOf(m) {
			f.faults += uint64(len(subs))
			for _, c := range subs {
				c.Write(m)
			}
		}
	}
}

// The checker counts and reports a broker's faults exactly.
func TestFaultsAreFound(t *testing.T) {
	for _, tt := range []struct {
		name    string
		fault   func(*faulty, int, []byte)
		clients int
		count   func(*bench.Messages) *uint64
		failure string
	}{
		{"lost", drop, 1, func(m *bench.Messages) *uint64 { return &m.Lost }, "messages were lost"},
		{"duplicated", twice, 1, func(m *bench.Messages) *uint64 { return &m.Duplicated }, "messages were duplicated"},
		{"reordered", swap, 1, func(m *bench.Messages) *uint64 { return &m.Reordered }, "messages arrived out of order"},
		{"corrupted", change, 1, func(m *bench.Messages) *uint64 { return &m.Corrupted }, "messages arrived with a changed payload"},
		{"misrouted", misroute, 2, func(m *bench.Messages) *uint64 { return &m.Misrouted }, "messages arrived at the wrong subscriber"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &faulty{fault: tt.fault}
			o := bench.Options{
				Scenario: bench.Pairs, Clients: tt.clients, URL: brokerURL(t, f.start(t)), Version: 4, Payload: 32, SubscribeQoS: -1,
				Check: true, Rate: 1000, Duration: 505 * time.Millisecond, Drain: 2 * time.Second,
			}
			r := run(t, o)
			f.mu.Lock()
			defer f.mu.Unlock()
			m := *r.Messages
			if got := tt.count(&m); *got != f.faults || f.faults == 0 {
				t.Errorf("%d counted, %d done", *got, f.faults)
			} else {
				*got = 0
			}
			if sum := m.Lost + m.Duplicated + m.Reordered + m.Misrouted + m.Corrupted + m.Foreign; sum != 0 {
				t.Errorf("counted what was not done: %+v", m)
			}
			if failures := r.Failures(true); len(failures) != 1 || !strings.HasSuffix(failures[0], tt.failure) {
				t.Errorf("failures %q", failures)
			}
		})
	}
}

// Losses at QoS 0 and duplicates at QoS 1 are no failures.
func TestWhatQoSAllows(t *testing.T) {
	for _, tt := range []struct {
		name    string
		fault   func(*faulty, int, []byte)
		qos     byte
		allowed bool
	}{
		{"lost at QoS 0", drop, 0, true},
		{"lost at QoS 1", drop, 1, false},
		{"twice at QoS 0", twice, 0, false},
		{"twice at QoS 1", twice, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &faulty{fault: tt.fault}
			r := run(t, bench.Options{
				Scenario: bench.Pairs, Clients: 1, URL: brokerURL(t, f.start(t)), Version: 4, QoS: tt.qos, SubscribeQoS: -1, Payload: 32,
				Rate: 1000, Duration: measureTime, Drain: 2 * time.Second,
			})
			if failures := r.Failures(false); (failures == nil) != tt.allowed {
				t.Errorf("failures %q", failures)
			}
		})
	}
}

// A lost message does not stop a closed loop: the bench gives it up after a while.
func TestClosedLoopSurvivesLoss(t *testing.T) {
	f := &faulty{fault: drop}
	r := run(t, bench.Options{
		Scenario: bench.Pairs, Clients: 1, URL: brokerURL(t, f.start(t)), Version: 4, Payload: 32, SubscribeQoS: -1,
		Window: 4, Stall: measureTime, Duration: 4 * measureTime, Drain: 2 * time.Second,
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := r.Messages; m.Lost != f.faults || m.GivenUp == 0 || m.Sent <= 4 {
		t.Errorf("messages %+v, %d dropped", *m, f.faults)
	}
}

// Connections closed by the broker are reported.
func TestConnectionsThatAreLost(t *testing.T) {
	f := &faulty{fault: func(f *faulty, n int, m []byte) {
		if n == 50 {
			f.subs[topicOf(m)][0].Close()
		}
		f.deliver(m)
	}}
	r := run(t, bench.Options{
		Scenario: bench.Fanout, Subscribers: 3, URL: brokerURL(t, f.start(t)), Version: 4, Payload: 32, SubscribeQoS: -1,
		Rate: 1000, Duration: measureTime, Drain: time.Second,
	})
	if r.Connections.Lost != 1 || r.Messages.Lost == 0 || len(r.Failures(false)) != 1 || len(r.Notes) != 1 {
		t.Errorf("connections %+v, messages %+v, notes %q", r.Connections, *r.Messages, r.Notes)
	}
}
