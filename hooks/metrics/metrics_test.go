package metrics_test

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/histogram"
	"github.com/outcry-mqtt/outcry/hooks/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/metrics.txt from what the test gets")

const golden = "testdata/metrics.txt"

// brokerStats has a different number in each field.
func brokerStats() broker.Stats {
	s := broker.Stats{
		Started: time.UnixMilli(1_700_000_000_500),
		Connections: []broker.ConnectionStats{
			{Listener: "tcp", Version: "3.1.1", Open: 1, Total: 2},
			{Listener: "ws", Version: "5.0", Open: 3, Total: 4},
		},
		Auth:             map[string]uint64{"ok": 5, "expired": 6},
		Closed:           map[string]uint64{"client": 7, "keep_alive": 8},
		Limited:          map[string]uint64{"connections": 62, "failed_logins": 63},
		Waiting:          64,
		Dropped:          map[string]uint64{"queue_full": 9, "conflated": 0},
		MessagesReceived: [3]uint64{10, 11, 12},
		MessagesSent:     [3]uint64{13, 14, 15},
		BytesReceived:    16, BytesSent: 17, BytesSaved: 69, IdentifiersOmitted: 70,
		Sessions: 18, SessionsOffline: 19,
		Subscriptions: 20, SharedSubscriptions: 21, SubscriptionBytes: 71, Users: 72,
		Retained: 22, RetainedBytes: 23, TopicsCached: 73, TopicCacheBytes: 74,
		Queued: 24, QueuedBytes: 25, Inflight: 26, InflightBytes: 71, Parked: 27, ParkedBytes: 72,
		FlushLatency: histogram.Histogram{Bounds: []float64{.001, .01}, Counts: []uint64{28, 29, 30}, Sum: 31},
		Shards: []broker.ShardStats{
			{Connections: 32, Turns: 33, Lag: 34 * time.Millisecond, MaxLag: 35 * time.Millisecond, InboxBytes: 36},
			{Connections: 37, Turns: 38, Lag: 39 * time.Millisecond, MaxLag: 40 * time.Millisecond, InboxBytes: 41},
		},
	}
	for i := range s.PacketsReceived {
		s.PacketsReceived[i], s.PacketsSent[i] = uint64(100+i), uint64(200+i)
	}
	return s
}

func storeStats() metrics.StoreStats {
	return metrics.StoreStats{
		Commits: 42, Ops: 43, Bytes: 44, Failures: 45, Refused: 46, Dropped: 47,
		Pending: 48, PendingBytes: 49, FileBytes: 50,
		Duration: histogram.Histogram{Bounds: []float64{.005}, Counts: []uint64{51, 52}, Sum: 53},
	}
}

func tokenStats() metrics.TokenStats {
	return metrics.TokenStats{
		Accepted: 54, CacheHits: 55, Cached: 56, Failing: 57,
		Refused:  map[string]uint64{"expired": 58, "bad_signature": 59},
		Readings: map[string]uint64{"ok": 60, "timeout": 61},
	}
}

func denyStats() metrics.DenyStats {
	return metrics.DenyStats{Entries: map[string]int{"user": 65, "token": 66}, Refused: map[string]uint64{"user": 67, "token": 68}}
}

// newRegistry returns a registry with all metrics.
func newRegistry(tb testing.TB) *prometheus.Registry {
	tb.Helper()
	registry := prometheus.NewPedanticRegistry()
	_, err := metrics.New(metrics.Options{
		Registerer: registry, Stats: brokerStats, Store: storeStats, Tokens: tokenStats, Denied: denyStats, Version: "v1.2.3",
	})
	if err != nil {
		tb.Fatal(err)
	}
	return registry
}

// scrape returns the text of a scrape.
func scrape(tb testing.TB, registry *prometheus.Registry) string {
	tb.Helper()
	response := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(response, httptest.NewRequest("GET", "/metrics", nil))
	if response.Code != http.StatusOK {
		tb.Fatalf("%d %s", response.Code, response.Body)
	}
	return response.Body.String()
}

// typesOf returns the types of the metrics of a scrape by name: counter, gauge, histogram or summary.
func typesOf(scraped string) map[string]string {
	types := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(scraped, -1) {
		types[m[1]] = m[2]
	}
	return types
}

