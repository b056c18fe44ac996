package jwks

import (
	"errors"
	"sync/atomic"
)

// result is the outcome of a fetch.
type result int

// A closed set, used as metric labels.
const (
	resultOK        result = iota
	resultUnchanged        // the source reports that the set in use is current
	resultConnect          // no connection, or it broke; includes TLS
	resultTimeout
	resultRedirect // too many, or to a forbidden address
	resultStatus   // a status other than 200
	resultTooLarge
	resultNoKeys // no key set, or no usable key in it
	results      // number of results
)

var resultNames = [results]string{"ok", "unchanged", "connect", "timeout", "redirect", "status", "too_large", "no_keys"}

// Counters count the fetches of key sets. The zero value is ready.
type Counters struct{ n [results]atomic.Uint64 }

func (c *Counters) count(r result) { c.n[r].Add(1) }

// Readings returns the number of fetches by result; all results are present.
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
