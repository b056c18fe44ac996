package denylist

import (
	"slices"
	"sync"
	"time"
)

// entries is one version of the file, without entries that had expired when it was read.
type entries struct {
	mu     sync.RWMutex                  // guards denied
	denied map[Kind]map[string]time.Time // expiry by kind and value; zero: never

	// Guarded by List.mu.
	expiring []Entry // entries that expire, the earliest first
	room     int     // size that denied was allocated for
}

// dropBatch is the number of entries dropped at once, because shards wait for the lock.
const dropBatch = 256

func newEntries(all []Entry, now time.Time) *entries {
	e := &entries{denied: map[Kind]map[string]time.Time{}}
	for _, kind := range Kinds() {
		e.denied[kind] = map[string]time.Time{}
	}
	for _, one := range all {
		if one.Expired(now) {
			continue
		}
		e.denied[one.Kind][one.Value] = one.Until
		if !one.Until.IsZero() {
			e.expiring = append(e.expiring, one)
		}
	}
	e.room = e.len()
	slices.SortFunc(e.expiring, func(a, b Entry) int { return a.Until.Compare(b.Until) })
	return e
}

// until reports whether a value is denied, and its expiry.
func (e *entries) until(kind Kind, value string) (until time.Time, found bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	until, found = e.denied[kind][value]
	return until, found
}

// drop deletes some expired entries, and reports whether there may be more.
func (e *entries) drop(now time.Time) (more bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for range dropBatch {
		if len(e.expiring) == 0 || !e.expiring[0].Expired(now) {
			return false
		}
		delete(e.denied[e.expiring[0].Kind], e.expiring[0].Value)
		e.expiring = e.expiring[1:]
	}
	return true
}

func (e *entries) len() (n int) {
	for _, denied := range e.denied {
		n += len(denied)
	}
	return n
}

// compact copies denied to a smaller map: a map never releases its memory.
func (e *entries) compact() {
	e.room = e.len()
	smaller := map[Kind]map[string]time.Time{}
	for kind, denied := range e.denied {
		smaller[kind] = make(map[string]time.Time, len(denied))
		for value, until := range denied {
			smaller[kind][value] = until
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.denied = smaller
}
