// Package metrics exports the broker's counters to Prometheus. It reads them at each scrape, so it costs nothing
// between scrapes. Its labels never name a client or a topic.
package metrics

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/histogram"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Options set the sources and the destination of metrics. Registerer and Stats are required.
type Options struct {
	// Registerer gets the metrics of the broker, the Go runtime and the process.
	Registerer prometheus.Registerer

	// Stats is called at each scrape: a Broker's Stats method.
	Stats func() broker.Stats

	// Store is called at each scrape; nil if there is no store.
	Store func() StoreStats

	// Tokens is called at each scrape; nil if there are no tokens.
	Tokens func() TokenStats

	// Denied is called at each scrape; nil if there is no deny list.
	Denied func() DenyStats

	// Version is the program's version, for outcry_build_info. Empty: "unknown".
	Version string
}

// StoreStats are a store's counters since it was opened. Counters only grow; gauges are marked. Its fields are those
// of boltstore.Stats, which converts to it: metrics.StoreStats(store.Stats()).
type StoreStats struct {
	Commits  uint64 // written and synced transactions
	Ops      uint64 // changes in them
	Bytes    uint64 // bytes of keys and values in them
	Failures uint64 // failed transactions
	Refused  uint64 // refused groups of changes
	Dropped  uint64 // dropped write-behind changes

	Pending      int64 // gauge: changes in the queue
	PendingBytes int64 // gauge: their bytes
	FileBytes    int64 // gauge: size of the file

	Duration histogram.Histogram // seconds per transaction
}

// Collector converts snapshots of counters to metrics. It is a prometheus.Collector.
type Collector struct {
	stats  func() broker.Stats
	store  func() StoreStats
	tokens func() TokenStats
	denied func() DenyStats
}

// pauses are the collector's stop-the-world times: go_sched_pauses_stopping_gc_seconds until all goroutines have
// stopped, go_sched_pauses_total_gc_seconds until they run again.
var pauses = collectors.WithGoCollectorRuntimeMetrics(collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/sched/pauses/.*/gc:")})

// New registers a Collector, the build's version, and the collectors of the Go runtime and of the process.
func New(o Options) (*Collector, error) {
	if o.Registerer == nil || o.Stats == nil {
		return nil, errors.New("metrics: Options.Registerer and Options.Stats are required")
	}
	if o.Version == "" {
		o.Version = "unknown"
	}
	c := &Collector{stats: o.Stats, store: o.Store, tokens: o.Tokens, denied: o.Denied}
	for _, each := range []prometheus.Collector{
		c,
		buildInfo(o.Version),
		collectors.NewGoCollector(pauses),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := o.Registerer.Register(each); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return c, nil
}

// Describe sends the descriptions of all metrics.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range brokerValues {
		ch <- m.desc
	}
	for _, desc := range brokerDescs {
		ch <- desc
	}
	if c.tokens != nil {
		describeTokens(ch)
	}
	if c.denied != nil {
		describeDenied(ch)
	}
	if c.store == nil {
		return
	}
	for _, m := range storeValues {
		ch <- m.desc
	}
	ch <- storeDuration
}

// Collect takes one snapshot and sends its metrics.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	stats := c.stats()
	for _, m := range brokerValues {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.of(&stats))
	}
	collectBroker(ch, &stats)
	if c.tokens != nil {
		collectTokens(ch, c.tokens())
	}
	if c.denied != nil {
		collectDenied(ch, c.denied())
	}
	if c.store == nil {
		return
	}
	store := c.store()
	for _, m := range storeValues {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.of(&store))
	}
	ch <- constHistogram(storeDuration, store.Duration)
}

func buildInfo(version string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "outcry_build_info",
		Help:        "Always 1; the labels hold the versions of the program and of Go.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	}, func() float64 { return 1 })
}

// value is a metric without labels, with the function that reads it from a snapshot.
type value[S any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*S) float64
}

func counter[S any](name, help string, of func(*S) float64) value[S] {
	return value[S]{describe(name, help), prometheus.CounterValue, of}
}

func gauge[S any](name, help string, of func(*S) float64) value[S] {
	return value[S]{describe(name, help), prometheus.GaugeValue, of}
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// constHistogram converts h, which is cumulative like Prometheus'. An h without observations may be empty.
func constHistogram(desc *prometheus.Desc, h histogram.Histogram) prometheus.Metric {
	buckets := make(map[float64]uint64, len(h.Bounds))
	var count uint64
	if len(h.Counts) == len(h.Bounds)+1 {
		for i, bound := range h.Bounds {
			buckets[bound] = h.Counts[i]
		}
		count = h.Counts[len(h.Bounds)]
	}
	return prometheus.MustNewConstHistogram(desc, count, h.Sum, buckets)
}
