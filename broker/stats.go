package broker

import "time"

// Stats is a snapshot of the broker's counters since its start. Counters only grow; gauges say so.
type Stats struct {
	Started time.Time

	Connections []ConnectionStats // by listener and version
	Waiting     int64             // gauge: clients that have sent CONNECT and wait for their turn
	Auth        map[string]uint64 // answers to CONNECT and to fresh tokens, by result: "ok" or a Refusal's Label
	Closed      map[string]uint64 // connections closed, by reason; every reason is present from the start
	Limited     map[string]uint64 // how often a limit held a client up, by limit; every limit is present from the start

	PacketsReceived                [16]uint64 // by packet type, 1 CONNECT to 15 AUTH
	PacketsSent                    [16]uint64
	MessagesReceived, MessagesSent [3]uint64 // PUBLISH packets by QoS
	BytesReceived, BytesSent       uint64
	BytesSaved                     uint64            // that would have been sent as well without permessage-deflate
	Dropped                        map[string]uint64 // messages by reason; every reason is present from the start

	Sessions, SessionsOffline          int64 // gauges
	SessionsExpired                    uint64
	Subscriptions, SharedSubscriptions int64  // gauges
	Retained, RetainedBytes            int64  // gauges: messages, bytes of topics and payloads
	Queued, QueuedBytes                int64  // gauges: messages that wait in sessions' queues
	Inflight                           int64  // gauge: QoS 1 and 2 messages sent and not acknowledged
	Parked                             int64  // gauge: connections whose socket is full
	EventsMissed                       uint64 // events that observers were too slow for

	FlushLatency Histogram // seconds from reading a message to having written it, one observation per message sent
	Shards       []ShardStats
}

// ConnectionStats counts the connections of one listener and protocol version.
type ConnectionStats struct {
	Listener string
	Version  string // "3.1", "3.1.1", "5.0"
	Open     int64  // gauge
	Total    uint64
}

// ShardStats is what one shard tells of itself.
type ShardStats struct {
	Connections int64         // gauge
	Turns       uint64        // turns of its loop
	Lent        uint64        // those that another shard did for it while it slept
	Lag         time.Duration // gauge: how long its latest turn took, from waking to everything flushed
	MaxLag      time.Duration // gauge: the longest turn of the last ten seconds
	InboxBytes  int64         // gauge: bytes posted by other shards and not yet taken
}

// Histogram has cumulative counts of observations by upper bound.
type Histogram struct {
	Bounds []float64 // upper bounds in seconds, ascending, without +Inf
	Counts []uint64  // observations at most Bounds[i]; the last, one longer than Bounds, counts all
	Sum    float64   // seconds
}
