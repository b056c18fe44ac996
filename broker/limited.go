package broker

import (
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/broker/guard"
)

// limit is a limit that refuses or slows down clients.
type limit uint8

const (
	limitNone limit = iota
	limitConnections
	limitAddress
	limitHalfOpen
	limitAddressRate
	limitAddressMessages
	limitAddressBytes
	limitLogins
	limitUser
	limitReconnects
	limitMessages
	limitBytes
	limitSessions
	limitUserSessions
	limitSubscriptions
	limitUserSubscriptions
	limitSessionSubscriptions
	limitKinds
)

var limitLabels = [limitKinds]string{
	"none", "connections", "address_connections", "address_half_open", "address_connect_rate", "address_message_rate",
	"address_byte_rate", "failed_logins", "user_connections", "reconnects", "message_rate", "byte_rate",
	"sessions", "user_sessions", "subscriptions", "user_subscriptions", "session_subscriptions",
}

var limitOf = [...]limit{
	guard.None: limitNone, guard.AddressConnections: limitAddress, guard.AddressHalfOpen: limitHalfOpen,
	guard.AddressRate: limitAddressRate, guard.AddressMessages: limitAddressMessages, guard.AddressBytes: limitAddressBytes,
	guard.FailedLogins: limitLogins, guard.UserConnections: limitUser, guard.Reconnects: limitReconnects,
}

var (
	refusedForLogins = &Refusal{
		Code: CodeConnectionRate, Reason: "too many failed logins; try again later", Label: "backed_off",
	}
	refusedForReturns = &Refusal{
		Code: CodeConnectionRate, Reason: "this client identifier connects too often; wait before reconnecting", Label: "reconnects",
	}
	refusedForUser = &Refusal{
		Code: CodeQuotaExceeded, Reason: "this user has the maximum number of connections", Label: "user_connections",
	}
	refusedForSessions = &Refusal{
		Code: CodeQuotaExceeded, Reason: "the broker has the maximum number of sessions", Label: "sessions",
		hint: "raise limits.max_sessions, or end sessions of disconnected clients with outcry store drop-session; otherwise they end after their session expiry",
	}
	refusedForWills = &Refusal{
		Code: CodeQuotaExceeded, Reason: "the wills and subscriptions of this user, or of all users, take the maximum number of bytes", Label: "wills",
		hint: "only wills above 1 KiB count; the limit is a quarter of limits.memory, three quarters of that for one user",
	}
	refusedForUserSessions = &Refusal{
		Code: CodeQuotaExceeded, Reason: "this user has the maximum number of sessions", Label: "user_sessions",
		hint: "raise limits.max_sessions_per_user, or end sessions of disconnected clients with outcry store drop-session, or all of the user's with outcry deny; otherwise they end after their session expiry",
	}
)

// limitLogEvery is the least time between two log lines about a limit.
const limitLogEvery = 10 * time.Second

// limiting counts how often each limit was reached.
type limiting struct {
	counts [limitKinds]atomic.Uint64
	logged [limitKinds]struct {
		next  atomic.Int64  // earliest time of the next log line, in Unix nanoseconds
		count atomic.Uint64 // count at the last log line
	}
}

// limited counts that a limit refused or slowed down a client. It logs the first time at once, and later times together, once per
// limitLogEvery.
func (b *Broker) limited(l limit, remote, client string) {
	n := b.limiting.counts[l].Add(1)
	if times := b.limiting.due(l, n, time.Now()); times > 0 {
		b.log.Warn("limit reached", "limit", limitLabels[l], "times", times, "remote", remote, "client", shown(client))
	}
}

// limitedConnect counts that a limit refused a CONNECT, which is logged as a refusal.
func (b *Broker) limitedConnect(l limit) { b.limiting.counts[l].Add(1) }

// due returns how often a limit was reached since the last log line; 0: no line is due yet.
func (t *limiting) due(l limit, n uint64, now time.Time) uint64 {
	last := &t.logged[l]
	next := last.next.Load()
	if now.UnixNano() < next || !last.next.CompareAndSwap(next, now.Add(limitLogEvery).UnixNano()) {
		return 0
	}
	return n - min(n, last.count.Swap(n))
}

func (t *limiting) add(out *Stats) {
	for l := limitNone + 1; l < limitKinds; l++ {
		out.Limited[limitLabels[l]] = t.counts[l].Load()
	}
}

// limit returns the refusal of an admitted client because of a limit; nil: none. The client's counts are undone when the connection
// is closed.
func (k *connecting) limit(s *shard, old *session) *Refusal {
	b, c := s.b, k.c
	if reached := b.guard.Return(k.client.ID, c.remote, s.now); reached != guard.None {
		b.limitedConnect(limitOf[reached])
		return refusedForReturns
	}
	instead := 0
	if old != nil && old.conn != nil && old.usage.user == k.client.Identity.User {
		instead = 1
	}
	var reached guard.Limit
	if c.identity.counted, reached = b.guard.Enter(k.client.Identity.User, instead); reached != guard.None {
		b.limitedConnect(limitOf[reached])
		return refusedForUser
	}
	if refusal := k.limitWill(b, old); refusal != nil {
		return refusal
	}
	return k.limitSessions(b, old)
}

// limitWill returns the refusal of a client whose will takes more memory than is left; nil: none.
func (k *connecting) limitWill(b *Broker, old *session) *Refusal {
	w := k.packet.Will
	if w == nil {
		return nil
	}
	bytes := willCost(len(w.Topic), len(w.Payload), len(w.Props))
	if old != nil && old.usage.user == k.client.Identity.User {
		bytes -= old.will.cost()
	}
	if bytes <= 0 {
		return nil
	}
	reached := b.usages.hasRoomForWill(k.client.Identity.User, bytes)
	if reached == limitNone {
		return nil
	}
	b.limitedConnect(reached)
	return refusedForWills
}

// limitSessions returns the refusal of a client that needs a new session and may not have one; nil: none.
func (k *connecting) limitSessions(b *Broker, old *session) *Refusal {
	user := k.client.Identity.User
	if old != nil && old.usage.user == user {
		return nil
	}
	usage, reached := b.usages.tryJoin(user)
	switch k.usage = usage; reached {
	case limitNone:
		return nil
	case limitUserSessions:
		b.limitedConnect(reached)
		return refusedForUserSessions
	}
	b.limitedConnect(reached)
	return refusedForSessions
}
