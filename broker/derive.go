package broker

import (
	"math"
	"runtime/debug"
)

// Limits derived from the memory limit (see Limits). A session with its connection takes 1 to 2 KiB.
const (
	sessionMemory      = 2 << 10
	leastSessions      = 1000
	subscriptionMemory = 512
	leastSubscriptions = 20000
	subscriptionsShare = 4 // one part in 4 of the memory is for subscriptions
	leastSubBytes      = 16 << 20
	sessionSubsShare   = 8 // one part in 8 of that is for a session's subscriptions
	leastSessionSubs   = 4 << 20
	mostSessionSubs    = 64 << 20
	topicCacheShare    = 32 // one part in 32 of the memory is for cached topics
	leastTopicCache    = 16 << 20
	mostTopicCache     = 256 << 20 // a million topics, with or without a memory limit
)

// deriveDefaults sets the limits that depend on the memory limit. Without a memory limit, those for sessions and subscriptions are
// unlimited.
func (l *Limits) deriveDefaults() {
	if l.Memory == 0 {
		l.Memory = debug.SetMemoryLimit(-1)
	}
	m := l.Memory
	derive(&l.MaxSessions, m, max(m/sessionMemory, leastSessions))
	derive(&l.MaxSubscriptionsTotal, m, max(m/subscriptionMemory, leastSubscriptions))
	derive(&l.MaxSubscriptionBytesTotal, m, max(m/subscriptionsShare, leastSubBytes))
	derive(&l.MaxTopicCacheBytes, 0, min(max(m/topicCacheShare, leastTopicCache), mostTopicCache))
	derive(&l.MaxSessionsPerUser, 0, mostOfUser(l.MaxSessions))
	derive(&l.MaxSubscriptionsPerUser, 0, mostOfUser(l.MaxSubscriptionsTotal))
	derive(&l.MaxSubscriptionBytesPerUser, 0, mostOfUser(l.MaxSubscriptionBytesTotal))
	most := l.MaxSubscriptionBytesTotal
	if most < unlimited {
		most = min(max(most/sessionSubsShare, leastSessionSubs), mostSessionSubs)
	}
	derive(&l.MaxSubscriptionBytes, 0, int64(most))
	l.MaxSubscriptionBytes = min(l.MaxSubscriptionBytes, math.MaxInt32) // a session counts its bytes in 32 bits
}

// mostOfUser returns three quarters of a limit, which leaves a quarter to other users.
func mostOfUser(all int) int64 {
	if all == unlimited {
		return int64(unlimited)
	}
	return int64(max(all-all/4, 1))
}

// derive sets a field that is zero to fallback, or to no limit if memory is unlimited. A negative field becomes no limit.
func derive(field *int, memory, fallback int64) {
	switch {
	case *field < 0, *field == 0 && memory == math.MaxInt64:
		*field = unlimited
	case *field == 0:
		*field = int(min(fallback, int64(unlimited)))
	}
}
