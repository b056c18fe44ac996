//go:build !linux

package boltstore

import "os"

// allocate allocates disk space for a part of the file, and extends it if necessary.
func allocate(f *os.File, from, to int64) error { return fill(f, from, to) }

// isWhole returns false: holes are unknown on this system.
func isWhole(*os.File) bool { return false }
