package broker

import (
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/broker/guard"
)

// limit is a limit that holds clients up.
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
	limitKinds
)

var limitLabels = [limitKinds]string{
	"none", "connections", "address_connections", "address_half_open", "address_connect_rate", "address_message_rate",
	"address_byte_rate", "failed_logins", "user_connections", "reconnects", "message_rate", "byte_rate",
}

// limitOf are the limits of the guard.
var limitOf = [...]limit{
	guard.None: limitNone, guard.AddressConnections: limitAddress, guard.AddressHalfOpen: limitHalfOpen,
	guard.AddressRate: limitAddressRate, guard.AddressMessages: limitAddressMessages, guard.AddressBytes: limitAddressBytes,
	guard.FailedLogins: limitLogins, guard.UserConnections: limitUser, guard.Reconnects: limitReconnects,
}

var (
	refusedForLogins = &Refusal{
		Code: CodeConnectionRate, Reason: "too many failed logins from this address; come back later", Label: "backed_off",
	}
	refusedForReturns = &Refusal{
		Code: CodeConnectionRate, Reason: "this client identifier connects too often; wait before coming back", Label: "reconnects",
	}
	refusedForUser = &Refusal{
		Code: CodeQuotaExceeded, Reason: "this user has as many connections as a user may have", Label: "user_connections",
	}
)

// limitLogEvery is how often it is logged that a limit was reached.
const limitLogEvery = 10 * time.Second

// limiting counts what limits did.
type limiting struct {
	counts [limitKinds]atomic.Uint64
	logged [limitKinds]struct {
		next  atomic.Int64  // when it may be logged again, in Unix nanoseconds
		count atomic.Uint64 // up to when it was logged last
	}
}

// limited counts that a limit held a client up, and logs the first of them, and of those that come in the next while.
func (b *Broker) limited(l limit, remote, client string) {
	n := b.limiting.counts[l].Add(1)
	if times := b.limiting.due(l, n, time.Now()); times > 0 {
		b.log.Warn("limit reached", "limit", limitLabels[l], "times", times, "remote", remote, "client", client)
	}
}

// due returns how often a limit was reached since that was logged last, or 0 if it need not be logged yet.
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

// limit tells why a client that may come in has to come back later. What it counts is taken back when the connection is
// closed.
func (k *connecting) limit(s *shard, old *session) *Refusal {
	b, c := s.b, k.c
	if reached := b.guard.Return(k.client.ID, c.remote, s.now); reached != guard.None {
		b.limited(limitOf[reached], c.remote, k.client.ID)
		return refusedForReturns
	}
	instead := 0
	if old != nil && old.conn != nil {
		instead = 1
	}
	var reached guard.Limit
	if c.countedUser, reached = b.guard.Enter(k.client.Identity.User, instead); reached != guard.None {
		b.limited(limitOf[reached], c.remote, k.client.ID)
		return refusedForUser
	}
	return nil
}
