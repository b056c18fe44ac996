package broker

import "sync/atomic"

// account counts the waiting messages of all sessions, within Limits.MaxQueuedMessagesTotal and MaxQueuedBytesTotal.
//
// When the account is full, room for a new message comes from the longest queue, not from the message's own. Queues are compared by
// ranking; each shard ranks its own sessions and asks another shard by a post to make room. The last sixteenth of the limit is
// reserved for sessions with short queues, and for messages that arrive until another shard has made room. If a sixteenth is less
// than 64 messages or 64 KiB, that much may arrive instead.
//
// QoS 0 messages that wait for a socket or for a maximum rate are counted apart. They are worth less: thousands of slow dashboards
// must not take the room of acknowledged messages.
type account struct {
	messages, bytes atomic.Int64 // QoS 1 and 2: queued messages, and in-flight messages that are kept for retransmission
	parked          atomic.Int64 // bytes of waiting QoS 0 messages, within Limits.MaxParkedBytesTotal

	// Static after construction.
	most   amount // the limit
	share  amount // part of the limit that is open to sessions with long queues
	until  amount // limit while another shard makes room
	unit   int64  // least number of bytes that a message counts for when queues are compared
	little int64  // bytes; a shorter queue never gives way
	ahead  amount // most that a shard may leave out of the account until the end of its turn
}

// waitingShare is a shard's part in the account.
type waitingShare struct {
	unentered amount  // messages not entered in the account yet
	ranking   ranking // the shard's sessions by queue length
}

// amount is a number of messages and their bytes.
type amount struct{ messages, bytes int64 }

const (
	spareShare  = 16      // one part in 16 of the limit is reserved for sessions with short queues
	littleBytes = 4 << 10 // bytes; a shorter queue never gives way, unless the limit is very small
	mostUnit    = 1 << 20
	// Messages and bytes that may arrive until another shard has made room, if a sixteenth of the limit is less.
	aheadMessages, aheadBytes = 64, 64 << 10
)

func (a *account) init(l *Limits) {
	a.most = amount{int64(l.MaxQueuedMessagesTotal), int64(l.MaxQueuedBytesTotal)}
	a.share = amount{a.most.messages - a.most.messages/spareShare, a.most.bytes - a.most.bytes/spareShare}
	a.until = amount{max(a.most.messages, a.share.messages+aheadMessages), max(a.most.bytes, a.share.bytes+aheadBytes)}
	a.unit = min(a.most.bytes/max(a.most.messages, 1), mostUnit)
	a.ahead = amount{min(aheadMessages, a.most.messages/(16*spareShare)), min(aheadBytes, a.most.bytes/(16*spareShare))}
	a.little = min(littleBytes, a.most.bytes/(16*spareShare))
}

// countWaiting counts messages that begin to wait; negative numbers count messages that stop waiting. A shard enters them in the
// account at the end of its turn, or earlier when they exceed account.ahead. An atomic write for every message would make shards
// wait for each other's caches.
func (s *shard) countWaiting(messages, bytes int) {
	u, a := &s.waits.unentered, &s.b.account
	u.messages += int64(messages)
	u.bytes += int64(bytes)
	if max(u.messages, -u.messages) > a.ahead.messages || max(u.bytes, -u.bytes) > a.ahead.bytes {
		s.enterWaiting()
	}
}

// enterWaiting adds the shard's uncounted messages to the account.
func (s *shard) enterWaiting() {
	if u := &s.waits.unentered; *u != (amount{}) {
		s.b.account.messages.Add(u.messages)
		s.b.account.bytes.Add(u.bytes)
		*u = amount{}
	}
}

// fits reports whether a message of n bytes is within a limit of the account.
func (s *shard) fits(n int, limit *amount) bool {
	a, u := &s.b.account, &s.waits.unentered
	return a.messages.Load()+u.messages < limit.messages && a.bytes.Load()+u.bytes+int64(n) <= limit.bytes
}

// countBlocked counts bytes of QoS 0 messages that begin to wait; a negative number counts bytes that stop waiting.
func (s *shard) countBlocked(bytes int) {
	s.stats.parkedBytes += int64(bytes)
	s.b.account.parked.Add(int64(bytes))
}

// parkedFloor is the limit in bytes of a client's waiting QoS 0 messages while the total limit is exceeded.
const parkedFloor = 16 << 10

// blockedRoom returns the bytes of QoS 0 messages that may wait for a client with a limit of most.
func (s *shard) blockedRoom(most int) int {
	if s.b.account.parked.Load() < int64(s.b.limits.MaxParkedBytesTotal) {
		return most
	}
	return min(most, parkedFloor)
}

// makeWay makes room in the account for a message of n bytes to a session of this shard, at the cost of longer queues. It returns
// false if no queue is longer than the session's own.
func (s *shard) makeWay(ss *session, n int) bool {
	a := &s.b.account
	for !s.fits(n, &a.share) {
		mine, longest := ss.rank(), s.waits.ranking.longest()
		other := s.b.longestElsewhere(s)
		switch {
		case longest > mine && (other == nil || longest >= other.waits.ranking.top.Load()):
			s.waits.ranking.first().giveWay()
		case other != nil && other.waits.ranking.top.Load() > mine:
			if other.makeRoom(); s.fits(n, &a.until) {
				return true
			}
			if longest <= mine {
				return false
			}
			s.waits.ranking.first().giveWay()
		default:
			return mine == 0 && s.fits(n, &a.most)
		}
	}
	return true
}
