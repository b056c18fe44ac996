package broker

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/broker/histogram"
	"github.com/outcry-mqtt/outcry/internal/wire"
)

// dropReason is the reason for not delivering a message.
type dropReason uint8

const (
	dropOffline dropReason = iota // a QoS 0 message for an offline client
	dropBlockedFull
	dropConflated
	dropSlow
	dropQueueFull
	dropTooLarge
	dropExpired
	dropNotAuthorized
	dropNoMember
	dropClosed
	dropSessionEnded
	dropRetainedFull
	dropMaxRate     // a newer message came within the interval of the subscription's maximum rate
	dropControls    // a stored message's topic has characters that the limits refuse now
	dropShareGroups // the message matches more groups than Limits.MaxShareGroups
	dropReasons
)

var dropLabels = [dropReasons]string{
	"offline", "parked_full", "conflated", "slow_consumer", "queue_full", "packet_too_large", "expired",
	"not_authorized", "no_group_member", "connection_closed", "session_ended", "retained_full", "max_rate",
	"control_characters", "share_groups",
}

// shardStats holds a shard's counters. All but inboxBytes, inboxWork and released are owned by its loop.
type shardStats struct {
	released atomic.Uint64 // bytes freed until the last turn
	letGo    uint64        // bytes freed in this turn

	inboxBytes atomic.Int64
	inboxWork  atomic.Int64 // cost in units of delivering the inbox's messages

	accepted, turns, turnsByOthers uint64
	connections, waiting           int64
	generation                     uint32
	open                           map[connKind]*connCount
	closed                         [closeReasons]uint64
	packetsReceived, packetsSent   [16]uint64
	messagesReceived, messagesSent [3]uint64
	bytesReceived, bytesSent       uint64
	bytesSaved                     uint64
	dropped                        [dropReasons]uint64
	sessionsOffline                int64
	sessionsExpired                uint64
	identifiersOmitted             uint64
	subscriptions, shared          int64
	queued, queuedBytes            int64
	inflight, inflightBytes        int64
	parked, parkedBytes            int64
	latency                        latency
	lag                            int64
	lags                           [2]lagWindow // of the current and the previous period
}

// connKind is the key of connection counts.
type connKind struct {
	listener string
	version  byte
}

type connCount struct {
	open  int64
	total uint64
}

type lagWindow struct{ began, most int64 }

func (t *shardStats) init() { t.open = make(map[connKind]*connCount) }

// turn records a turn's duration.
func (t *shardStats) turn(began, now int64) {
	t.turns++
	t.lag = now - began
	if now-t.lags[0].began > int64(maxLagAge)/2 {
		t.lags[1], t.lags[0] = t.lags[0], lagWindow{began: now}
	}
	t.lags[0].most = max(t.lags[0].most, t.lag)
}

// latencyBounds are the upper bounds in seconds of the publish-to-flush histogram.
var latencyBounds = []float64{
	.000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5,
}

// latency counts messages by their time from read to write.
type latency struct {
	counts [17]uint64
	sum    float64
}

func (l *latency) observe(ns int64, n uint64) {
	sec := float64(ns) / float64(time.Second)
	i := 0
	for i < len(latencyBounds) && sec > latencyBounds[i] {
		i++
	}
	l.counts[i] += n
	l.sum += sec * float64(n)
}

// count adds an open connection to the counts of its listener and version.
func (c *conn) count(s *shard) {
	k := connKind{c.listener, c.version}
	n := s.stats.open[k]
	if n == nil {
		n = new(connCount)
		s.stats.open[k] = n
	}
	n.open++
	n.total++
	c.counted = true
}

func (c *conn) uncount() {
	if c.identity.counted {
		c.identity.counted = false
		c.b.guard.Exit(c.identity.client.Identity.User)
	}
	if c.counted {
		c.counted = false
		c.shard.stats.open[connKind{c.listener, c.version}].open--
	}
}

// counters holds the counters that belong to no shard.
type counters struct {
	mu    sync.Mutex // guards auths
	auths map[string]uint64
}

// auth counts the outcome of a client's CONNECT. r is the refusal by an Authenticator, an Admitter or the broker; nil: accepted.
func (n *counters) auth(r *Refusal) {
	label := "ok"
	if r != nil {
		if label = r.Label; label == "" {
			label = "refused"
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.auths[label]++
}

// addStats adds the shard's figures to a snapshot. It runs on the shard, or after the shard has ended.
func (s *shard) addStats(out *Stats) {
	out.TopicsCached += int64(len(s.topics.routes))
	out.TopicCacheBytes += int64(s.topics.bytes)
	s.stats.add(out, len(s.sessions))
}

func (t *shardStats) add(out *Stats, sessions int) {
	for k, n := range t.open {
		out.addConnections(k, n)
	}
	for i, n := range t.closed {
		if closeReason(i) != closeNone {
			out.Closed[closing[i].label] += n
		}
	}
	for i := range t.packetsReceived {
		out.PacketsReceived[i] += t.packetsReceived[i]
		out.PacketsSent[i] += t.packetsSent[i]
	}
	for i := range t.messagesReceived {
		out.MessagesReceived[i] += t.messagesReceived[i]
		out.MessagesSent[i] += t.messagesSent[i]
	}
	for i, n := range t.dropped {
		out.Dropped[dropLabels[i]] += n
	}
	out.Waiting += t.waiting
	out.BytesReceived += t.bytesReceived
	out.BytesSent += t.bytesSent
	out.BytesSaved += t.bytesSaved
	out.Sessions += int64(sessions)
	out.SessionsOffline += t.sessionsOffline
	out.SessionsExpired += t.sessionsExpired
	out.IdentifiersOmitted += t.identifiersOmitted
	out.Subscriptions += t.subscriptions
	out.SharedSubscriptions += t.shared
	out.Queued += t.queued
	out.QueuedBytes += t.queuedBytes
	out.Inflight += t.inflight
	out.InflightBytes += t.inflightBytes
	out.ParkedBytes += t.parkedBytes
	out.Parked += t.parked
	t.latency.add(&out.FlushLatency)
	out.Shards = append(out.Shards, ShardStats{
		Connections: t.connections, Turns: t.turns, TurnsByOthers: t.turnsByOthers, Lag: time.Duration(t.lag),
		MaxLag: time.Duration(max(t.lags[0].most, t.lags[1].most)), InboxBytes: t.inboxBytes.Load(),
	})
}

func (l *latency) add(h *histogram.Histogram) {
	total := uint64(0)
	for i, n := range l.counts {
		total += n
		h.Counts[i] += total
	}
	h.Sum += l.sum
}

var versionNames = map[byte]string{wire.V31: "3.1", wire.V311: "3.1.1", wire.V5: "5.0"}

func (out *Stats) addConnections(k connKind, n *connCount) {
	version := versionNames[k.version]
	for i := range out.Connections {
		if c := &out.Connections[i]; c.Listener == k.listener && c.Version == version {
			c.Open += n.open
			c.Total += n.total
			return
		}
	}
	out.Connections = append(out.Connections, ConnectionStats{Listener: k.listener, Version: version, Open: n.open, Total: n.total})
}

func newStats(started time.Time) Stats {
	out := Stats{
		Started: started, Auth: make(map[string]uint64), Closed: make(map[string]uint64), Dropped: make(map[string]uint64),
		Limited:      make(map[string]uint64),
		FlushLatency: histogram.Histogram{Bounds: latencyBounds, Counts: make([]uint64, len(latencyBounds)+1)},
	}
	for _, label := range dropLabels {
		out.Dropped[label] = 0
	}
	return out
}
