package bench_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
)

// measureTime is the measured time of scenarios here: tests check counts, not speed.
const measureTime = 400 * time.Millisecond

// A correct broker passes every scenario over every transport.
func TestScenarios(t *testing.T) {
	e := startBroker(t)
	scenarios := map[string]bench.Options{
		"conns":            {Scenario: bench.Conns, Clients: 50, Subscribe: true, Hold: measureTime},
		"fanout":           {Scenario: bench.Fanout, Subscribers: 20, Publishers: 3, Topics: 2, Window: 10, Check: true},
		"fanout, wildcard": {Scenario: bench.Fanout, Subscribers: 10, Topics: 30, Wildcard: true, Rate: 500, QoS: 1, Check: true},
		"fanin":            {Scenario: bench.Fanin, Publishers: 20, Subscribers: 2, Window: 10, QoS: 2, Check: true},
		"fanin, shared":    {Scenario: bench.Fanin, Publishers: 10, Subscribers: 3, Shared: true, Rate: 1000, QoS: 1, Check: true},
		"pairs":            {Scenario: bench.Pairs, Clients: 10, Window: 10, QoS: 1, Check: true},
		"pairs, large":     {Scenario: bench.Pairs, Clients: 2, Window: 2, QoS: 1, Payload: 200_000, Check: true},
		"two threads":      {Scenario: bench.Fanout, Subscribers: 20, Publishers: 4, Topics: 3, Window: 10, Threads: 2, Check: true},
		"retained":         {Scenario: bench.Retained, Topics: 500, Subscribers: 3, Publishers: 2, QoS: 1},
		"storm":            {Scenario: bench.Storm, Clients: 50, Rounds: 2},
		"storm, back":      {Scenario: bench.Storm, Clients: 50, Rounds: 2, Reconnect: true, Retry: time.Millisecond},
		"churn":            {Scenario: bench.Churn, Clients: 5},
	}
	for name, o := range scenarios {
		schemes := []string{"mqtt", "wss"}
		if name == "pairs" || name == "storm" {
			schemes = []string{"mqtt", "ws", "mqtts", "wss", "unix"}
		}
		for i, scheme := range schemes {
			o.Version = 4 + byte(i%2)
			t.Run(fmt.Sprintf("%s/%s v%d", name, scheme, o.Version), func(t *testing.T) {
				o.URL, o.TLS, o.SubscribeQoS = brokerURL(t, e.urls[scheme]), e.tls, -1
				if o.Duration = measureTime; o.Scenario == bench.Churn {
					o.Duration = 5 * measureTime // some must get through, however slow the machine
				}
				mustPass(t, run(t, o))
			})
		}
	}
}

// mustPass checks that a report has no failures, and some deliveries.
func mustPass(t *testing.T, r *bench.Report) {
	t.Helper()
	if failures := r.Failures(true); failures != nil || r.Notes != nil {
		t.Errorf("failures %q, notes %q", failures, r.Notes)
	}
	if r.Connections.Ready == nil || r.Connections.Ready.Count != r.Connections.Opened {
		t.Fatalf("connections %+v", r.Connections)
	}
	switch r.Scenario {
	case bench.Fanout, bench.Fanin, bench.Pairs, bench.Retained:
		m := r.Messages
		if m.Sent == 0 || m.Received == 0 || m.Received != m.Expected || m.Foreign+m.Unsent+m.GivenUp > 0 {
			t.Errorf("messages %+v", *m)
		}
	case bench.Storm:
		if len(r.Rounds) != 2 || r.All.Count != 100 {
			t.Errorf("rounds %v, %d times a client was in", r.Rounds, r.All.Count)
		}
	case bench.Churn:
		if r.Cycles == 0 || r.All.Count == 0 {
			t.Errorf("%v cycles a second", r.Cycles)
		}
	}
	var text bytes.Buffer
	if err := r.Print(&text); err != nil || !strings.HasPrefix(text.String(), string(r.Scenario)) {
		t.Errorf("prints %q, %v", text.String(), err)
	}
}

// Every due message is sent at the configured rate, and the latency of late ones starts at their due time.
func TestOpenLoopSendsWhatIsDue(t *testing.T) {
	e := startBroker(t)
	o := bench.Options{Scenario: bench.Pairs, Clients: 3, Rate: 1000, Duration: measureTime, URL: brokerURL(t, e.urls["mqtt"]), SubscribeQoS: -1}
	r := run(t, o)
	if m := r.Messages; m.Sent+m.Unsent != 400 || m.Received != m.Sent {
		t.Errorf("%d sent, %d unsent, %d received of 400", m.Sent, m.Unsent, m.Received)
	}
	if r.Latency.Max < r.Behind.Max || r.Latency.Count != r.Messages.Sent {
		t.Errorf("deliveries %+v, sent late %+v", *r.Latency, *r.Behind)
	}
}

