//go:build !linux && !darwin

package boltstore

// freeBytes returns false: the space is unknown on this system.
func freeBytes(string) (bytes int64, known bool) { return 0, false }
