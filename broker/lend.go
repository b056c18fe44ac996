package broker

import (
	"math/bits"
	"time"
)

// A shard that has a little for another one that sleeps does that one's turn itself, on its own thread: a wake-up costs
// more than the few messages that it is for. What takes longer, or comes in larger pieces, wakes the other shard, so that
// both work at the same time.
const (
	lendTime  = 50 * time.Microsecond // that the other shard's last turn of this kind took
	lendBytes = 4 << 10               // of messages
)

// sendSoon leaves a batch that has been posted for the end of the turn, if the other shard's turn may be done here then.
// It tells whether.
func (s *shard) sendSoon(to *shard, bytes int64) bool {
	small := bytes <= lendBytes && to.turnTime.Load() <= int64(lendTime)
	if s.borrowed || !small && !s.host.hosted && len(s.host.guests) == 0 {
		return false
	}
	s.rouse |= 1 << to.index
	return true
}

// rouseOthers has the shards that got something this turn do it: here if they sleep, and by themselves if they do not.
func (s *shard) rouseOthers() {
	for ; s.rouse != 0; s.rouse &= s.rouse - 1 {
		to := s.b.shards[bits.TrailingZeros64(uint64(s.rouse))]
		if !to.turning.TryLock() {
			to.poll.Wake()
			continue
		}
		to.borrow()
		to.turning.Unlock()
	}
}

// borrow is a turn of a shard whose loop sleeps, done by another's. The loop is woken for what that leaves to it.
func (s *shard) borrow() {
	s.borrowed = true
	s.stats.lent++
	s.turn(nil)
	s.borrowed = false
	if len(s.line) > 0 || s.ending || !s.in.empty() || s.dueAt() < s.wakesAt {
		s.poll.Wake()
	}
}
