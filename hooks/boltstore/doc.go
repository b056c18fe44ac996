// Package boltstore is the broker's store in one bbolt file: what must outlive the process is written in groups, synced,
// and only then acknowledged.
//
// It never reports a change as committed that a crash could still lose, and it never guesses at a file that it cannot
// read: a damaged file, or one of a newer format, is refused with an error that says what to do.
package boltstore
