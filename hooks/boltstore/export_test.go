package boltstore

import (
	"testing"
	"time"
)

// SetStallTime changes stallTime, the allowed duration of a transaction, for the length of a test.
func SetStallTime(tb testing.TB, d time.Duration) {
	old := stallTime
	stallTime = d
	tb.Cleanup(func() { stallTime = old })
}

// SetRoom sets the space available in every folder, for the length of a test.
func SetRoom(tb testing.TB, bytes int64) {
	old := roomIn
	roomIn = func(string) (int64, bool) { return bytes, true }
	tb.Cleanup(func() { roomIn = old })
}

// SetMapBytes sets the minimum size of the map of an opened file, for the length of a test.
func SetMapBytes(tb testing.TB, bytes int) {
	old := mapBytes
	mapBytes = bytes
	tb.Cleanup(func() { mapBytes = old })
}
