// Package histogram has the form in which the broker and its hooks tell how long something took. It observes nothing itself.
package histogram

// Histogram has cumulative counts of observations by upper bound.
type Histogram struct {
	Bounds []float64 // upper bounds in seconds, ascending, without +Inf
	Counts []uint64  // observations at most Bounds[i]; the last, one longer than Bounds, counts all
	Sum    float64   // seconds
}
