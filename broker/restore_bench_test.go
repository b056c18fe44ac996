package broker_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

// BenchmarkRestore is of starting a broker on a store of 100,000 sessions, each with ten messages in its queue and each
// message in ten queues.
func BenchmarkRestore(b *testing.B) {
	const sessions, topics, perTopic = 100_000, 10_000, 10
	path := filepath.Join(b.TempDir(), "outcry.db")
	fill(b, path, sessions, topics, perTopic)
	for b.Loop() {
		began := time.Now()
		store, err := boltstore.Open(boltstore.Options{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		opened := time.Since(began)
		one, err := broker.New(broker.Options{Store: store})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(opened.Seconds(), "open-s")
		b.ReportMetric((time.Since(began) - opened).Seconds(), "restore-s")
		b.ReportMetric(float64(store.Stats().FileBytes)/(1<<20), "MiB")
		if st := one.Stats(); st.Sessions != sessions || st.Queued != sessions*perTopic {
			b.Fatalf("%d sessions, %d queued", st.Sessions, st.Queued)
		}
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// fill makes a store of offline sessions, each of them subscribed to one of so many topics, and publishes to each topic.
func fill(b *testing.B, path string, sessions, topics, perTopic int) {
	store, err := boltstore.Open(boltstore.Options{Path: path, MaxPendingBytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	one, err := broker.New(broker.Options{Store: store})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- one.Run(ctx) }()
	topic := func(i int) string { return fmt.Sprint("news/", i%topics) }
	one.AddSessions(sessions, topic)
	for one.Stats().Sessions < int64(sessions) {
		time.Sleep(time.Millisecond)
	}
	for i := range topics * perTopic {
		m := broker.Message{Topic: topic(i), Payload: make([]byte, 100), QoS: 1}
		if err := one.Publish(m); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
}
