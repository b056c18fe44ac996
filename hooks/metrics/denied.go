package metrics

import "github.com/prometheus/client_golang/prometheus"

// DenyStats are the counters of a deny list, by kind of entry: user, token or client.
type DenyStats struct {
	Entries map[string]int    // gauge
	Refused map[string]uint64 // refused or disconnected clients
}

var (
	denyEntries = describe("outcry_deny_entries", "Entries of the deny file that are not over.", "kind")
	denyRefused = describe("outcry_deny_refused_total", "Clients that were refused or disconnected for an entry of the deny file.", "kind")
)

func describeDenied(ch chan<- *prometheus.Desc) {
	ch <- denyEntries
	ch <- denyRefused
}

func collectDenied(ch chan<- prometheus.Metric, s DenyStats) {
	for kind, n := range s.Entries {
		send(ch, denyEntries, prometheus.GaugeValue, float64(n), kind)
	}
	sendCounts(ch, denyRefused, s.Refused)
}
