package broker

// Every shard that retains messages with an expiry has a timer for the earliest of its own messages. When one fires, its
// shard drops all expired messages of all shards and waits for the next deadline of all. So each deadline has a timer, and no
// shard needs to know the messages of another.

// sweepSteps is the number of entries to check for each new stale entry. It limits stale entries to roughly a third of all.
const sweepSteps = 4

// sweep removes stale entries a few at a time, so that no shard waits long for it; mu is held.
func (r *retained) sweep() {
	for range sweepSteps {
		if r.swept >= len(r.expiring) {
			r.swept = 0
		}
		if len(r.expiring) == 0 {
			return
		}
		if e := &r.expiring[r.swept]; r.expiringAs(e) == nil {
			r.expiring.remove(r.swept)
		} else {
			r.swept++
		}
	}
}

// expiringAs returns the message of an entry; nil: the entry is stale.
func (r *retained) expiringAs(e *due[string]) *message {
	if m, ok := r.names.Get(e.item); ok && m.expires == e.at {
		return m
	}
	return nil
}

// dropFirst removes the first entry and its message; mu is held.
func (r *retained) dropFirst() {
	e := r.expiring.pop()
	if m := r.expiringAs(&e); m != nil {
		r.drop(m)
	}
}

// reap removes expired messages, for the shard whose timer has fired.
func (r *retained) reap(s *shard) (more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range reapBatch {
		if !r.expiring.isDue(s.now) {
			break
		}
		r.dropFirst()
	}
	r.awaitNext(s)
	return r.expiring.isDue(s.now)
}

// awaitNext arms the shard's timer for the next deadline; mu is held.
func (r *retained) awaitNext(s *shard) {
	if len(r.expiring) > 0 {
		s.armFor(&s.expiry.retained, r.expiring[0].at)
	}
}
