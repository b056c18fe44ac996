package broker

// ShardOf is the index of the shard that a client identifier belongs to.
func (b *Broker) ShardOf(id string) int { return b.owner(id).index }
