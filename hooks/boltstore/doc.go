// Package boltstore is the broker's store in one bbolt file: durable changes are written in groups, synced, and then
// acknowledged.
//
// It never reports a change as committed that a crash could still lose. It refuses a damaged file, or one of a newer
// format, with an error that gives the remedy.
package boltstore
