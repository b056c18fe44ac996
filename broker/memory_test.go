//go:build unix

package broker_test

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/conformance/raw"
)

// The bars: what an idle connection may take of the broker's memory.
const (
	maxConnBytes   = 2 << 10
	maxFramedBytes = 2560
)

// memoryClients is clients of a broker through memory.
type memoryClients struct {
	*broker.Memory
	tb      testing.TB
	framed  bool
	clients int
	writes  int           // that were waited for
	took    time.Duration // for what was waited for
}

// chunk is how many clients do something at once: as many as a poller reports.
const chunk = 256

func newMemoryClients(tb testing.TB, b *broker.Broker, clients int, framed bool) *memoryClients {
	return &memoryClients{Memory: broker.NewMemory(b, clients), tb: tb, framed: framed}
}

// await waits until the broker has written so many times more, and adds the time that it took since began.
func (c *memoryClients) await(more int, began time.Time) {
	c.tb.Helper()
	c.writes += more
	for n, _ := c.Written(); n < c.writes; n, _ = c.Written() {
		if time.Since(began) > raw.Patience {
			c.tb.Fatalf("%d of %d answers after %v", n, c.writes, raw.Patience)
		}
	}
	c.took += time.Since(began)
}

func (c *memoryClients) packet(p []byte) []byte {
	if c.framed {
		return raw.Frame(2, true, p)
	}
	return p
}

// connect lets n clients in.
func (c *memoryClients) connect(n int) {
	c.tb.Helper()
	for ; n > 0; n -= chunk {
		some := make([]broker.Arrival, min(n, chunk))
		for i := range some {
			number := c.clients + i
			k := raw.Connect{Version: raw.V311, ID: fmt.Sprintf("client-%07d", number), Clean: true, KeepAlive: 65535}
			some[i] = broker.Arrival{
				ID: k.ID, Remote: fmt.Sprintf("10.0.%d.%d:%d", number>>8&255, number&255, 1024+number%60000),
				Framed: c.framed, Connect: c.packet(k.Bytes()),
			}
		}
		began := time.Now()
		c.Connect(some)
		c.await(len(some), began)
		c.clients += len(some)
	}
}

// subscribe has every client subscribe to the filters from one number to before another, so many in a packet.
func (c *memoryClients) subscribe(from, to int, filter func(client, i int) string) {
	c.tb.Helper()
	const perPacket = 1000
	for ; from < to; from += perPacket {
		for first := 0; first < c.clients; first += chunk {
			c.subscribeSome(first, min(first+chunk, c.clients), from, min(from+perPacket, to), filter)
		}
	}
}

func (c *memoryClients) subscribeSome(first, last, from, to int, filter func(client, i int) string) {
	c.tb.Helper()
	packets := make([][]byte, 0, last-first)
	for client := first; client < last; client++ {
		p := raw.Subscribe{ID: 1}
		for i := from; i < to; i++ {
			p.Filters = append(p.Filters, raw.Filter{Name: filter(client, i)})
		}
		packets = append(packets, c.packet(p.Bytes(raw.V311)))
	}
	began := time.Now()
	c.Send(first, last, func(client int) []byte { return packets[client-first] })
	c.await(last-first, began)
}

// publisher lets one more client in, who does not subscribe. It is the last.
func (c *memoryClients) publisher() {
	c.tb.Helper()
	framed := c.framed
	c.framed = false
	c.connect(1)
	c.framed = framed
}

// publish has the publisher send messages to the room that everybody is in, and waits until all of them are written to all.
func (c *memoryClients) publish(messages int) {
	c.tb.Helper()
	c.send("room", messages)
}

