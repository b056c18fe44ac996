package broker

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/outcry-mqtt/outcry/broker/topic"
)

// usage counts the sessions of one user, their subscriptions and the bytes of these and of long wills. All anonymous clients are one user.
// Sessions on all shards share it. It is dropped with the user's last session.
type usage struct {
	user          string       // static
	sessions      atomic.Int64 // changed with the stripe's mu held
	subscriptions atomic.Int64
	bytes         atomic.Int64 // see subscriptionCost and willCost
}

// usages finds the usage of users, and holds the totals.
type usages struct {
	limits  atomic.Pointer[Limits]
	stripes [usageStripes]usageStripe

	users, sessions, subscriptions, bytes atomic.Int64
}

const usageStripes = 64 // so that shards do not wait for each other

type usageStripe struct {
	mu    sync.Mutex // guards users and their session counts; held for a map access only
	users map[string]*usage
}

var userSeed = maphash.MakeSeed()

func (a *usages) stripe(user string) *usageStripe {
	return &a.stripes[maphash.String(userSeed, user)%usageStripes]
}

// join counts a session of a user, without checking the limits.
func (a *usages) join(user string) *usage {
	t := a.stripe(user)
	t.mu.Lock()
	defer t.mu.Unlock()
	a.sessions.Add(1)
	return a.add(t, user)
}

// tryJoin counts a session of a user if the limits allow it. Otherwise it returns nil and the limit that was reached.
func (a *usages) tryJoin(user string) (*usage, limit) {
	l := a.limits.Load()
	t := a.stripe(user)
	t.mu.Lock()
	defer t.mu.Unlock()
	if u := t.users[user]; u != nil && u.sessions.Load() >= int64(l.MaxSessionsPerUser) {
		return nil, limitUserSessions
	}
	if a.sessions.Add(1) > int64(l.MaxSessions) {
		a.sessions.Add(-1)
		return nil, limitSessions
	}
	return a.add(t, user), limitNone
}

// add counts a session of a user; the stripe's mu is held.
func (a *usages) add(t *usageStripe, user string) *usage {
	u := t.users[user]
	if u == nil {
		if t.users == nil {
			t.users = make(map[string]*usage)
		}
		u = &usage{user: user}
		t.users[user] = u
		a.users.Add(1)
	}
	u.sessions.Add(1)
	return u
}

// leave reverses join or tryJoin for a session that has ended. Its subscriptions no longer count for its user. In the totals
// they count until they are removed.
func (a *usages) leave(ss *session) {
	u := ss.usage
	u.subscriptions.Add(-int64(ss.subs.len()))
	u.bytes.Add(-int64(ss.subBytes))
	t := a.stripe(u.user)
	t.mu.Lock()
	defer t.mu.Unlock()
	a.sessions.Add(-1)
	if u.sessions.Add(-1) == 0 {
		delete(t.users, u.user)
		a.users.Add(-1)
	}
}

// count adds n subscriptions of the given bytes each; n may be negative.
func (a *usages) count(ss *session, n, bytes int64) {
	if !ss.ended {
		ss.usage.subscriptions.Add(n)
		ss.usage.bytes.Add(n * bytes)
	}
	a.subscriptions.Add(n)
	a.bytes.Add(n * bytes)
	ss.subBytes += uint32(n * bytes)
}

// countBytes adds bytes of the session's will; bytes may be negative.
func (a *usages) countBytes(ss *session, bytes int64) {
	if !ss.ended {
		ss.usage.bytes.Add(bytes)
	}
	a.bytes.Add(bytes)
	ss.subBytes += uint32(bytes)
}

// hasRoomForWill returns the limit of bytes that a user's will would exceed, if any.
func (a *usages) hasRoomForWill(user string, bytes int64) limit {
	l := a.limits.Load()
	if a.bytes.Load()+bytes > int64(l.MaxSubscriptionBytesTotal) {
		return limitSubscriptions
	}
	t := a.stripe(user)
	t.mu.Lock()
	defer t.mu.Unlock()
	if u := t.users[user]; bytes > int64(l.MaxSubscriptionBytesPerUser) || u != nil && u.bytes.Load()+bytes > int64(l.MaxSubscriptionBytesPerUser) {
		return limitUserSubscriptions
	}
	return limitNone
}

// hasRoom returns the limit that n more subscriptions, or more bytes of them, would exceed, if any. n is 0 for a replaced one.
// Shards may call it at the same time, so each may exceed a limit by one subscription.
func (a *usages) hasRoom(ss *session, n, bytes int64) limit {
	l, u := a.limits.Load(), ss.usage
	switch {
	case int64(ss.subBytes)+bytes > int64(l.MaxSubscriptionBytes):
		return limitSessionSubscriptions
	case u.subscriptions.Load()+n > int64(l.MaxSubscriptionsPerUser), u.bytes.Load()+bytes > int64(l.MaxSubscriptionBytesPerUser):
		return limitUserSubscriptions
	case a.subscriptions.Load()+n > int64(l.MaxSubscriptionsTotal), a.bytes.Load()+bytes > int64(l.MaxSubscriptionBytesTotal):
		return limitSubscriptions
	}
	return limitNone
}

// Estimated cost of a subscription in memory and on disk: its record and its filter's; the record of a group or a maximum
// rate; twice the filter's text, because the store writes long keys to separate pages; and the nodes of a filter with many
// levels, of which every second one may be a wildcard.
const (
	subscriptionBytes = 250
	groupBytes        = 1000
	levelBytes        = 80 // of each level above freeLevels
	freeLevels        = 8
)

// subscriptionCost returns the bytes that a subscription counts for. Text is its filter with the $share prefix. isGroup is
// set if it is shared or has a maximum rate.
func subscriptionCost(text string, isGroup bool) int64 {
	cost := subscriptionBytes + 2*len(text) + levelBytes*max(topic.Levels(text)-freeLevels, 0)
	if isGroup {
		cost += groupBytes
	}
	return int64(cost)
}
