package broker

import (
	"context"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/broker/topic"
)

// sysInterval is the interval between updates of the averages, and between publications of $SYS topics if there are subscribers.
const sysInterval = 10 * time.Second

// sys publishes the broker's figures under the customary $SYS topics. Without subscribers it only updates the averages, which
// takes each shard some microseconds.
type sys struct {
	b     *Broker
	asked chan sysRequest
	loads loads
}

// sysRequest is a new subscription that needs the current figures.
type sysRequest struct {
	s   *shard
	sub *subscription
}

func newSys(b *Broker) *sys { return &sys{b: b, asked: make(chan sysRequest, 64)} }

// wantsSys reports whether a filter can match a $SYS topic.
func wantsSys(filter string) bool { return strings.HasPrefix(filter, "$SYS") }

// ask requests the figures for a new subscription. If too many requests wait, the subscription gets the figures at the next interval.
func (y *sys) ask(s *shard, sub *subscription) {
	select {
	case y.asked <- sysRequest{s, sub}:
	default:
	}
}

// run publishes until ctx ends.
func (y *sys) run(ctx context.Context) {
	t := time.NewTicker(sysInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-y.asked:
			y.answer(r)
		case <-t.C:
			stats := y.stats()
			if y.b.router.sys.Load() > 0 {
				y.publish(&stats)
			}
		}
	}
}

// stats returns the broker's figures and updates the averages from them.
func (y *sys) stats() Stats {
	stats := y.b.Stats()
	y.loads.update(&stats, y.b.clock.now())
	return stats
}

func (y *sys) answer(r sysRequest) {
	stats := y.stats()
	messages := y.messages(&stats)
	r.s.post(call(func(s *shard) {
		ss := r.sub.session
		if ss.conn == nil || !ss.subs.has(r.sub) {
			return
		}
		for i := range messages {
			if m := &messages[i]; topic.Match(r.sub.filter(), m.topic) {
				s.sendRetained(m.ownCopy(), r.sub)
			}
		}
	}))
}

func (y *sys) publish(stats *Stats) {
	messages := y.messages(stats)
	y.b.shards[0].post(call(func(s *shard) {
		for i := range messages {
			messages[i].read = s.now
			s.publish(&messages[i], s.topics.of(messages[i].topic), nil)
		}
	}))
}

func (y *sys) messages(st *Stats) (out []message) {
	add := func(name, value string) {
		out = append(out, message{topic: "$SYS/broker/" + name, payload: []byte(value)})
	}
	count := func(name string, n uint64) { add(name, strconv.FormatUint(n, 10)) }
	open := uint64(0)
	for _, c := range st.Connections {
		open += uint64(c.Open)
	}
	add("version", "outcry "+y.b.options.Version)
	add("uptime", strconv.FormatInt(int64(time.Since(st.Started)/time.Second), 10)+" seconds")
	count("clients/connected", open)
	count("clients/active", open)
	count("clients/disconnected", uint64(st.SessionsOffline))
	count("clients/inactive", uint64(st.SessionsOffline))
	count("clients/total", uint64(st.Sessions))
	count("clients/expired", st.SessionsExpired)
	count("messages/received", sum(st.PacketsReceived[:]))
	count("messages/sent", sum(st.PacketsSent[:]))
	count("messages/inflight", uint64(st.Inflight))
	count("messages/stored", uint64(st.Retained+st.Queued))
	count("store/messages/count", uint64(st.Retained+st.Queued))
	count("store/messages/bytes", uint64(st.RetainedBytes+st.QueuedBytes))
	count("publish/messages/received", sum(st.MessagesReceived[:]))
	count("publish/messages/sent", sum(st.MessagesSent[:]))
	count("publish/messages/dropped", dropped(st))
	count("bytes/received", st.BytesReceived)
	count("bytes/sent", st.BytesSent)
	count("retained messages/count", uint64(st.Retained))
	count("subscriptions/count", uint64(st.Subscriptions))
	count("shared_subscriptions/count", uint64(st.SharedSubscriptions))
	count("heap/current", heapBytes())
	count("goroutines", uint64(runtime.NumGoroutine()))
	y.loads.each(add)
	return out
}

func sum(all []uint64) (n uint64) {
	for _, each := range all {
		n += each
	}
	return n
}

func dropped(st *Stats) (n uint64) {
	for _, each := range st.Dropped {
		n += each
	}
	return n
}

func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
