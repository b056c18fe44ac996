package jwt

import (
	"container/heap"
	"container/list"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
)

// maxCachedBytes bounds a cached token; with the number of tokens it bounds the memory.
const maxCachedBytes = 4 << 10

// cache maps verified tokens, by SHA-256, to their identities, so that a returning client costs no signature check.
// An entry is valid until the identity expires, and only while its issuer has the same keys. A full cache drops the
// least recently used entry.
type cache struct {
	limit int // maximum number of entries

	mu      sync.Mutex // guards the fields below
	entries map[tokenSum]*cached
	used    list.List // of *cached, most recently used first
	ends    expiryHeap
}

type tokenSum [sha256.Size]byte

type cached struct {
	sum      tokenSum
	identity *broker.Identity
	issuer   *issuer
	ring     *keyring
	used     *list.Element
	end      int // index in ends; -1: no expiry
}

// forgetBatch is the number of expired entries removed at once, because shards wait for the lock.
const forgetBatch = 64

// newCache returns a cache of that many entries; negative: no cache.
func newCache(size int) *cache {
	c := &cache{limit: size}
	c.clear()
	return c
}

// find returns the identity of a token, or nil if it is not cached.
func (c *cache) find(token string, now time.Time) *broker.Identity {
	if c.limit <= 0 || len(token) > maxCachedBytes {
		return nil
	}
	sum := tokenSum(sha256.Sum256([]byte(token)))
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[sum]
	if e == nil {
		return nil
	}
	if !e.isGood(now) {
		c.remove(e)
		return nil
	}
	c.used.MoveToFront(e.used)
	return e.identity
}

func (e *cached) isGood(now time.Time) bool {
	return e.issuer.ring.Load() == e.ring && !e.isExpired(now)
}

func (e *cached) isExpired(now time.Time) bool {
	return !e.identity.Expires.IsZero() && !now.Before(e.identity.Expires)
}

// add caches an accepted token.
func (c *cache) add(token string, v verdict, now time.Time) {
	if c.limit <= 0 || len(token) > maxCachedBytes {
		return
	}
	sum := tokenSum(sha256.Sum256([]byte(token)))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(now)
	if e := c.entries[sum]; e != nil {
		c.remove(e)
	}
	if len(c.entries) >= c.limit {
		c.remove(c.used.Back().Value.(*cached))
	}
	e := &cached{sum: sum, identity: v.identity, issuer: v.issuer, ring: v.ring, end: -1}
	c.entries[sum] = e
	e.used = c.used.PushFront(e)
	if !v.identity.Expires.IsZero() {
		heap.Push(&c.ends, e)
	}
}

// remove removes an entry; mu is held.
func (c *cache) remove(e *cached) {
	delete(c.entries, e.sum)
	c.used.Remove(e.used)
	if e.end >= 0 {
		heap.Remove(&c.ends, e.end)
	}
}

// forget removes some expired entries, and reports whether there may be more; mu is held.
func (c *cache) forget(now time.Time) (more bool) {
	for range forgetBatch {
		if len(c.ends) == 0 || !c.ends[0].isExpired(now) {
			return false
		}
		c.remove(c.ends[0])
	}
	return true
}

// forgetAll removes the expired entries.
func (c *cache) forgetAll(now time.Time) {
	for more := true; more; {
		c.mu.Lock()
		more = c.forget(now)
		c.mu.Unlock()
	}
}

// len returns the number of entries.
func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries, c.ends = map[tokenSum]*cached{}, nil
	c.used.Init()
}

// expiryHeap is a heap of the entries that expire, the earliest at the top.
type expiryHeap []*cached

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].identity.Expires.Before(h[j].identity.Expires) }

// Swap implements heap.Interface.
func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].end, h[j].end = i, j
}

// Push implements heap.Interface.
func (h *expiryHeap) Push(x any) {
	e := x.(*cached)
	e.end = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
