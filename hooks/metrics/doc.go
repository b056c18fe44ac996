// Package metrics shows the broker's counters to Prometheus. It reads them when it is scraped, so it costs nothing
// between scrapes, and its labels never name a client or a topic.
package metrics
