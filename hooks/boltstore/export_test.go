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