func TestRetainedMessagesAreRemoved(t *testing.T) {
	e := startBroker(t)
	o := bench.Options{Scenario: bench.Retained, Topics: 100, URL: brokerURL(t, e.urls["mqtt"]), Prefix: "mine", SubscribeQoS: -1}
	mustPass(t, run(t, o))
	mustPass(t, run(t, o)) // messages left by the first would be foreign
	o.Keep = true
	mustPass(t, run(t, o))
	mustPass(t, run(t, o)) // the same topics again, overwritten
}

func TestMeasuresAProcess(t *testing.T) {
	e := startBroker(t)
	r := run(t, bench.Options{
		Scenario: bench.Fanout, Subscribers: 10, Window: 10, Duration: measureTime, SubscribeQoS: -1,
		URL: brokerURL(t, e.urls["mqtt"]), PID: os.Getpid(),
	})
	p := r.Process
	if p == nil || p.CPU <= 0 || p.PerMessage <= 0 || p.Idle == 0 || p.After == 0 || p.Peak < p.Idle {
		t.Errorf("process %+v", p)
	}
	if r.Generator <= 0 || math.IsInf(r.Generator, 0) {
		t.Errorf("generator %v", r.Generator)
	}
}

func TestWhatCannotBeRun(t *testing.T) {
	e := startBroker(t)
	ok := brokerURL(t, e.urls["mqtt"])
	for _, tt := range []struct {
		name string
		o    bench.Options
		want string
	}{
		{"no URL", bench.Options{Scenario: bench.Conns}, "no broker's URL"},
		{"scenario", bench.Options{Scenario: "dance", URL: ok}, `scenario "dance": want conns, fanout`},
		{"version", bench.Options{Scenario: bench.Conns, URL: ok, Version: 3}, "protocol version 3"},
		{"payload", bench.Options{Scenario: bench.Pairs, URL: ok, Payload: 8}, "payload bytes 8: want 16 to"},
		{"two problems", bench.Options{Scenario: bench.Pairs, URL: ok, Payload: 8, QoS: 3, Rate: -1}, "QoS 3: want 0 to 2"},
		{"prefix", bench.Options{Scenario: bench.Pairs, URL: ok, Prefix: "a/#"}, "without + and #"},
		{"password", bench.Options{Scenario: bench.Conns, URL: ok, Version: 4, Password: []byte("x")}, "no password without a user name"},
		{"descriptors", bench.Options{Scenario: bench.Conns, URL: ok, Clients: 3_999_999}, "raise the limit (ulimit -n 4000063)"},
		{"process", bench.Options{Scenario: bench.Conns, URL: ok, PID: 1 << 30}, "is it running"},
		{"nobody there", bench.Options{Scenario: bench.Conns, URL: brokerURL(t, "mqtt://127.0.0.1:1")}, "connection refused"},
		{"no TLS", bench.Options{Scenario: bench.Conns, Clients: 1, URL: brokerURL(t, strings.Replace(e.urls["mqtt"], "mqtt", "mqtts", 1))}, "cannot connect all clients"},
		{"not trusted", bench.Options{Scenario: bench.Conns, URL: brokerURL(t, e.urls["mqtts"])}, "certificate"},
		{"path", bench.Options{Scenario: bench.Conns, URL: brokerURL(t, e.urls["ws"]+"/elsewhere")}, "404 Not Found: is the path right?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := bench.Run(t.Context(), tt.o)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestEndsWithItsContext(t *testing.T) {
	e := startBroker(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	o := bench.Options{Scenario: bench.Pairs, Duration: time.Hour, URL: brokerURL(t, e.urls["ws"]), SubscribeQoS: -1}
	o.Progress = func(p bench.Progress) {
		if p.Received > 0 {
			cancel(enough)
		}
	}
	r, err := bench.Run(ctx, o)
	if !errors.Is(err, enough) || !errors.Is(err, bench.ErrInterrupted) {
		t.Fatalf("ended with %v", err)
	}
	mustPass(t, r) // messages in flight have come
	if !r.Interrupted || r.Seconds <= 0 || r.Seconds > 3000 || r.Latency == nil {
		t.Errorf("interrupted %v after %vs, deliveries %+v", r.Interrupted, r.Seconds, r.Latency)
	}
}

func TestNothingIsReportedBeforeItIsMeasured(t *testing.T) {
	e := startBroker(t)
	ctx, cancel := context.WithCancel(t.Context())
	o := bench.Options{Scenario: bench.Pairs, Warmup: time.Hour, URL: brokerURL(t, e.urls["mqtt"]), SubscribeQoS: -1}
	o.Progress = func(bench.Progress) { cancel() }
	if r, err := bench.Run(ctx, o); r != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("report %+v, error %v", r, err)
	}
}

// Scenarios without messages report results after an interruption, too.
func TestInterruptedScenarios(t *testing.T) {
	e := startBroker(t)
	for _, o := range []bench.Options{
		{Scenario: bench.Conns, Clients: 10, Hold: time.Hour},
		{Scenario: bench.Storm, Clients: 10, Rounds: 2, Hold: time.Hour},
		{Scenario: bench.Churn, Clients: 2, Duration: time.Hour},
	} {
		t.Run(string(o.Scenario), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o.URL, o.SubscribeQoS = brokerURL(t, e.urls["mqtt"]), -1
			o.Progress = func(bench.Progress) { cancel() }
			r, err := bench.Run(ctx, o)
			if r == nil || !r.Interrupted || !errors.Is(err, bench.ErrInterrupted) {
				t.Fatalf("report %+v, error %v", r, err)
			}
			if r.Failures(true) != nil || r.Connections.Opened < uint64(o.Clients) {
				t.Errorf("failures %q, connections %+v", r.Failures(true), r.Connections)
			}
			if o.Scenario == bench.Storm && len(r.Rounds) != 1 || o.Scenario == bench.Churn && r.Cycles == 0 {
				t.Errorf("rounds %v, %v cycles a second", r.Rounds, r.Cycles)
			}
		})
	}
}

// Clients dropped by the broker reconnect, and the report has the time.
func TestStormOfTheDropped(t *testing.T) {
	const clients = 20
	f := &faulty{}
	o := bench.Options{
		Scenario: bench.Storm, Clients: clients, Dropped: true, Retry: 10 * time.Millisecond, Version: 4, SubscribeQoS: -1,
		URL: brokerURL(t, f.start(t)),
	}
	dropped := false
	o.Progress = func(p bench.Progress) {
		if p.Connected < clients || dropped {
			return
		}
		dropped = true
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, c := range f.conns {
			c.Close()
		}
	}
	r := run(t, o)
	if len(r.Rounds) != 1 || r.Rounds[0] <= 0 || r.All.Count != clients || r.Connections.Lost != clients || r.Failures(true) != nil {
		t.Errorf("rounds %v, everything %+v, connections %+v, failures %q", r.Rounds, r.All, r.Connections, r.Failures(true))
	}
}

// A slow subscriber of tickers gets the newest values, which are not old however slow it is, and the others get
// everything. The messages of the measured time would fit in the sockets' buffers: the broker did all the skipping.
func TestSlowSubscribersOfTickers(t *testing.T) {
	e := startBroker(t)
	for _, scheme := range []string{"mqtt", "ws", "mqtts"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			r := run(t, bench.Options{
				// No more than slow subscribers cannot take: on a busy machine the others may stand still for a second, and the
				// broker then conflates their messages as well.
				Scenario: bench.Slow, Subscribers: 20, Slow: 5, Topics: 50, Publishers: 2, Rate: 200, SubscribeQoS: -1,
				URL: brokerURL(t, e.urls[scheme]), TLS: e.tls, Duration: 4 * time.Second, Warmup: measureTime, PID: os.Getpid(),
			})
			if failures := r.Failures(true); failures != nil || r.Notes != nil {
				t.Errorf("failures %q, notes %q", failures, r.Notes)
			}
			m, s := r.Messages, r.Slow
			if m.Received == 0 || m.Received != m.Expected || m.Expected != 15*m.Sent || m.Foreign > 0 {
				t.Errorf("messages %+v", *m)
			}
			if s.Subscribers != 5 || s.Received == 0 || s.Skipped == 0 {
				t.Errorf("slow %+v", *s)
			}
			const old = 30 * time.Second // on a machine with other load, too
			if s.Age == nil || s.Calm == nil || s.Age.P50 > float64(old.Microseconds()) {
				t.Errorf("age %+v, before %+v", s.Age, s.Calm)
			}
			if grown := r.Process.Peak - min(r.Process.Peak, s.Memory); grown > 128<<20 {
				t.Errorf("%d bytes more with slow subscribers than without", grown)
			}
		})
	}
}

func TestSlowSubscribersAreBounded(t *testing.T) {
	e := startBroker(t)
	_, err := bench.Run(t.Context(), bench.Options{
		Scenario: bench.Slow, Subscribers: 10, Slow: 11, SubscribeQoS: -1, URL: brokerURL(t, e.urls["mqtt"]),
	})
	if err == nil || err.Error() != "slow subscribers 11: want 0 to 10" {
		t.Errorf("error %v", err)
	}
}
