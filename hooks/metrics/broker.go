package metrics

import (
	"strconv"
	"strings"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/prometheus/client_golang/prometheus"
)

// brokerValues are the broker's metrics without labels.
var brokerValues = []value[broker.Stats]{
	gauge("outcry_broker_start_time_seconds", "Start time of the broker since the Unix epoch, in seconds.",
		func(s *broker.Stats) float64 { return float64(s.Started.UnixMilli()) / 1000 }),
	counter("outcry_broker_received_bytes_total", "MQTT bytes received from clients.",
		func(s *broker.Stats) float64 { return float64(s.BytesReceived) }),
	counter("outcry_broker_sent_bytes_total", "MQTT bytes sent to clients.",
		func(s *broker.Stats) float64 { return float64(s.BytesSent) }),
	counter("outcry_broker_saved_bytes_total", "Bytes saved by permessage-deflate in the output to clients.",
		func(s *broker.Stats) float64 { return float64(s.BytesSaved) }),
	counter("outcry_broker_subscription_identifiers_omitted_total", "Subscription identifiers not sent because a message had more than 100.",
		func(s *broker.Stats) float64 { return float64(s.IdentifiersOmitted) }),
	gauge("outcry_broker_sessions", "Sessions of connected and disconnected clients.",
		func(s *broker.Stats) float64 { return float64(s.Sessions) }),
	gauge("outcry_broker_sessions_offline", "Sessions of disconnected clients.",
		func(s *broker.Stats) float64 { return float64(s.SessionsOffline) }),
	gauge("outcry_broker_subscriptions", "Subscriptions of all sessions.",
		func(s *broker.Stats) float64 { return float64(s.Subscriptions) }),
	gauge("outcry_broker_subscriptions_bytes", "Size of all subscriptions in bytes, as counted by limits.max_subscribed_total.",
		func(s *broker.Stats) float64 { return float64(s.SubscriptionBytes) }),
	gauge("outcry_broker_users", "Users with sessions; all anonymous clients count as one user.",
		func(s *broker.Stats) float64 { return float64(s.Users) }),
	gauge("outcry_broker_subscriptions_shared", "Shared subscriptions ($share) of all sessions.",
		func(s *broker.Stats) float64 { return float64(s.SharedSubscriptions) }),
	gauge("outcry_broker_retained_messages", "Retained messages.",
		func(s *broker.Stats) float64 { return float64(s.Retained) }),
	gauge("outcry_broker_retained_bytes", "Bytes of retained messages, topics and payloads.",
		func(s *broker.Stats) float64 { return float64(s.RetainedBytes) }),
	gauge("outcry_broker_topic_cache_topics", "Topics in the topic caches of all shards.",
		func(s *broker.Stats) float64 { return float64(s.TopicsCached) }),
	gauge("outcry_broker_topic_cache_bytes", "Approximate bytes of the topic caches of all shards.",
		func(s *broker.Stats) float64 { return float64(s.TopicCacheBytes) }),
	gauge("outcry_broker_queued_messages", "Messages in the queues of sessions.",
		func(s *broker.Stats) float64 { return float64(s.Queued) }),
	gauge("outcry_broker_queued_bytes", "Bytes of messages in the queues of sessions.",
		func(s *broker.Stats) float64 { return float64(s.QueuedBytes) }),
	gauge("outcry_broker_inflight_messages", "QoS 1 and 2 messages sent and not yet acknowledged.",
		func(s *broker.Stats) float64 { return float64(s.Inflight) }),
	gauge("outcry_broker_inflight_bytes", "Bytes of messages kept in memory until they are acknowledged.",
		func(s *broker.Stats) float64 { return float64(s.InflightBytes) }),
	gauge("outcry_broker_parked_bytes", "Bytes of QoS 0 messages waiting for a full socket or a maximum rate.",
		func(s *broker.Stats) float64 { return float64(s.ParkedBytes) }),
	gauge("outcry_broker_connections_parked", "Connections with a full socket: slow consumers.",
		func(s *broker.Stats) float64 { return float64(s.Parked) }),
	gauge("outcry_broker_connections_waiting", "Clients that have sent CONNECT and wait for admission.",
		func(s *broker.Stats) float64 { return float64(s.Waiting) }),
}

