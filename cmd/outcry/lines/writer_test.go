package lines

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
)

func testNotice(lines uint64) []byte { return fmt.Appendf(nil, "lost %d\n", lines) }

// TestLinesForAReaderThatDoesNotRead fills the queue while the first write hangs.
func TestLinesForAReaderThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		l := New(w, nil, testNotice)
		line := strings.Repeat("x", 1023) + "\n"
		fmt.Fprint(l, line)
		synctest.Wait() // the first line is being written
		const more = 10
		for range maxUnwritten/len(line) + more {
			fmt.Fprint(l, line)
		}
		if lost := l.Lost.Load(); lost != more {
			t.Errorf("%d lines were lost, want %d", lost, more)
		}
		read := make(chan string)
		go func() {
			text, _ := io.ReadAll(r)
			read <- string(text)
		}()
		synctest.Wait()
		fmt.Fprint(l, "after\n")
		l.Close(outcrytest.WaitLimit)
		w.Close()
		text := <-read
		if want := strings.Repeat(line, 1+maxUnwritten/len(line)) + "lost 10\nafter\n"; text != want {
			t.Errorf("%d bytes were read, which end with %q", len(text), text[max(0, len(text)-40):])
		}
	})
}

// TestCloseDoesNotWaitForTheReader closes a writer whose write hangs.
func TestCloseDoesNotWaitForTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		l := New(w, nil, testNotice)
		fmt.Fprint(l, "line\n")
		l.Close(300 * time.Millisecond)
		fmt.Fprint(l, "too\nlate\n")
		if lost := l.Lost.Load(); lost != 2 {
			t.Errorf("%d lines were lost, want 2", lost)
		}
		r.Close()
		<-l.stopped
	})
}

// faultyWriter fails beyond a number of bytes.
type faultyWriter struct {
	mu   sync.Mutex
	text strings.Builder
	room int // bytes
}

func (f *faultyWriter) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(b), f.room)
	f.room -= n
	f.text.Write(b[:n])
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (f *faultyWriter) makeRoom(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room = n
}

func TestLinesOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faultyWriter{room: 8}
		failures := 0
		l := New(f, func(err error) {
			failures++
			if !errors.Is(err, syscall.ENOSPC) {
				t.Error(err)
			}
		}, testNotice)
		fmt.Fprint(l, "one\ntwo and a half\nthree\n")
		synctest.Wait()
		f.makeRoom(1000)
		fmt.Fprint(l, "four\nfive\n")
		l.Close(outcrytest.WaitLimit)
		if got, want := f.text.String(), "one\ntwo \nlost 2\nfour\nfive\n"; got != want {
			t.Errorf("it has %q, want %q", got, want)
		}
		if lost := l.Lost.Load(); lost != 2 || failures != 1 {
			t.Errorf("%d lines were lost, and %d failures told", lost, failures)
		}
	})
}

func TestLineAllocatesNothing(t *testing.T) {
	l := New(io.Discard, nil, nil)
	defer l.Close(outcrytest.WaitLimit)
	line := []byte("a line of the log\n")
	if n := testing.AllocsPerRun(1000, func() { l.Write(line) }); n >= 1 {
		t.Errorf("%v allocations for a line", n)
	}
}
