package broker

import (
	"context"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/outcry-mqtt/outcry/broker/guard"
)

const (
	lineBurst       = 10               // lines of a kind at once
	linesPerSecond  = 1                // of a kind, after lineBurst
	maxLineKinds    = 64               // hooks choose labels; further kinds share one
	suppressedAfter = 10 * time.Second // delay after which the number of suppressed lines is logged
	maxShownBytes   = 128              // bytes of a text from a peer
)

// lines writes log lines that peers can cause at any rate. Of each kind it writes lineBurst lines at once, and linesPerSecond after
// that. It counts the others, and logs their number with the next line of the kind or after suppressedAfter.
type lines struct {
	// Static after construction.
	log  *slog.Logger
	now  func() int64 // monotonic, in nanoseconds
	rate guard.Rate

	mu    sync.Mutex // guards the fields below; not held while a line is written
	kinds map[string]*lineKind
	ended bool
}

type lineKind struct {
	paid       int64       // see guard.Rate
	suppressed uint64      // lines since the last written one
	report     *time.Timer // logs suppressed; nil if that is 0
}

func newLines(log *slog.Logger, now func() int64) *lines {
	return &lines{log: log, now: now, rate: guard.NewRate(linesPerSecond, lineBurst), kinds: make(map[string]*lineKind)}
}

// write logs a line of a kind, or counts it as suppressed. The arguments are as for slog.
func (l *lines) write(level slog.Level, kind, msg string, args ...any) {
	if suppressed, ok := l.take(level, kind); ok {
		l.put(level, msg, suppressed, args)
	}
}

func (l *lines) put(level slog.Level, msg string, suppressed uint64, args []any) {
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	l.log.Log(context.Background(), level, msg, args...)
}

// take reports whether a line of a kind may be written, and the number of suppressed lines since the last one.
func (l *lines) take(level slog.Level, kind string) (suppressed uint64, ok bool) {
	if !l.log.Enabled(context.Background(), level) {
		return 0, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kind(&kind)
	if !l.rate.Take(&k.paid, l.now(), 1) {
		k.suppressed++
		if k.report == nil && !l.ended {
			k.report = time.AfterFunc(suppressedAfter, func() { l.report(kind) })
		}
		return 0, false
	}
	return k.forget(), true
}

// kind returns the kind of a name. Beyond maxLineKinds it returns the shared kind and changes the name.
func (l *lines) kind(name *string) *lineKind {
	if l.kinds[*name] == nil && len(l.kinds) >= maxLineKinds {
		*name = "other"
	}
	k := l.kinds[*name]
	if k == nil {
		k = new(lineKind)
		l.kinds[*name] = k
	}
	return k
}

// forget returns the number of suppressed lines and resets it.
func (k *lineKind) forget() (suppressed uint64) {
	suppressed, k.suppressed = k.suppressed, 0
	if k.report != nil {
		k.report.Stop()
		k.report = nil
	}
	return suppressed
}

// report logs the number of suppressed lines of a kind.
func (l *lines) report(kind string) {
	l.mu.Lock()
	n := l.kinds[kind].forget()
	l.mu.Unlock()
	if n > 0 {
		l.log.Info("lines suppressed", "kind", kind, "suppressed", n)
	}
}

// end logs the remaining numbers of suppressed lines. After that no timer logs any.
func (l *lines) end() {
	l.mu.Lock()
	l.ended = true
	var left []string
	for name, k := range l.kinds {
		if k.report != nil {
			left = append(left, name)
		}
	}
	l.mu.Unlock()
	for _, name := range left {
		l.report(name)
	}
}

// shown shortens a text from a peer to maxShownBytes, for the log.
func shown(text string) string {
	if len(text) <= maxShownBytes {
		return text
	}
	end := maxShownBytes
	for end > maxShownBytes-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
