package broker

import (
	"time"

	"github.com/outcry-mqtt/outcry/broker/histogram"
)

// Stats is a snapshot of the broker's counters since its start. Counters only grow; gauges are marked.
type Stats struct {
	Started time.Time

	Connections []ConnectionStats // by listener and version
	Waiting     int64             // gauge: clients that have sent CONNECT and wait for admission
	Auth        map[string]uint64 // answers to CONNECT and to fresh tokens, by result: "ok" or a Refusal's Label
	Closed      map[string]uint64 // connections closed, by reason; every reason is present from the start
	Limited     map[string]uint64 // delays and refusals of clients, by limit; every limit is present from the start

	PacketsReceived                [16]uint64 // by packet type, 1 CONNECT to 15 AUTH
	PacketsSent                    [16]uint64
	MessagesReceived, MessagesSent [3]uint64 // PUBLISH packets by QoS
	BytesReceived, BytesSent       uint64
	BytesSaved                     uint64            // bytes not sent thanks to permessage-deflate
	Dropped                        map[string]uint64 // messages by reason; every reason is present from the start

	Sessions, SessionsOffline          int64 // gauges
	SessionsExpired                    uint64
	IdentifiersOmitted                 uint64 // subscription identifiers beyond the 100 of a message
	Subscriptions, SharedSubscriptions int64  // gauges
	SubscriptionBytes                  int64  // gauge: in the units of Limits.MaxSubscriptionBytes
	Users                              int64  // gauge: users with sessions; all anonymous clients are one
	Retained, RetainedBytes            int64  // gauges: messages; bytes of topics and payloads
	TopicsCached, TopicCacheBytes      int64  // gauges: topics in the shards' caches; their memory in bytes, roughly
	Queued, QueuedBytes                int64  // gauges: messages that wait in sessions' queues
	Inflight, InflightBytes            int64  // gauges: unacknowledged QoS 1 and 2 messages; bytes of those kept in memory meanwhile
	ParkedBytes                        int64  // gauge: bytes of QoS 0 messages that wait, because of full sockets or a maximum rate
	Parked                             int64  // gauge: connections with full sockets
	EventsMissed                       uint64 // events dropped because observers were too slow

	FlushLatency histogram.Histogram // seconds from reading a message to its write, one observation per message sent
	Shards       []ShardStats
}

// ConnectionStats counts the connections of one listener and protocol version.
type ConnectionStats struct {
	Listener string
	Version  string // "3.1", "3.1.1", "5.0"
	Open     int64  // gauge
	Total    uint64
}

// ShardStats is the statistics of one shard.
type ShardStats struct {
	Connections   int64         // gauge
	Turns         uint64        // turns of its loop
	TurnsByOthers uint64        // proxy and hosted turns, run by another shard
	Lag           time.Duration // gauge: duration of the latest turn, from waking to the last flush
	MaxLag        time.Duration // gauge: the longest turn of the last ten seconds
	InboxBytes    int64         // gauge: bytes posted by other shards and not yet taken
}
