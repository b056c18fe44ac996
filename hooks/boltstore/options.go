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

// Options say where a Store is and how it groups what it writes. Only Path is required.
type Options struct {
	// Path is the file. It is made with mode 0600, and its folder with mode 0700, if missing.
	Path string

	// CommitInterval is how long the first Commit waits for others to share its sync. 0: DefaultCommitInterval;
	// negative: not at all, so that only what comes during a sync shares the next one.
	CommitInterval time.Duration

	// Window is how long Later may hold an op back, and so what a crash may lose of them. 0: DefaultWindow;
	// negative: written at once, but not waited for.
	Window time.Duration

	// MaxOps ends the gathering of commits early when so many ops wait; what has come while the disk was busy may be
	// more. 0: DefaultMaxOps.
	MaxOps int

	// MaxPendingBytes bounds what waits to be written, of commits and of later ops each, in bytes of keys and values
	// with some overhead. Over it a Commit fails with ErrFull and a Later is dropped and counted. 0:
	// DefaultMaxPendingBytes.
	MaxPendingBytes int64

	// Logger hears when writing begins to fail and when it works again. nil: nobody does.
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
