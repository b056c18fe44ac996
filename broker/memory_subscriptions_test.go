//go:build unix

package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
)

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