// send has the publisher send messages to a topic, and waits until all of them are written to all.
func (c *memoryClients) send(topic string, messages int) {
	c.tb.Helper()
	packet := raw.Publish{Topic: topic, Payload: strings.Repeat("x", 64)}.Bytes(raw.V311)
	subscribers := c.clients - 1
	_, want := c.Written()
	want += messages * subscribers * len(packet)
	began := time.Now()
	c.Repeat(subscribers, packet, messages)
	for _, got := c.Written(); got != want; _, got = c.Written() {
		if got > want || time.Since(began) > raw.Patience {
			c.tb.Fatalf("%d bytes more than were sent, after %v", got-want, time.Since(began))
		}
	}
	c.writes, _ = c.Written()
}

// footprint is the memory that the process has: what is alive on its heap, with its stacks, and what is resident.
type footprint struct{ heap, resident int }

func measureMemory(tb testing.TB) footprint {
	tb.Helper()
	debug.FreeOSMemory() // collects as well
	debug.FreeOSMemory() // what finalizers have let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f := footprint{heap: int(m.HeapAlloc + m.StackInuse)}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		var total, resident int
		if _, err := fmt.Sscan(string(text), &total, &resident); err != nil {
			tb.Fatal(err)
		}
		f.resident = resident * os.Getpagesize()
	}
	return f
}

// since is what each of n has taken since.
func (f footprint) since(before footprint, n int) (heap, resident float64) {
	return float64(f.heap-before.heap) / float64(n), float64(f.resident-before.resident) / float64(n)
}

// TestMemoryOfConnections holds idle connections, and a room of them, against the bars.
func TestMemoryOfConnections(t *testing.T) {
	const clients, messages = 5000, 3
	for name, tt := range map[string]struct {
		framed bool
		most   float64
	}{"TCP": {false, maxConnBytes}, "WebSocket": {true, maxFramedBytes}} {
		t.Run(name, func(t *testing.T) {
			c := newMemoryClients(t, runBroker(t), clients+1, tt.framed)
			before := measureMemory(t)
			c.connect(clients)
			if each, _ := measureMemory(t).since(before, clients); each > tt.most {
				t.Errorf("%.0f bytes per connection, want at most %.0f", each, tt.most)
			}
			c.subscribe(0, 1, func(int, int) string { return "room" })
			c.publisher()
			c.publish(messages)
		})
	}
}

// BenchmarkMemory lets clients in through memory, has them subscribe to one room, and then publishes to it. An operation is
// a message to everybody.
func BenchmarkMemory(b *testing.B) {
	for _, framed := range []bool{false, true} {
		for _, n := range []int{1_000, 10_000, 100_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/clients=%d", map[bool]string{false: "tcp", true: "ws"}[framed], n), func(b *testing.B) { benchmarkMemory(b, n, framed) })
		}
	}
}

func benchmarkMemory(b *testing.B, n int, framed bool) {
	br := runBroker(b)
	c := newMemoryClients(b, br, n+1, framed)
	empty := measureMemory(b)
	c.connect(n)
	connects := float64(n) / c.took.Seconds()
	connected := measureMemory(b)
	c.took = 0
	c.subscribe(0, 1, func(int, int) string { return "room" })
	subscribes := float64(n) / c.took.Seconds()
	subscribed := measureMemory(b)
	c.publisher()
	each := max(1, 10_000/n) // so that waking up does not count
	c.publish(each)          // buffers grow
	used, times := processorTime(b), 0
	for b.Loop() {
		c.publish(each)
		times += each
	}
	used = processorTime(b) - used
	heap, resident := connected.since(empty, n)
	b.ReportMetric(heap, "heapB/conn")
	b.ReportMetric(resident, "residentB/conn")
	heap, _ = subscribed.since(connected, n)
	b.ReportMetric(heap, "heapB/sub")
	b.ReportMetric(connects, "connects/s")
	b.ReportMetric(subscribes, "subscribes/s")
	b.ReportMetric(float64(b.Elapsed())/float64(times*n), "ns/delivery")
	b.ReportMetric(float64(used)/float64(times*n), "cpu-ns/delivery")
}