func ourNames(scraped string) (names []string) {
	for name := range typesOf(scraped) {
		if strings.HasPrefix(name, "outcry_") {
			names = append(names, name)
		}
	}
	return names
}

func TestMetricsAreAsExpected(t *testing.T) {
	var ours strings.Builder
	for line := range strings.Lines(scrape(t, newRegistry(t))) {
		if strings.HasPrefix(strings.TrimLeft(line, "#HELPTY "), "outcry_") {
			ours.WriteString(line)
		}
	}
	got := regexp.MustCompile(`goversion="[^"]*"`).ReplaceAllString(ours.String(), `goversion="go"`)
	if *rewrite {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the metrics differ from %s; run with -rewrite if they should:\n%s", golden, got)
	}
}

func TestMetricsAreWellNamed(t *testing.T) {
	registry := newRegistry(t)
	problems, err := testutil.GatherAndLint(registry, ourNames(scrape(t, registry))...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestRuntimeAndProcessAreThere(t *testing.T) {
	types := typesOf(scrape(t, newRegistry(t)))
	for _, name := range []string{"go_goroutines", "go_memstats_heap_inuse_bytes", "go_gc_gogc_percent", "go_gc_gomemlimit_bytes",
		"go_sched_pauses_stopping_gc_seconds", "go_sched_pauses_total_gc_seconds", "process_cpu_seconds_total"} {
		if types[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestREADMEHasEveryMetric compares the README's table with the metrics, both ways.
func TestREADMEHasEveryMetric(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `(outcry_[a-z_]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = true
	}
	for _, name := range ourNames(scrape(t, newRegistry(t))) {
		if !documented[name] {
			t.Errorf("README.md lacks %s", name)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("README.md has %s, which does not exist", name)
	}
}

// TestREADMEHasEveryReason compares the README's tables of reasons with those that a broker counts, both ways.
func TestREADMEHasEveryReason(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stats := b.Stats()
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for column, counted := range map[string]map[string]uint64{"dropped": stats.Dropped, "closed": stats.Closed} {
		_, table, _ := strings.Cut(string(text), "\n| "+column+" | why |\n|---|---|\n")
		table, _, _ = strings.Cut(table, "\n\n")
		documented := make(map[string]bool)
		for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
			documented[m[1]] = true
		}
		for reason := range counted {
			if !documented[reason] {
				t.Errorf("%s: README.md lacks %s", column, reason)
			}
			delete(documented, reason)
		}
		for reason := range documented {
			t.Errorf("%s: README.md has %s, which is never counted", column, reason)
		}
		if len(counted) < 10 {
			t.Errorf("%s: only %d reasons were found", column, len(counted))
		}
	}
}

func TestStatsOfABrokerThatHasJustStarted(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	_, err := metrics.New(metrics.Options{Registerer: registry, Stats: func() broker.Stats { return broker.Stats{} }})
	if err != nil {
		t.Fatal(err)
	}
	if scraped := scrape(t, registry); strings.Contains(scraped, "outcry_store_") {
		t.Error("there are metrics of a store without a store")
	}
}

func TestLabelOfAHookThatIsNotText(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	stats := func() broker.Stats { return broker.Stats{Auth: map[string]uint64{"a\xffb": 1}} }
	if _, err := metrics.New(metrics.Options{Registerer: registry, Stats: stats}); err != nil {
		t.Fatal(err)
	}
	if scraped := scrape(t, registry); !strings.Contains(scraped, `outcry_broker_auth_results_total{result="a?b"} 1`) {
		t.Errorf("it is not shown in %s", scraped)
	}
}

func TestNewRefuses(t *testing.T) {
	stats := func() broker.Stats { return broker.Stats{} }
	taken := prometheus.NewRegistry()
	if _, err := metrics.New(metrics.Options{Registerer: taken, Stats: stats}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		options metrics.Options
	}{
		{"no registerer", metrics.Options{Stats: stats}},
		{"no stats", metrics.Options{Registerer: prometheus.NewRegistry()}},
		{"a registerer that has them", metrics.Options{Registerer: taken, Stats: stats}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := metrics.New(test.options); err == nil {
				t.Error("there is no error")
			}
		})
	}
}
