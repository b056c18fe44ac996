// Package lines writes lines to a reader that may be slow, broken or absent. A Write never waits for the reader.
package lines

import (
	"bytes"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// maxUnwritten bounds the unwritten lines, in bytes.
const maxUnwritten = 1 << 20

// Writer writes lines from a goroutine of its own, so that logging never waits for a reader: a pipe may be full, a
// terminal stopped, a disk full, a log driver gone. It counts lost lines. Its methods are safe for concurrent use.
type Writer struct {
	// Static after construction.
	out     io.Writer
	failed  func(error)               // called when writing starts to fail; nil: not called
	notice  func(lines uint64) []byte // returns the line that reports lost lines; nil: none
	wake    chan struct{}             // 1: there are lines to write, or it is closed
	stopped chan struct{}             // closed when the goroutine has ended

	Lost atomic.Uint64 // lost lines since the start

	// Owned by the goroutine.
	failing    bool   // the last write failed
	cut        bool   // only a part of the last line is written
	unreported uint64 // lost lines that no notice has reported

	mu      sync.Mutex // guards the fields below; never held across a write
	waiting []byte     // whole lines
	spare   []byte     // the emptied buffer of earlier lines
	dropped uint64     // lines that came while waiting was full
	closed  bool
}

// New starts the goroutine. It ends with Close.
func New(w io.Writer, failed func(error), notice func(lines uint64) []byte) *Writer {
	l := &Writer{out: w, failed: failed, notice: notice, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	go l.run()
	return l
}

// IsTerminal reports whether the lines go to a terminal.
func (l *Writer) IsTerminal() bool {
	f, ok := l.out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Write queues complete lines. It never waits and never fails: lines beyond maxUnwritten are lost and counted.
func (l *Writer) Write(lines []byte) (int, error) {
	l.mu.Lock()
	if l.closed || l.dropped > 0 || len(l.waiting)+len(lines) > maxUnwritten {
		n := countLines(lines)
		l.dropped += n
		l.Lost.Add(n)
	} else {
		l.waiting = append(l.waiting, lines...)
	}
	l.mu.Unlock()
	l.wakeUp()
	return len(lines), nil
}

// Close writes the queued lines, for at most d. Later lines are lost. The goroutine stays if its write does not
// return.
func (l *Writer) Close(d time.Duration) {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.wakeUp()
	select {
	case <-l.stopped:
	case <-time.After(d):
	}
}

func (l *Writer) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Writer) run() {
	defer close(l.stopped)
	for range l.wake {
		for {
			lines, dropped, closed := l.take()
			l.writeAll(lines)
			l.recycle(lines)
			l.unreported += dropped
			if dropped > 0 && !l.failing {
				l.writeNotice()
			}
			if len(lines) > 0 {
				continue
			}
			if closed {
				return
			}
			break
		}
	}
}

// take returns the queued lines, and the number of lines dropped behind them.
func (l *Writer) take() (lines []byte, dropped uint64, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines, dropped = l.waiting, l.dropped
	l.waiting, l.spare, l.dropped = l.spare, nil, 0
	return lines, dropped, l.closed
}

// recycle returns the buffer, unless a burst has made it large.
func (l *Writer) recycle(buf []byte) {
	if cap(buf) > maxUnwritten/16 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare = buf[:0]
}

// writeAll writes line by line: a pipe does not mix a short line with those of other writers.
func (l *Writer) writeAll(lines []byte) {
	for len(lines) > 0 {
		line := lines
		if end := bytes.IndexByte(lines, '\n'); end >= 0 {
			line = lines[:end+1]
		}
		lines = lines[len(line):]
		if l.unreported > 0 && !l.writeNotice() || !l.write(line) {
			l.unreported++
			l.Lost.Add(1)
		}
	}
}

// writeNotice writes the notice of lost lines, and reports whether it succeeded.
func (l *Writer) writeNotice() bool {
	if l.notice != nil && !l.write(l.notice(l.unreported)) {
		return false
	}
	l.unreported = 0
	return true
}

// write writes a line, after the end of an incomplete one.
func (l *Writer) write(line []byte) bool {
	if l.cut {
		line = append([]byte{'\n'}, line...)
	}
	n, err := l.out.Write(line)
	if n > 0 {
		l.cut = n < len(line) && line[n-1] != '\n'
	}
	if err != nil && !l.failing && l.failed != nil {
		l.failed(err)
	}
	l.failing = err != nil
	return err == nil
}

// countLines counts the lines, including a last one without a line end.
func countLines(text []byte) uint64 {
	n := bytes.Count(text, []byte{'\n'})
	if len(text) > 0 && text[len(text)-1] != '\n' {
		n++
	}
	return uint64(n)
}
