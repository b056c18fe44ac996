package jwt

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
)

// maxCachedBytes is the length of the longest token that is cached; with the number of tokens it bounds the memory.
const maxCachedBytes = 4 << 10

// cache remembers who holds a token that was verified, by the token's SHA-256, so that a client that comes back does not
// cost a signature. An entry is good until the identity expires, and only while its issuer has the very keys that it was
// verified with. It has two generations: when the young one is full, it becomes the old one, and what was not used
// since goes.
type cache struct {
	half int // how many entries a generation may have

	mu         sync.Mutex // guards what follows
	young, old map[tokenSum]cached
}

type tokenSum [sha256.Size]byte

type cached struct {
	identity *broker.Identity
	issuer   *issuer
	ring     *keyring
}

// newCache returns a cache of that many entries; negative: none.
func newCache(size int) *cache {
	c := &cache{half: size / 2}
	if size > 0 {
		c.half = max(c.half, 1)
	}
	c.clear()
	return c
}

// find returns who holds the token, or nil if it has to be verified.
func (c *cache) find(token string, now time.Time) *broker.Identity {
	if c.half <= 0 || len(token) > maxCachedBytes {
		return nil
	}
	sum := tokenSum(sha256.Sum256([]byte(token)))
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.young[sum]
	if !ok {
		if e, ok = c.old[sum]; !ok {
			return nil
		}
		delete(c.old, sum)
		c.put(sum, e)
	}
	if !e.isGood(now) {
		delete(c.young, sum)
		return nil
	}
	return e.identity
}

func (e cached) isGood(now time.Time) bool {
	expires := e.identity.Expires
	return e.issuer.ring.Load() == e.ring && (expires.IsZero() || now.Before(expires))
}

// add remembers a token that was accepted.
func (c *cache) add(token string, v verdict) {
	if c.half <= 0 || len(token) > maxCachedBytes {
		return
	}
	sum := tokenSum(sha256.Sum256([]byte(token)))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(sum, cached{v.identity, v.issuer, v.ring})
}

// put needs the lock.
func (c *cache) put(sum tokenSum, e cached) {
	if len(c.young) >= c.half {
		c.young, c.old = map[tokenSum]cached{}, c.young
	}
	c.young[sum] = e
}

// len returns how many tokens are remembered.
func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.young) + len(c.old)
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old = map[tokenSum]cached{}, map[tokenSum]cached{}
}
