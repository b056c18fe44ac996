package broker_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

// BenchmarkCollections is of what the garbage collector does to the latency of deliveries: the same work, at a rate that
// leaves the processors time, while nothing is collected and while everything is, every 100 ms; with an empty broker, and
// with half a million sessions in its memory. The broker is a process of its own.
//
//	go test ./broker -run '^$' -bench Collections -benchtime 3x
func BenchmarkCollections(b *testing.B) {
	works := []struct {
		name string
		o    bench.Options
	}{
		{"pairs", bench.Options{Scenario: bench.Pairs, Clients: 100, Rate: 2000}},
		{"fanout", bench.Options{Scenario: bench.Fanout, Subscribers: 1000, Rate: 20}},
	}
	for _, sessions := range []int{0, 500_000} {
		served := startServed(b, sessions)
		for _, w := range works {
			for _, every := range []time.Duration{0, 100 * time.Millisecond} {
				b.Run(fmt.Sprintf("sessions=%d/%s/every=%v", sessions, w.name, every), func(b *testing.B) {
					served.measure(b, w.o, every)
				})
			}
		}
		served.stop()
	}
}

// served is a broker in another process.
type served struct {
	b       *testing.B
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	address string
}

// serveSessions in the environment makes TestServe be a broker with so many sessions.
const serveSessions = "OUTCRY_TEST_SERVE_SESSIONS"

func startServed(b *testing.B, sessions int) *served {
	b.Helper()
	s := &served{b: b, cmd: exec.Command(os.Args[0], "-test.run=^TestServe$")}
	s.cmd.Env = append(os.Environ(), serveSessions+"="+strconv.Itoa(sessions))
	s.cmd.Stderr = os.Stderr
	in, err := s.cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	s.in, s.out = in, bufio.NewScanner(out)
	s.address = s.answer()
	return s
}

// answer is the next line that the process says.
func (s *served) answer() string {
	if !s.out.Scan() {
		s.b.Fatalf("the broker's process ended: %v", s.out.Err())
	}
	return s.out.Text()
}

func (s *served) stop() {
	_ = s.in.Close()
	for s.out.Scan() { // to its end
	}
	if err := s.cmd.Wait(); err != nil {
		s.b.Error(err)
	}
}

// measure performs a work while everything is collected so often, and reports means of latencies.
func (s *served) measure(b *testing.B, o bench.Options, every time.Duration) {
	o.URL = &url.URL{Scheme: "mqtt", Host: s.address}
	o.Warmup, o.Duration, o.SubscribeQoS, o.PID = time.Second, 5*time.Second, -1, s.cmd.Process.Pid
	var p99, p999, most, cpu, collections, pause float64
	for b.Loop() {
		s.collect(every)
		report, err := bench.Run(b.Context(), o)
		n, longest := s.collect(0)
		collections, pause = collections+n, max(pause, longest)
		if err != nil {
			b.Fatal(err)
		}
		if failures := report.Failures(true); len(failures) > 0 {
			b.Error(failures)
		}
		p99, p999, cpu = p99+report.Latency.P99, p999+report.Latency.P999, cpu+report.Process.PerMessage
		most = max(most, report.Latency.Max)
	}
	n := float64(b.N)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(cpu/n, "cpu-µs/delivery")
	b.ReportMetric(p99/n, "p99-µs")
	b.ReportMetric(p999/n, "p99.9-µs")
	b.ReportMetric(most, "max-µs")
	b.ReportMetric(collections/n, "collections")
	b.ReportMetric(pause, "longest-pause-µs")
}

// collect lets the process collect so often from now on. It returns how often it has since the last time, and the longest
// time in µs for which it stood still.
func (s *served) collect(every time.Duration) (n, longest float64) {
	s.b.Helper()
	fmt.Fprintln(s.in, every)
	if _, err := fmt.Sscan(s.answer(), &n, &longest); err != nil {
		s.b.Fatal(err)
	}
	return n, longest
}

// TestServe is no test: it is the broker of BenchmarkCollections. It says its address. Each line that it reads tells how
// often it should collect from now on, and is answered with what collect returns. It ends with its input.
func TestServe(t *testing.T) {
	sessions, err := strconv.Atoi(os.Getenv(serveSessions))
	if err != nil {
		t.Skip("for BenchmarkCollections")
	}
	runtime.GOMAXPROCS(runtime.NumCPU() + 2) // as the program does
	s := start(t, broker.Options{Shards: runtime.NumCPU(), Store: forgetful{}})
	s.AddSessions(sessions, func(i int) string { return fmt.Sprint("news/", i) })
	s.eventually("all sessions", func(st broker.Stats) bool { return st.Sessions == int64(sessions) })
	runtime.GC()
	fmt.Println(s.tcp)
	stop := func() {}
	var last debug.GCStats
	debug.ReadGCStats(&last)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		stop()
		var now debug.GCStats
		debug.ReadGCStats(&now)
		n := int(now.NumGC - last.NumGC)
		longest := slices.Max(append(now.Pause[:min(n, len(now.Pause))], 0))
		fmt.Println(n, float64(longest)/float64(time.Microsecond))
		last = now
		stop = collect(lines.Text())
	}
	stop()
}

// collect collects every so often, until it is stopped.
func collect(text string) (stop func()) {
	every, err := time.ParseDuration(text)
	if err != nil || every == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(every); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				runtime.GC()
			}
		}
	}()
	return func() { cancel(); <-done }
}

// forgetful is a store that keeps nothing: only what the broker itself has in memory is to be collected.
type forgetful struct{}

func (forgetful) Load(storage.Space, func(string, []byte) error) error { return nil }
func (forgetful) Commit(_ []storage.Op, done func(error))              { done(nil) }
func (forgetful) Later(storage.Op)                                     {}
func (forgetful) Close() error                                         { return nil }

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
