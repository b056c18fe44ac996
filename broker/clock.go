package broker

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// clock has two times. now is the time since the broker was made, and never jumps. stamp is the store's time for deadlines:
// milliseconds that continue over restarts. It starts as Unix time and then runs on its own, so a jump of the system clock moves no
// deadline, neither while the broker runs nor over a restart. The store notes a pair of stamp and system time. At the next start,
// stamp advances by the system time that has passed since the note, or by nothing if the system clock has gone back.
type clock struct {
	began time.Time
	base  int64        // stamp at began, in milliseconds
	skew  atomic.Int64 // nanoseconds by which tests have advanced the clock
}

// after returns the time d after now; unlimitedTime if that exceeds the clock's range.
func after(now int64, d time.Duration) int64 {
	if now > 0 && d >= unlimitedTime-time.Duration(now) {
		return int64(unlimitedTime)
	}
	return now + int64(d)
}

// now returns nanoseconds on the broker's clock. It is never 0, so 0 can mean never.
func (c *clock) now() int64 { return int64(time.Since(c.began)) + c.skew.Load() + 1 }

// stamp converts a time of now to the store's milliseconds.
func (c *clock) stamp(now int64) int64 {
	if now >= int64(unlimitedTime) {
		return int64(unlimitedTime)
	}
	return c.base + now/int64(time.Millisecond)
}

// wall converts a time of now to the system clock's time.
func (c *clock) wall(now int64) time.Time { return time.Now().Add(time.Duration(now - c.now())) }

// from converts a stamp to a time of now, which may lie before the broker was made.
func (c *clock) from(stamp int64) int64 {
	const most = int64(unlimitedTime / time.Millisecond)
	if stamp >= most { // never expires
		return int64(unlimitedTime)
	}
	return (max(stamp, 0) - c.base) * int64(time.Millisecond)
}

// expiryStamp converts a message's expiry to a stamp. It returns 0 only for a message that does not expire.
func (c *clock) expiryStamp(expires int64) int64 {
	if expires == 0 {
		return 0
	}
	return max(c.stamp(expires), 1)
}

// fromExpiry is the inverse of expiryStamp.
func (c *clock) fromExpiry(stamp int64) int64 {
	if stamp == 0 {
		return 0
	}
	return max(c.from(stamp), 1)
}

const (
	clockCheck = 5 * time.Second
	clockJump  = time.Second // drift of the system clock after which the note is written again
)

// restoreClock sets the stamp from the store's last note.
func (b *Broker) restoreClock() error {
	wall := b.options.wallClock().UnixMilli()
	b.clock.base = wall
	if b.store == nil {
		return nil
	}
	err := b.store.Load(storage.SpaceNotes, func(key string, value []byte) error {
		if key != storage.ClockKey {
			return nil
		}
		var noted storage.Clock
		if err := noted.Parse(key, value); err != nil {
			return err
		}
		if wall < noted.Wall {
			b.log.Warn("the system clock was set back while the broker was down; the downtime does not count towards expiry",
				"by", time.Duration(noted.Wall-wall)*time.Millisecond)
		}
		b.clock.base = min(noted.Stamp+max(wall-noted.Wall, 0), storage.LatestStamp)
		return nil
	})
	if err != nil {
		return fmt.Errorf("restore the clock: %w", err)
	}
	b.noteClock(wall)
	return nil
}

func (b *Broker) noteClock(wall int64) {
	r := storage.Clock{Stamp: b.clock.stamp(b.clock.now()), Wall: wall}
	b.store.Commit([]storage.Op{{Space: storage.SpaceNotes, Key: r.Key(), Value: r.Append(nil)}}, func(error) {})
}

// watchClock writes the note when the system clock jumps. It checks every clockCheck until ctx ends, and then once more.
func (b *Broker) watchClock(ctx context.Context) {
	if b.store == nil {
		return
	}
	t := time.NewTicker(clockCheck)
	defer t.Stop()
	offset := b.clockOffset()
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-t.C:
		}
		if now := b.clockOffset(); max(now-offset, offset-now) > clockJump.Milliseconds() {
			offset = now
			b.noteClock(b.options.wallClock().UnixMilli())
		}
	}
}

// clockOffset returns the difference between the system clock and the stamp, in milliseconds.
func (b *Broker) clockOffset() int64 {
	return b.options.wallClock().UnixMilli() - b.clock.stamp(b.clock.now())
}
