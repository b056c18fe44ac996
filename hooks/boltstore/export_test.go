package boltstore

import (
	"testing"
	"time"
)

// SetStallTime changes, for the length of a test, how long the disk may take over a transaction.
func SetStallTime(tb testing.TB, d time.Duration) {
	old := stallTime
	stallTime = d
	tb.Cleanup(func() { stallTime = old })
}

// SetRoom makes every folder have so much room, for the length of a test.
func SetRoom(tb testing.TB, bytes int64) {
	old := roomIn
	roomIn = func(string) (int64, bool) { return bytes, true }
	tb.Cleanup(func() { roomIn = old })
}

// SetMapBytes changes, for the length of a test, how much of a file is mapped at least when it is opened.
func SetMapBytes(tb testing.TB, bytes int) {
	old := mapBytes
	mapBytes = bytes
	tb.Cleanup(func() { mapBytes = old })
}
