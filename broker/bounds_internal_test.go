package broker

import (
	"math"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// FuzzMaxRate holds that a client that asks for a rate never gets more than its rule allows.
func FuzzMaxRate(f *testing.F) {
	for _, text := range []string{"1", "1e-9", "1e-10", "1e-300", "0.5", "999", "1000", "0x1p-1074", "NaN", "_1", "+2"} {
		f.Add(text, 2.0)
	}
	f.Fuzz(func(t *testing.T, text string, rule float64) {
		asked, ok := parseRate(text)
		if !ok || !(rule > 0) || math.IsInf(rule, 0) {
			return
		}
		if got, least := interval(lowerRate(asked, rule)), interval(rule); got < least || got > longestPace {
			t.Errorf("asked for %q where the rule allows %v: every %v, want at least %v", text, rule, time.Duration(got), time.Duration(least))
		}
	})
}

func TestTimesSaturate(t *testing.T) {
	year := 365 * 24 * time.Hour
	for _, test := range []struct {
		name      string
		got, want int64
	}{
		{"soon", after(5, 7), 12},
		{"before now", after(5, -7), -2},
		{"as late as possible", after(5, unlimitedTime-6), int64(unlimitedTime) - 1},
		{"one later", after(5, unlimitedTime-4), int64(unlimitedTime)},
		{"never", after(math.MaxInt64, unlimitedTime), int64(unlimitedTime)},
		{"a lifetime of a moment", int64(lifetime(1)), 1},
		{"a lifetime that is over", int64(lifetime(math.MinInt64)), 0},
		{"a lifetime of a second", int64(lifetime(int64(time.Second))), 1},
		{"a lifetime of two centuries", int64(lifetime(int64(200 * year))), math.MaxUint32},
	} {
		if test.got != test.want {
			t.Errorf("%s: %d, want %d", test.name, test.got, test.want)
		}
	}
}

// TestIntervalOfRecord restores a subscription whose maximum rate is lower than one can be.
func TestIntervalOfRecord(t *testing.T) {
	b, err := New(Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	ss := b.shards[0].newSession("a", "")
	ss.restoreSubscription(&storage.Subscription{Filter: "t", Every: math.MaxInt64})
	sub := ss.subs.get(subscriptionKey{filter: "t"})
	if sub == nil || sub.every() != longestPace {
		t.Errorf("the subscription is %+v, want one message every %v", sub, time.Duration(longestPace))
	}
}

// TestLimitsFollowTheMemory has the limits of a small container and of a large machine admit the usual number of clients.
func TestLimitsFollowTheMemory(t *testing.T) {
	for _, tt := range []struct {
		what     string
		memory   int64
		sessions int // that one user must be able to have, each with a subscription of 60 bytes and 5 levels
	}{
		{"a laptop's demo in 512 MiB", 384 << 20, 50_000},
		{"a million devices of one user in 16 GiB", 12 << 30, 1_000_000},
	} {
		l := Limits{Memory: tt.memory}
		l.setDefaults()
		cost := int64(tt.sessions) * subscriptionCost("plants/north/hall-7/devices/0123456789012345678901234/cmd/all", false)
		if l.MaxSessionsPerUser < tt.sessions || l.MaxSubscriptionsPerUser < tt.sessions || int64(l.MaxSubscriptionBytesPerUser) < cost {
			t.Errorf("%s: %+v", tt.what, l)
		}
		if l.MaxSessionsPerUser >= l.MaxSessions || int64(l.MaxSubscriptionBytesTotal) > tt.memory/4 {
			t.Errorf("%s: %+v", tt.what, l)
		}
	}
	none := Limits{Memory: math.MaxInt64}
	none.setDefaults()
	if none.MaxSessions != unlimited || none.MaxSessionsPerUser != unlimited || none.MaxSubscriptionBytesTotal != unlimited {
		t.Errorf("without a memory limit: %+v", none)
	}
}
