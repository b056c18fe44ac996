package boltstore

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/outcry-mqtt/outcry/broker/storage"
)

// Errors of Open and Load.
var (
	// ErrInUse means that another process, or another Store of this one, has the file open.
	ErrInUse = errors.New("in use by another process; stop it, or choose another path")

	// ErrDamaged means that the file cannot be read. Nothing was changed in it.
	ErrDamaged = errors.New("damaged; restore the file from a backup, or move it away to start with an empty store")

	// ErrForeign means that the file is a bbolt file of some other program.
	ErrForeign = errors.New("not a store of Outcry; choose another path, or move the file away")

	// ErrEmpty means that the file is empty: a process created it and ended.
	ErrEmpty = errors.New("empty; start the broker to create a store in it")

	// ErrNewer means that a newer Outcry wrote the file.
	ErrNewer = errors.New("written by a newer Outcry; run that one, or move the file away to start with an empty store")
)

var (
	errNoPath     = errors.New("no path is given")
	errNoRoom     = fmt.Errorf("the file has not enough free pages, and cannot grow: %w", syscall.ENOSPC)
	errNotRegular = errors.New("not a regular file")
)

// Errors of a Store that is open.
var (
	// ErrClosed is passed to Commit's done after Close.
	ErrClosed = errors.New("store closed")

	// ErrFull is passed to Commit's done while too many bytes are queued (Options.MaxPendingBytes).
	ErrFull = storage.ErrFull
)
