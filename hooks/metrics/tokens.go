package metrics

import "github.com/prometheus/client_golang/prometheus"

// TokenStats are the counters of what verifies tokens. Counters only grow; gauges say so.
type TokenStats struct {
	Accepted  uint64            // tokens that were accepted
	CacheHits uint64            // of them, those that were known from before
	Refused   map[string]uint64 // tokens that were refused, by reason, of which there is a closed set
	Readings  map[string]uint64 // readings of key sets behind URLs by result, of which there is a closed set

	Cached  int // gauge: tokens that are remembered
	Failing int // gauge: key sets that could not be read when it was tried last
}

// tokenValues are the metrics of tokens that have no labels.
var tokenValues = []value[TokenStats]{
	counter("outcry_jwt_accepted_total", "Tokens that were accepted.",
		func(s *TokenStats) float64 { return float64(s.Accepted) }),
	counter("outcry_jwt_cache_hits_total", "Tokens that were accepted without verifying them once more.",
		func(s *TokenStats) float64 { return float64(s.CacheHits) }),
	gauge("outcry_jwt_cached_tokens", "Tokens that are remembered.",
		func(s *TokenStats) float64 { return float64(s.Cached) }),
	gauge("outcry_jwt_jwks_failing", "Key sets behind URLs that could not be read when it was tried last.",
		func(s *TokenStats) float64 { return float64(s.Failing) }),
}

var (
	tokensRefused = describe("outcry_jwt_refused_total", "Tokens that were refused, by reason.", "reason")
	jwksReadings  = describe("outcry_jwt_jwks_readings_total", "Readings of key sets behind URLs, by result.", "result")
)

func describeTokens(ch chan<- *prometheus.Desc) {
	for _, m := range tokenValues {
		ch <- m.desc
	}
	ch <- tokensRefused
	ch <- jwksReadings
}

func collectTokens(ch chan<- prometheus.Metric, s TokenStats) {
	for _, m := range tokenValues {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.of(&s))
	}
	sendCounts(ch, tokensRefused, s.Refused)
	sendCounts(ch, jwksReadings, s.Readings)
}
