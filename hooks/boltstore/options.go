package boltstore

import (
	"cmp"
	"log/slog"
	"time"
)

// Defaults of Options.
const (
	DefaultCommitInterval  = 200 * time.Microsecond
	DefaultWindow          = time.Second
	DefaultMaxOps          = 1000
	DefaultMaxPendingBytes = 64 << 20
)

// Options configure a Store. Only Path is required.
type Options struct {
	// Path is the file. It is created with mode 0600, and its folder with mode 0700, if missing.
	Path string

	// CommitInterval is the wait of the first Commit for others to share its sync. 0: DefaultCommitInterval;
	// negative: none, so that only commits that arrive during a sync share the next one.
	CommitInterval time.Duration

	// Window bounds the delay of Later's ops, and so their loss in a crash. 0: DefaultWindow; negative: written at
	// once, but not awaited.
	Window time.Duration

	// MaxOps ends the gathering of commits early at that many ops; more may arrive while the disk is busy. 0:
	// DefaultMaxOps.
	MaxOps int

	// MaxPendingBytes bounds the unwritten commits and the unwritten later ops each, in bytes of keys and values with
	// some overhead. Over it a Commit fails with ErrFull and a Later is dropped and counted. 0:
	// DefaultMaxPendingBytes.
	MaxPendingBytes int64

	// Logger logs when writing starts to fail and when it works again. nil: no log.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	o.CommitInterval = max(0, cmp.Or(o.CommitInterval, DefaultCommitInterval))
	o.Window = max(0, cmp.Or(o.Window, DefaultWindow))
	o.MaxOps = cmp.Or(max(0, o.MaxOps), DefaultMaxOps)
	o.MaxPendingBytes = cmp.Or(max(0, o.MaxPendingBytes), DefaultMaxPendingBytes)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
