package jwks

import (
	"errors"
	"sync/atomic"
)

// result is how a reading ended.
type result int

// A closed set, which labels metrics.
const (
	resultOK        result = iota
	resultUnchanged        // the source says that the set is the one in use
	resultConnect          // no connection, or it broke; TLS is part of it
	resultTimeout
	resultRedirect // too many, or to where keys are not read from
	resultStatus   // not 200
	resultTooLarge
	resultNoKeys // no key set, or one without a key that can be used
	results      // how many there are
)

var resultNames = [results]string{"ok", "unchanged", "connect", "timeout", "redirect", "status", "too_large", "no_keys"}

// Counters count the readings of key sets. The zero value is ready.
type Counters struct{ n [results]atomic.Uint64 }

func (c *Counters) count(r result) { c.n[r].Add(1) }

// Readings returns the number of readings by result; all results are there.
func (c *Counters) Readings() map[string]uint64 {
	all := map[string]uint64{}
	for r, name := range resultNames {
		all[name] = c.n[r].Load()
	}
	return all
}

func resultOf(err error) result {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.result
	}
	return resultConnect
}
