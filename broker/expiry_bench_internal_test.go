package broker

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// aMillion is how many messages expire in the benchmarks.
const aMillion = 1_000_000

// heapInUse is what is in use after a collection.
func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkExpiryRetained retains a million messages, and drops them when they expire: what a message takes with and
// without an expiry, what it takes to drop one, and the longest time for which one batch holds up who retains.
func BenchmarkExpiryRetained(b *testing.B) {
	topics := make([]string, aMillion)
	for i := range topics {
		topics[i] = fmt.Sprint("device/", i, "/state")
	}
	for _, expires := range []bool{false, true} {
		b.Run(fmt.Sprint("expires ", expires), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				br, err := New(Options{Shards: 1})
				if err != nil {
					b.Fatal(err)
				}
				r, s := &br.retained, br.shards[0]
				before := heapInUse()
				began := time.Now()
				for i, name := range topics {
					m := message{topic: name, payload: []byte("payload"), qos: 1, retain: true}
					if expires {
						m.expires = int64(time.Hour) + int64(i*7919%aMillion)
					}
					if !r.set(m.ownCopy(), &br.limits, s.now) {
						b.Fatal("not retained")
					}
				}
				b.ReportMetric(float64(time.Since(began).Nanoseconds())/aMillion, "ns/retained")
				b.ReportMetric(float64(heapInUse()-before)/aMillion, "B/message")
				b.StartTimer()
				longest := time.Duration(0)
				s.now = int64(2 * time.Hour)
				for more := true; more; {
					batch := time.Now()
					more = r.reap(s)
					longest = max(longest, time.Since(batch))
				}
				b.StopTimer()
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/aMillion/float64(max(b.N, 1)), "ns/expired")
				b.ReportMetric(float64(longest.Microseconds()), "µs/longest")
				if left := r.count.Load(); left != 0 == expires {
					b.Errorf("%d left", left)
				}
				_ = br.Shutdown(b.Context())
				b.StartTimer()
			}
		})
	}
}

// BenchmarkExpiryQueued has a million messages wait in a hundred sessions, and drops them when they expire.
func BenchmarkExpiryQueued(b *testing.B) {
	const sessions = 100
	for _, expires := range []bool{false, true} {
		b.Run(fmt.Sprint("expires ", expires), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				br, err := New(Options{Shards: 1})
				if err != nil {
					b.Fatal(err)
				}
				s := br.shards[0]
				all := make([]*session, sessions)
				for i := range all {
					all[i] = s.newSession(fmt.Sprint(i), "")
				}
				before := heapInUse()
				began := time.Now()
				for i := range aMillion {
					m := message{topic: "topic", payload: []byte("payload"), qos: 1}
					if expires {
						m.expires = int64(time.Hour) + int64(i*7919%aMillion)
					}
					ss := all[i%sessions]
					ss.queue.push(ss, delivery{m: m.ownCopy(), qos: 1})
				}
				b.ReportMetric(float64(time.Since(began).Nanoseconds())/aMillion, "ns/queued")
				b.ReportMetric(float64(heapInUse()-before)/aMillion, "B/message")
				b.StartTimer()
				s.now = int64(2 * time.Hour)
				for _, ss := range all {
					for ss.reap(s) {
					}
				}
				b.StopTimer()
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/aMillion/float64(max(b.N, 1)), "ns/expired")
				s.enterWaiting()
				if left := br.account.messages.Load(); left != 0 == expires {
					b.Errorf("%d left", left)
				}
				_ = br.Shutdown(b.Context())
				b.StartTimer()
			}
		})
	}
}
