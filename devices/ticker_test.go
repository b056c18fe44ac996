package devices_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/devices"
)

func TestTickerKeepsItsRateAndRetainsEachSymbol(t *testing.T) {
	broker := startBroker(t)
	w := subscribe(t, broker, "ticker/+")
	f, err := devices.NewTicker(devices.TickerOptions{Options: devices.Options{Broker: broker}, Symbols: 300, Rate: 1000, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	stop := run(t, f)
	eventually(t, "two seconds' worth", func() bool { return f.Stats().Published >= 2000 })
	if took := time.Since(start); took < 1800*time.Millisecond {
		t.Errorf("2,000 updates at 1,000 a second took only %v", took)
	}
	stop()

	published := int(f.Stats().Published)
	eventually(t, "all updates arrive", func() bool { return len(w.messages()) == published })
	for _, m := range w.messages() {
		checkQuote(t, m.payload, start)
	}
	late := subscribe(t, broker, "ticker/#")
	for _, s := range f.Symbols() {
		eventually(t, s+" is retained", func() bool { return late.payload("ticker/"+s) != "" })
	}
	if n := late.topics(); n != 300 {
		t.Errorf("%d topics, want 300", n)
	}
	if s := f.Stats(); s.Connected != 0 || s.Connects != 1 || s.Errors != 0 {
		t.Errorf("stats after a quiet run: %+v", s)
	}
}

func checkQuote(t *testing.T, payload []byte, since time.Time) {
	t.Helper()
	var q struct {
		P float64
		T int64
	}
	if err := json.Unmarshal(payload, &q); err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	if q.P <= 0 || q.P > 10_000 {
		t.Errorf("%s: not a plausible price", payload)
	}
	if at := time.UnixMilli(q.T); at.Before(since.Truncate(time.Millisecond)) || at.After(time.Now()) {
		t.Errorf("%s: not the time it was sent", payload)
	}
}

func TestTickerComesBackWithAFreshToken(t *testing.T) {
	line := newTestProxy(t, startBroker(t))
	var asked atomic.Int64
	f, err := devices.NewTicker(devices.TickerOptions{
		Options: devices.Options{Broker: line.url, Token: func(user string) string {
			if user != "ticker" {
				t.Errorf("asked for the token of %q", user)
			}
			asked.Add(1)
			return "secret"
		}},
		Symbols: 10, Rate: 500,
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, f)
	eventually(t, "prices", func() bool { return f.Stats().Published > 50 })
	line.cut()
	eventually(t, "the loss is noticed", func() bool { s := f.Stats(); return s.Connected == 0 && s.Missed > 0 })
	line.restore()
	before := f.Stats().Published
	eventually(t, "prices again", func() bool { return f.Stats().Published > before+50 })
	if n := asked.Load(); n < 2 {
		t.Errorf("token asked %d times, want one for each connection", n)
	}
	if s := f.Stats(); s.Connects != 2 || s.Connected != 1 {
		t.Errorf("stats after coming back: %+v", s)
	}
}

func TestRunEndsWhileTheBrokerIsAway(t *testing.T) {
	line := newTestProxy(t, "mqtt://127.0.0.1:1")
	line.cut()
	f, err := devices.NewTicker(devices.TickerOptions{Options: devices.Options{Broker: line.url}})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, f)
	eventually(t, "two attempts", func() bool { return f.Stats().Errors >= 2 })
	stop()
}

func TestSymbols(t *testing.T) {
	list := devices.Symbols(5000, 1)
	seen := map[string]bool{}
	shape := regexp.MustCompile(`^[A-Z]{3,5}$`)
	for _, s := range list {
		if seen[s] || !shape.MatchString(s) {
			t.Errorf("symbol %q comes twice or is not three to five letters", s)
		}
		seen[s] = true
	}
	if list[0] != "ACME" || len(list) != 5000 {
		t.Errorf("%d symbols, the first %q", len(list), list[0])
	}
	if !slices.Equal(devices.Symbols(500, 1), list[:500]) {
		t.Error("the same seed gave other symbols")
	}
	if slices.Equal(devices.Symbols(500, 2), list[:500]) {
		t.Error("another seed gave the same symbols")
	}
	if n := len(devices.Symbols(20_000, 3)); n != 20_000 {
		t.Errorf("%d symbols, want 20,000", n)
	}
}
