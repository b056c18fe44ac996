package boltstore

import "errors"

// Errors of Open and Load.
var (
	// ErrInUse means that another process, or another Store of this one, has the file open.
	ErrInUse = errors.New("in use by another process; stop it, or choose another path")

	// ErrDamaged means that the file cannot be read. Nothing was changed in it.
	ErrDamaged = errors.New("damaged; restore the file from a backup, or move it away to start with an empty store")

	// ErrForeign means that the file is a bbolt file of some other program.
	ErrForeign = errors.New("not a store of Outcry; choose another path, or move the file away")

	// ErrEmpty means that nothing was ever written to the file: a process made it and ended.
	ErrEmpty = errors.New("empty; the broker makes a store of it when it starts")

	// ErrNewer means that a newer Outcry wrote the file.
	ErrNewer = errors.New("written by a newer Outcry; run that one, or move the file away to start with an empty store")
)

var (
	errNoPath     = errors.New("no path is given")
	errNotRegular = errors.New("not a regular file")
)

// Errors of a Store that is open.
var (
	// ErrClosed is what Commit's done is told after Close.
	ErrClosed = errors.New("store closed")

	// ErrFull is what Commit's done is told while too much waits for the disk already (Options.MaxPendingBytes).
	ErrFull = errors.New("store full: too much waits for the disk")
)
