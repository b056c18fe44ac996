package storage

import (
	"encoding/binary"
	"errors"
)

// Clock pairs a stamp of the broker's clock with the system time at that moment. Stamps are milliseconds. They begin as Unix time and
// continue over restarts, independently of the system clock.
type Clock struct {
	Stamp int64
	Wall  int64 // Unix milliseconds
}

// ClockKey is the clock's key among the notes.
const ClockKey = "clock"

// LatestStamp is the last moment of the clock, as Unix time the year 2248: differences of stamps fit an int64 of nanoseconds.
const LatestStamp = 1 << 43

var errClock = errors.New("malformed clock record")

// Key is the clock's key.
func (c *Clock) Key() string { return ClockKey }

// Append adds the clock's value to b: two varints.
func (c *Clock) Append(b []byte) []byte {
	return binary.AppendVarint(binary.AppendVarint(b, c.Stamp), c.Wall)
}

// Parse reads a clock.
func (c *Clock) Parse(_ string, value []byte) error {
	r := reader{rest: value}
	*c = Clock{Stamp: r.varint(), Wall: r.varint()}
	if r.err != nil || c.Stamp < 0 || c.Stamp > LatestStamp || c.Wall < 0 || c.Wall > LatestStamp {
		return errClock
	}
	return nil
}
