package broker

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// TestLoadsWithoutSubscribers has a broker's averages follow what happens while nobody looks at them.
func TestLoadsWithoutSubscribers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(Options{Shards: 1})
		if err != nil {
			t.Fatal(err)
		}
		run := func(d time.Duration, each func()) { // for so long, calling each once a second
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { b.sys.run(ctx); close(ended) }()
			for range d / time.Second {
				time.Sleep(time.Second)
				b.life.mu.Lock() // nobody else touches the counters but Stats: the broker does not run
				each()
				b.life.mu.Unlock()
			}
			time.Sleep(time.Millisecond)
			cancel()
			<-ended
		}
		const bytes = 4 // of loadNames
		near := func(when string, want ...float64) {
			t.Helper()
			for i, w := range want {
				if got := b.sys.loads.rates[bytes][i]; math.Abs(got-w) > 12 { // a tick comes before or after what happens in its second
					t.Errorf("%s: bytes%s is %.1f, want %.1f", when, loadWords[i], got, w)
				}
			}
		}
		run(30*time.Minute, func() { b.shards[0].stats.bytesReceived += 10 })
		near("after 30 minutes of 600 a minute", 600, 600*(1-math.Exp(-6)), 600*(1-math.Exp(-2)))
		run(5*time.Minute, func() {})
		near("after 5 minutes of silence", 600*math.Exp(-5), 600*math.Exp(-1), 600*(1-math.Exp(-2))*math.Exp(-1./3))
		b.shards[0].close()
	})
}
