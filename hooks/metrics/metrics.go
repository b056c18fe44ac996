package metrics

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Options say what is shown, and where. Registerer and Stats are required.
type Options struct {
	// Registerer gets the metrics of the broker, and those of the Go runtime and of the process.
	Registerer prometheus.Registerer

	// Stats is called at each scrape: a Broker's Stats method.
	Stats func() broker.Stats

	// Store is called at each scrape too; nil if nothing outlives the process.
	Store func() StoreStats

	// Tokens is called at each scrape too; nil if nobody has a token.
	Tokens func() TokenStats

	// Denied is called at each scrape too; nil if there is no deny-list.
	Denied func() DenyStats

	// Version is the program's, for outcry_build_info. Empty: "unknown".
	Version string
}

// StoreStats are the counters of a store since it was opened. Counters only grow; gauges say so. It has the fields of
// boltstore.Stats, to which it is converted from: metrics.StoreStats(store.Stats()).
type StoreStats struct {
	Commits  uint64 // transactions that were written and synced
	Ops      uint64 // changes in them
	Bytes    uint64 // bytes of keys and values in them
	Failures uint64 // transactions that failed
	Refused  uint64 // groups of changes that were refused
	Dropped  uint64 // write-behind changes that were dropped

	Pending      int64 // gauge: changes that wait to be written
	PendingBytes int64 // gauge: their bytes
	FileBytes    int64 // gauge: the size of the file

	Duration broker.Histogram // seconds that a transaction took
}

// Collector turns snapshots of counters into metrics. It is a prometheus.Collector.
type Collector struct {
	stats  func() broker.Stats
	store  func() StoreStats
	tokens func() TokenStats
	denied func() DenyStats
}

// pauses are the times for which the collector stops the program: go_sched_pauses_stopping_gc_seconds until everybody has
// stopped, go_sched_pauses_total_gc_seconds until everybody goes on.
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

// Collect takes one snapshot and sends the metrics of it.
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
	ch <- histogram(storeDuration, store.Duration)
}

func buildInfo(version string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "outcry_build_info",
		Help:        "Always 1; the labels tell the program's version and that of Go.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	}, func() float64 { return 1 })
}

// value is a metric without labels and how to find it in a snapshot.
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

// histogram converts h, which counts cumulatively as Prometheus does. One that has no observations yet may be empty.
func histogram(desc *prometheus.Desc, h broker.Histogram) prometheus.Metric {
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