var (
	connectionsOpen   = describe("outcry_broker_connections_open", "Connections.", "listener", "version")
	connectionsOpened = describe("outcry_broker_connections_opened_total", "Connections since the start.", "listener", "version")
	connectionsClosed = describe("outcry_broker_connections_closed_total", "Connections that ended, by reason.", "reason")
	limited           = describe("outcry_broker_limited_total", "Refusals and slowdowns of clients, by limit.", "limit")
	authResults       = describe("outcry_broker_auth_results_total", "Authentications of connecting clients and of fresh tokens, by result: ok, or the reason of the refusal.", "result")
	packetsReceived   = describe("outcry_broker_packets_received_total", "MQTT packets received from clients.", "type")
	packetsSent       = describe("outcry_broker_packets_sent_total", "MQTT packets sent to clients.", "type")
	messagesReceived  = describe("outcry_broker_messages_received_total", "Messages received from publishers.", "qos")
	messagesSent      = describe("outcry_broker_messages_sent_total", "Messages sent to subscribers.", "qos")
	messagesDropped   = describe("outcry_broker_messages_dropped_total", "Messages not delivered to a subscriber, by reason.", "reason")
	flushLatency      = describe("outcry_broker_publish_flush_seconds", "Time from reading a message to writing it to a subscriber's socket.")
	shardConnections  = describe("outcry_broker_shard_connections", "Connections that the shard owns.", "shard")
	shardTurns        = describe("outcry_broker_shard_turns_total", "Turns of the shard's loop.", "shard")
	shardLag          = describe("outcry_broker_shard_lag_seconds", "Duration of the latest turn of the shard's loop.", "shard")
	shardMaxLag       = describe("outcry_broker_shard_lag_max_seconds", "The longest turn of the shard's loop in the last ten seconds.", "shard")
	shardInbox        = describe("outcry_broker_shard_inbox_bytes", "Bytes in the inbox of the shard, posted by other shards.", "shard")
)

// brokerDescs are all of the above, for Describe.
var brokerDescs = []*prometheus.Desc{
	connectionsOpen, connectionsOpened, connectionsClosed, limited, authResults, packetsReceived, packetsSent, messagesReceived,
	messagesSent, messagesDropped, flushLatency, shardConnections, shardTurns, shardLag, shardMaxLag, shardInbox,
}

// packetNames are the packet types by number (MQTT 5 2.1.2).
var packetNames = [16]string{
	1: "connect", 2: "connack", 3: "publish", 4: "puback", 5: "pubrec", 6: "pubrel", 7: "pubcomp", 8: "subscribe",
	9: "suback", 10: "unsubscribe", 11: "unsuback", 12: "pingreq", 13: "pingresp", 14: "disconnect", 15: "auth",
}

// The packet types of clients, and of servers.
var (
	fromClients = []int{1, 3, 4, 5, 6, 7, 8, 10, 12, 14, 15}
	toClients   = []int{2, 3, 4, 5, 6, 7, 9, 11, 13, 14, 15}
)

// collectBroker sends the metrics with labels.
func collectBroker(ch chan<- prometheus.Metric, s *broker.Stats) {
	for _, c := range s.Connections {
		send(ch, connectionsOpen, prometheus.GaugeValue, float64(c.Open), c.Listener, c.Version)
		send(ch, connectionsOpened, prometheus.CounterValue, float64(c.Total), c.Listener, c.Version)
	}
	sendCounts(ch, connectionsClosed, s.Closed)
	sendCounts(ch, limited, s.Limited)
	sendCounts(ch, authResults, s.Auth)
	sendCounts(ch, messagesDropped, s.Dropped)
	for _, i := range fromClients {
		send(ch, packetsReceived, prometheus.CounterValue, float64(s.PacketsReceived[i]), packetNames[i])
	}
	for _, i := range toClients {
		send(ch, packetsSent, prometheus.CounterValue, float64(s.PacketsSent[i]), packetNames[i])
	}
	for qos := range s.MessagesReceived {
		send(ch, messagesReceived, prometheus.CounterValue, float64(s.MessagesReceived[qos]), strconv.Itoa(qos))
		send(ch, messagesSent, prometheus.CounterValue, float64(s.MessagesSent[qos]), strconv.Itoa(qos))
	}
	ch <- constHistogram(flushLatency, s.FlushLatency)
	for i, shard := range s.Shards {
		collectShard(ch, strconv.Itoa(i), shard)
	}
}

