package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// clock tells the time in two ways. now is the time since the broker was made: it never jumps. stamp is what the store
// keeps deadlines in: milliseconds that go on over restarts. It begins as Unix time and then goes its own way, so that a
// system clock that jumps while the broker runs, or that has gone back when it starts again, moves no deadline: the
// store remembers which stamp belonged to which system time, and only time that the system clock says has passed since
// then counts for what passed while the broker was down.
type clock struct {
	began time.Time
	base  int64        // stamp at began
	skew  atomic.Int64 // nanoseconds that tests have let pass
}

// now is never 0, so that 0 can mean never.
func (c *clock) now() int64 { return int64(time.Since(c.began)) + c.skew.Load() + 1 }

// stamp is a time of now as the store keeps it.
func (c *clock) stamp(now int64) int64 {
	if now >= int64(unlimitedTime) {
		return int64(unlimitedTime)
	}
	return c.base + now/int64(time.Millisecond)
}

// wall is the system clock's time at a time of now.
func (c *clock) wall(now int64) time.Time { return time.Now().Add(time.Duration(now - c.now())) }

// from is a stamp as a time of now, which may have been before the broker was made.
func (c *clock) from(stamp int64) int64 {
	const most = int64(unlimitedTime / time.Millisecond)
	if stamp >= most { // for ever
		return int64(unlimitedTime)
	}
	return (max(stamp, 0) - c.base) * int64(time.Millisecond)
}

// The note of the clock is two varints: a stamp, and the Unix milliseconds of the system clock at that moment.
const clockNote = "clock"

const (
	clockCheck = 5 * time.Second
	clockJump  = time.Second // how far the system clock may drift away before the note is written anew
)

// restoreClock sets the stamp by what the store noted last.
func (b *Broker) restoreClock() error {
	wall := b.options.wallClock().UnixMilli()
	b.clock.base = wall
	if b.store == nil {
		return nil
	}
	err := b.store.Load(SpaceNotes, func(key string, value []byte) error {
		if key != clockNote {
			return nil
		}
		stamp, n := binary.Varint(value)
		noted, m := binary.Varint(value[max(n, 0):])
		if n <= 0 || m <= 0 {
			return errors.New("the note of the clock is not one")
		}
		if wall < noted {
			b.log.Warn("the system clock has gone back while the broker was down; nothing expires for that time",
				"by", time.Duration(noted-wall)*time.Millisecond)
		}
		b.clock.base = stamp + max(wall-noted, 0)
		return nil
	})
	if err != nil {
		return fmt.Errorf("restore notes: %w", err)
	}
	b.noteClock(wall)
	return nil
}

func (b *Broker) noteClock(wall int64) {
	value := binary.AppendVarint(nil, b.clock.stamp(b.clock.now()))
	value = binary.AppendVarint(value, wall)
	b.store.Commit([]Op{{Space: SpaceNotes, Key: clockNote, Value: value}}, func(error) {})
}

// watchClock notes when the system clock jumps, until ctx ends, and then once more.
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

// clockOffset is how far the system clock is from the stamp, in milliseconds.
func (b *Broker) clockOffset() int64 {
	return b.options.wallClock().UnixMilli() - b.clock.stamp(b.clock.now())
}