// processorTime is what the process has used.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestReplayIsNotGathered has a subscriber who does not read sent much that is retained: it waits where it is retained.
func TestReplayIsNotGathered(t *testing.T) {
	const messages, size, most = 30_000, 1 << 10, 8 << 20
	s := start(t, broker.Options{})
	for i := range messages {
		m := broker.Message{Topic: fmt.Sprint("r/", i), Payload: []byte(strings.Repeat("x", size)), Retain: true}
		if err := s.Publish(m); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually("all is retained", func(st broker.Stats) bool { return st.Retained == messages })
	c, _ := s.slow(raw.Connect{Version: raw.V311, ID: "slow", Clean: true})
	before := measureMemory(t)
	c.Send(raw.Subscribe{ID: 1, Filters: []raw.Filter{{Name: "r/#"}}}.Bytes(raw.V311))
	s.eventually("its socket is full", func(st broker.Stats) bool { return st.Parked == 1 && st.MessagesSent[0] > 0 })
	if heap, _ := measureMemory(t).since(before, 1); heap > most {
		t.Errorf("%.1f MiB more for a replay of %d", heap/(1<<20), messages*size>>20)
	}
	c.Expect(raw.SUBACK)
	for range messages {
		if p := c.Expect(raw.PUBLISH); len(p.Payload) != size {
			t.Fatalf("%d bytes of %q", len(p.Payload), p.Topic)
		}
	}
}

// maxSubBytes is the bar: what a subscription may take of the broker's memory.
const maxSubBytes = 150

// subscribing is a way in which clients come to have many subscriptions.
type subscribing struct {
	name          string
	clients, each int
	filter        func(client, i int) string
}

// subscribings are those whose cost is measured. Filters are of 20 bytes.
var subscribings = []subscribing{
	{"distinct", 500, 100, func(client, i int) string { return fmt.Sprintf("plant/%05d/room/%03d", client, i) }},
	{"shared", 500, 100, func(_, i int) string { return fmt.Sprintf("plant/%05d/room/all", i) }},
	{"one client", 1, 10_000, func(_, i int) string { return fmt.Sprintf("plant/%05d/room/all", i) }},
}

// measure returns the memory of each subscription beyond the first one of a client, and how long each took.
func (w subscribing) measure(tb testing.TB, b *broker.Broker) (heap float64, took time.Duration) {
	tb.Helper()
	c := newMemoryClients(tb, b, w.clients, false)
	c.connect(w.clients)
	c.subscribe(0, 1, w.filter)
	before := measureMemory(tb)
	c.took = 0
	c.subscribe(1, w.each, w.filter)
	n := w.clients * (w.each - 1)
	heap, _ = measureMemory(tb).since(before, n)
	return heap, c.took / time.Duration(n)
}

// TestMemoryOfSubscriptions holds subscriptions against their bar.
func TestMemoryOfSubscriptions(t *testing.T) {
	for _, w := range subscribings {
		t.Run(w.name, func(t *testing.T) {
			b := runBroker(t)
			heap, _ := w.measure(t, b)
			if heap > maxSubBytes {
				t.Errorf("%.0f bytes per subscription, want at most %d", heap, maxSubBytes)
			}
			if n := b.Stats().Subscriptions; n != int64(w.clients*w.each) {
				t.Errorf("%d subscriptions", n)
			}
		})
	}
}

// BenchmarkSubscriptions gives clients many subscriptions, in the ways whose cost is bounded, and then ever more to each.
func BenchmarkSubscriptions(b *testing.B) {
	for _, w := range subscribings {
		b.Run(w.name, func(b *testing.B) { w.bench(b) })
	}
	for _, each := range []int{2, 10, 100, 1000, 10_000} {
		w := subscribing{clients: 20_000 / each, each: each, filter: subscribings[0].filter}
		b.Run(fmt.Sprintf("each=%d", each), func(b *testing.B) { w.bench(b) })
	}
}

func (w subscribing) bench(b *testing.B) {
	for b.Loop() {
		heap, took := w.measure(b, runBroker(b))
		b.ReportMetric(heap, "heapB/sub")
		b.ReportMetric(float64(took), "ns/sub")
	}
}

// BenchmarkMatching publishes to a topic that so many of a client's filters match, which gets each message once.
func BenchmarkMatching(b *testing.B) {
	for _, filters := range []int{1, 10, 100, 1000, 10_000} {
		b.Run(fmt.Sprintf("filters=%d", filters), func(b *testing.B) {
			c := newMemoryClients(b, runBroker(b), 2, false)
			c.connect(1)
			c.subscribe(0, filters, wildcards)
			c.publisher()
			const messages = 100
			c.send(wildcardTopic, messages)
			used, times := processorTime(b), 0
			for b.Loop() {
				c.send(wildcardTopic, messages)
				times += messages
			}
			b.ReportMetric(float64(processorTime(b)-used)/float64(times), "cpu-ns/message")
		})
	}
}

const wildcardTopic = "a/a/a/a/a/a/a/a/a/a/a/a/a/a"

// wildcards is filters that match wildcardTopic: each has another choice of its levels replaced by +.
func wildcards(_, i int) string {
	levels := strings.Split(wildcardTopic, "/")
	for bit := range levels {
		if (i+1)>>bit&1 != 0 {
			levels[bit] = "+"
		}
	}
	return strings.Join(levels, "/")
}

// TestMessagesDoNotHoldTheirPublishers has clients with long identifiers queue a short message each, and end.
func TestMessagesDoNotHoldTheirPublishers(t *testing.T) {
	const clients, most = 300, 4 << 20
	s := start(t, broker.Options{})
	away := s.connect(raw.Connect{Version: raw.V5, ID: "away", Props: raw.Props{raw.Num(raw.SessionExpiry, 1000)}})
	away.Subscribe(1, "t")
	away.Close()
	s.eventually("away", func(st broker.Stats) bool { return st.SessionsOffline == 1 })
	before := measureMemory(t)
	for i := range clients {
		c := s.connect(raw.Connect{Version: raw.V5, ID: fmt.Sprint(i, strings.Repeat("i", 60_000)), Clean: true})
		c.Publish(raw.Publish{Topic: "t", QoS: 1, Payload: "x"})
		c.Close()
	}
	s.eventually("all have gone", func(st broker.Stats) bool { return st.Sessions == 1 && st.Queued == clients })
	if grown := measureMemory(t).heap - before.heap; grown > most {
		t.Errorf("%d short messages hold %d KiB", clients, grown>>10)
	}
}

// allowAll is an Authorizer.
type allowAll struct{}

func (allowAll) Authorize(*broker.Client, broker.Action, string) bool { return true }

// TestPermissionsKeepNoTopics has connections publish to more long topics than the topic cache may hold.
func TestPermissionsKeepNoTopics(t *testing.T) {
	const clients, topics, most = 10, 500, 6 << 20
	s := start(t, broker.Options{Shards: 1, Hooks: []any{allowAll{}}, Limits: broker.Limits{MaxTopicCacheBytes: 2 << 20}})
	before := measureMemory(t)
	var all []*raw.Client
	for i := range clients {
		c := s.connect(raw.Connect{Version: raw.V5, ID: fmt.Sprint("c", i), Clean: true})
		for j := range topics {
			c.Send(raw.Publish{Topic: fmt.Sprint(strings.Repeat("x", 4000), i, "/", j)}.Bytes(raw.V5))
		}
		c.Send(raw.Plain(raw.PINGREQ))
		c.Expect(raw.PINGRESP)
		all = append(all, c)
	}
	if grown := measureMemory(t).heap - before.heap; grown > most {
		t.Errorf("%d idle connections hold %d KiB", len(all), grown>>10)
	}
}
