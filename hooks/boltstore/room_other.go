//go:build !linux && !darwin

package boltstore

// freeBytes does not know.
func freeBytes(string) (bytes int64, known bool) { return 0, false }
