package broker

// Released memory stays garbage until the next collection, which may come late: a broker that allocates little collects rarely.
const (
	connBytes    = 2 << 10 // of a connection, roughly
	sessionBytes = 1 << 10 // of a session, roughly
)

// Released returns roughly the number of bytes that the broker has released since its start: connections, sessions, messages.
// Shared memory counts once for each of its users. It asks no shard and lags by at most one turn.
func (b *Broker) Released() (n uint64) {
	for _, s := range b.shards {
		n += s.stats.released.Load()
	}
	return n + b.retained.released.Load()
}

// letGo counts n bytes as released.
func (s *shard) letGo(n int) { s.stats.letGo += uint64(n) }

// tellReleased publishes this turn's released bytes to other goroutines.
func (t *shardStats) tellReleased() {
	if t.letGo > 0 {
		t.released.Add(t.letGo)
		t.letGo = 0
	}
}