func collectShard(ch chan<- prometheus.Metric, shard string, s broker.ShardStats) {
	send(ch, shardConnections, prometheus.GaugeValue, float64(s.Connections), shard)
	send(ch, shardTurns, prometheus.CounterValue, float64(s.Turns), shard)
	send(ch, shardLag, prometheus.GaugeValue, s.Lag.Seconds(), shard)
	send(ch, shardMaxLag, prometheus.GaugeValue, s.MaxLag.Seconds(), shard)
	send(ch, shardInbox, prometheus.GaugeValue, float64(s.InboxBytes), shard)
}

func sendCounts(ch chan<- prometheus.Metric, desc *prometheus.Desc, counts map[string]uint64) {
	for label, n := range counts {
		send(ch, desc, prometheus.CounterValue, float64(n), label)
	}
}

// send makes labels valid UTF-8: one invalid label of a hook would fail the whole scrape.
func send(ch chan<- prometheus.Metric, desc *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
	for i := range labels {
		labels[i] = strings.ToValidUTF8(labels[i], "?")
	}
	ch <- prometheus.MustNewConstMetric(desc, kind, v, labels...)
}

// DenyStats are the counters of a deny list, by kind of entry: user, token or client.
type DenyStats struct {
	Entries map[string]int    // gauge
	Refused map[string]uint64 // refused or disconnected clients
}

var (
	denyEntries = describe("outcry_deny_entries", "Unexpired entries of the deny file.", "kind")
	denyRefused = describe("outcry_deny_refused_total", "Clients refused or disconnected because of an entry of the deny file.", "kind")
)

func describeDenied(ch chan<- *prometheus.Desc) {
	ch <- denyEntries
	ch <- denyRefused
}

func collectDenied(ch chan<- prometheus.Metric, s DenyStats) {
	for kind, n := range s.Entries {
		send(ch, denyEntries, prometheus.GaugeValue, float64(n), kind)
	}
	sendCounts(ch, denyRefused, s.Refused)
}

// storeValues are the store's metrics without labels, except storeDuration.
var storeValues = []value[StoreStats]{
	counter("outcry_store_commits_total", "Transactions written and synced.",
		func(s *StoreStats) float64 { return float64(s.Commits) }),
	counter("outcry_store_ops_total", "Changes written.",
		func(s *StoreStats) float64 { return float64(s.Ops) }),
	counter("outcry_store_written_bytes_total", "Bytes of keys and values written.",
		func(s *StoreStats) float64 { return float64(s.Bytes) }),
	counter("outcry_store_failures_total", "Transactions that failed.",
		func(s *StoreStats) float64 { return float64(s.Failures) }),
	counter("outcry_store_refused_total", "Groups of changes refused because too many writes were pending or the disk was failing.",
		func(s *StoreStats) float64 { return float64(s.Refused) }),
	counter("outcry_store_dropped_total", "Write-behind changes dropped because too many writes were pending.",
		func(s *StoreStats) float64 { return float64(s.Dropped) }),
	gauge("outcry_store_pending_ops", "Changes waiting to be written.",
		func(s *StoreStats) float64 { return float64(s.Pending) }),
	gauge("outcry_store_pending_bytes", "Bytes of changes waiting to be written.",
		func(s *StoreStats) float64 { return float64(s.PendingBytes) }),
	gauge("outcry_store_file_bytes", "Size of the store's file.",
		func(s *StoreStats) float64 { return float64(s.FileBytes) }),
}

var storeDuration = describe("outcry_store_commit_seconds", "Duration of a transaction, including its sync.")
