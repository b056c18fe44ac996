package broker

import "time"

const (
	windTime = 5 * time.Second       // time limit for passing the rest of all shards to the store
	windLook = 20 * time.Millisecond // wait for one shard before the others are checked
)

// wind finishes the shards' work for each other and for the store after their loops have ended, so that no message accepted
// from a client is lost.
func (b *Broker) wind() {
	b.windPosts()
	for _, s := range b.shards {
		s.endMortal()
	}
	b.windStore()
	b.closeShards()
}

func (b *Broker) windPosts() {
	for again := true; again; {
		again = false
		for _, s := range b.shards {
			again = s.wind() || again
		}
	}
}

// windStore passes everything to the store, unless the store fails or the time is over.
func (b *Broker) windStore() {
	for end := time.Now().Add(windTime); ; {
		b.windPosts()
		var waits *shard
		for _, s := range b.shards {
			if s.storesMore() {
				waits = s
			}
		}
		if waits == nil {
			return
		}
		left := time.Until(end)
		if left <= 0 {
			b.log.Warn("the store is too slow: some changes were not written before the stop")
			return
		}
		waits.poll.Prepare()
		if waits.in.empty() {
			_, _ = waits.poll.Wait(min(left, windLook), false)
		}
	}
}

// storesMore passes the shard's writes to the store, and reports whether the caller must wait for them. A failing store is not waited for.
func (s *shard) storesMore() bool {
	if s.journal.failing {
		return false
	}
	if s.journal.refused != nil {
		s.journal.refused()
	}
	if !s.journal.committing && (s.journal.txn != nil || len(s.journal.unsaved) > 0 || len(s.journal.outdated) > 0) {
		s.journal.lazy, s.journal.retryAt = false, 0
		s.commit()
	}
	return s.journal.committing || len(s.journal.closed) > 0
}
