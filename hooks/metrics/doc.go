// Package metrics exports the broker's counters to Prometheus. It reads them at each scrape, so it costs nothing
// between scrapes. Its labels never name a client or a topic.
package metrics
