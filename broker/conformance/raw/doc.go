// Package raw is a client of MQTT for tests: it writes packets or plain bytes, malformed ones as gladly as good ones,
// and reads what a server answers, strictly and with a deadline. It knows nothing of the broker's own codec. It never
// acknowledges, retries or answers anything by itself.
package raw
