package guard

import (
	"math"
	"sync/atomic"
	"time"
)

// Rate is how often something may happen, and how much of it at once (a token bucket). The state of a bucket is one
// int64, zero at first: when everything that was taken will have been paid for, on the caller's clock.
type Rate struct {
	cost  float64 // of one, in nanoseconds; 0: nothing costs anything
	burst int64   // in nanoseconds
}

// NewRate returns a rate per second, or none if that is zero or less. Burst is how much may be taken of a bucket that was
// left alone for long, at least 1.
func NewRate(perSecond float64, burst int) Rate {
	if perSecond <= 0 {
		return Rate{}
	}
	cost := float64(time.Second) / perSecond
	most := float64(1 << 61)
	return Rate{cost: min(cost, most), burst: int64(min(cost*float64(max(burst, 1)-1), most))}
}

// Burst is what a second brings, unless it is said.
func Burst(said int, perSecond float64) int {
	if said > 0 {
		return said
	}
	return int(min(math.Ceil(max(perSecond, 0)), 1<<40))
}

// None tells whether there is no rate.
func (r Rate) None() bool { return r.cost == 0 }

// Take takes n of a bucket at the time now, unless it is empty. More than there is may be taken at once: then it takes
// longer until the next.
func (r Rate) Take(paid *int64, now, n int64) bool {
	if *paid > now+r.burst {
		return false
	}
	*paid = max(*paid, now) + int64(min(r.cost*float64(n), 1<<61))
	return true
}

// Next is when something may be taken of a bucket again.
func (r Rate) Next(paid int64) int64 { return paid - r.burst }

// book takes n of a bucket that several take from, whether it is empty or not, and returns when they may be had: a time
// that is past, if there was enough.
func (r Rate) book(paid *atomic.Int64, now, n int64) int64 {
	cost := int64(min(r.cost*float64(n), 1<<61))
	for {
		old := paid.Load()
		if paid.CompareAndSwap(old, min(max(old, now), 1<<61)+cost) {
			return r.Next(old)
		}
	}
}
