package metrics

import "github.com/prometheus/client_golang/prometheus"

// TokenStats are the counters of a token authenticator. Counters only grow; gauges are marked.
type TokenStats struct {
	Accepted  uint64            // accepted tokens
	CacheHits uint64            // of them, cached ones
	Refused   map[string]uint64 // refused tokens by reason, a closed set
	Readings  map[string]uint64 // fetches of key sets by result, a closed set

	Cached  int // gauge: tokens in the cache
	Failing int // gauge: key sets whose last fetch failed
}

// tokenValues are the token metrics without labels.
var tokenValues = []value[TokenStats]{
	counter("outcry_jwt_accepted_total", "Tokens accepted.",
		func(s *TokenStats) float64 { return float64(s.Accepted) }),
	counter("outcry_jwt_cache_hits_total", "Tokens accepted from the cache, without another signature verification.",
		func(s *TokenStats) float64 { return float64(s.CacheHits) }),
	gauge("outcry_jwt_cached_tokens", "Tokens in the cache.",
		func(s *TokenStats) float64 { return float64(s.Cached) }),
	gauge("outcry_jwt_jwks_failing", "Key sets from URLs whose latest fetch failed.",
		func(s *TokenStats) float64 { return float64(s.Failing) }),
}

var (
	tokensRefused = describe("outcry_jwt_refused_total", "Tokens refused, by reason.", "reason")
	jwksReadings  = describe("outcry_jwt_jwks_readings_total", "Fetches of key sets from URLs, by result.", "result")
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
