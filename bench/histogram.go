package bench

import (
	"math"
	"math/bits"
	"time"
)

// Each power of two has 128 buckets, so a value is exact to 1 %. Values below 128 ns are exact.
const (
	bucketBits = 7
	bucketStep = 1 << bucketBits
	buckets    = (64 - bucketBits + 1) * bucketStep
)

// histogram counts durations in nanoseconds. Its zero value is empty; 57 KiB. It belongs to one goroutine.
type histogram struct {
	count    uint64
	sum      float64
	min, max uint64
	bucket   [buckets]uint64
}

// record counts a duration; a negative one counts as 0.
func (h *histogram) record(ns int64) {
	v := uint64(max(ns, 0))
	h.bucket[bucketOf(v)]++
	if h.count == 0 || v < h.min {
		h.min = v
	}
	h.max = max(h.max, v)
	h.count++
	h.sum += float64(v)
}

func bucketOf(v uint64) int {
	if v < bucketStep {
		return int(v)
	}
	shift := 63 - bits.LeadingZeros64(v) - bucketBits
	return (shift+1)<<bucketBits + int(v>>shift)&(bucketStep-1)
}

// middle returns the middle of a bucket's range.
func middle(bucket int) uint64 {
	if bucket < bucketStep {
		return uint64(bucket)
	}
	shift := bucket>>bucketBits - 1
	return uint64(bucketStep+bucket&(bucketStep-1))<<shift + (1<<shift)>>1
}

// add adds the counts of o.
func (h *histogram) add(o *histogram) {
	if o.count == 0 {
		return
	}
	if h.count == 0 || o.min < h.min {
		h.min = o.min
	}
	h.max = max(h.max, o.max)
	h.count += o.count
	h.sum += o.sum
	for i, n := range o.bucket {
		h.bucket[i] += n
	}
}

// quantile returns the value that a share q of all does not exceed; 0 if there are none.
func (h *histogram) quantile(q float64) uint64 {
	want, seen := max(uint64(math.Ceil(q*float64(h.count))), 1), uint64(0)
	for i, n := range h.bucket {
		if seen += n; seen >= want {
			return min(max(middle(i), h.min), h.max)
		}
	}
	return h.max
}

// Latency summarizes a histogram, in microseconds.
type Latency struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean_us"`
	P50   float64 `json:"p50_us"`
	P90   float64 `json:"p90_us"`
	P99   float64 `json:"p99_us"`
	P999  float64 `json:"p999_us"`
	Max   float64 `json:"max_us"`
}

// summary returns nil if nothing was counted.
func (h *histogram) summary() *Latency {
	if h.count == 0 {
		return nil
	}
	at := func(q float64) float64 { return microseconds(h.quantile(q)) }
	return &Latency{
		Count: h.count, Mean: h.sum / float64(h.count) / 1000,
		P50: at(0.5), P90: at(0.9), P99: at(0.99), P999: at(0.999), Max: microseconds(h.max),
	}
}

func microseconds(ns uint64) float64 { return float64(ns) / float64(time.Microsecond) }
