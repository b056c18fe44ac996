package bench_test

import (
	"os"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
)

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
