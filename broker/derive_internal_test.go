package broker

import (
	"math"
	"testing"
)

// TestLimitsFollowTheMemory has the limits of a small container and of a large machine let in those who belong there.
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
