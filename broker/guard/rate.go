package guard

import (
	"math"
	"sync/atomic"
	"time"
)

// Rate is a token bucket's rate and burst. The state of a bucket is one int64, zero at first: the time at which its
// debt is paid off, on the caller's clock.
type Rate struct {
	cost  float64 // nanoseconds per token; 0: no limit
	burst int64   // nanoseconds
}

// NewRate returns a rate per second, or no limit if that is zero or less. Burst is the capacity of a full bucket, at
// least 1.
func NewRate(perSecond float64, burst int) Rate {
	if perSecond <= 0 {
		return Rate{}
	}
	cost := float64(time.Second) / perSecond
	most := float64(1 << 61)
	return Rate{cost: min(cost, most), burst: int64(min(cost*float64(max(burst, 1)-1), most))}
}

// Burst returns said, or the tokens of one second if said is zero.
func Burst(said int, perSecond float64) int {
	if said > 0 {
		return said
	}
	return int(min(math.Ceil(max(perSecond, 0)), math.MaxInt32))
}

// None reports whether there is no limit.
func (r Rate) None() bool { return r.cost == 0 }

// Take takes n tokens at the time now. It returns false if the bucket is empty. n may exceed the tokens in the bucket;
// the next Take then waits longer.
func (r Rate) Take(paid *int64, now, n int64) bool {
	if *paid > now+r.burst {
		return false
	}
	*paid = max(*paid, now) + int64(min(r.cost*float64(n), 1<<61))
	return true
}

// isEmpty reports whether Take would return false.
func (r Rate) isEmpty(paid, now int64) bool { return paid > now+r.burst }

// charge takes one token, and leaves no debt beyond the next token.
func (r Rate) charge(paid *int64, now int64) {
	cost := int64(r.cost)
	*paid = min(max(*paid, now)+cost, now+r.burst+cost)
}

// Refund returns n tokens of a Take.
func (r Rate) Refund(paid *int64, n int64) { *paid -= int64(min(r.cost*float64(n), 1<<61)) }

// Next returns the time at which the bucket is no longer empty.
func (r Rate) Next(paid int64) int64 { return paid - r.burst }

// reserve takes n tokens of a shared bucket, empty or not. It returns the time at which they are available: in the past
// if there were enough.
func (r Rate) reserve(paid *atomic.Int64, now, n int64) int64 {
	cost := int64(min(r.cost*float64(n), 1<<61))
	for {
		old := paid.Load()
		if paid.CompareAndSwap(old, min(max(old, now), 1<<61)+cost) {
			return r.Next(old)
		}
	}
}
