package main

import (
	"fmt"
	"io"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
)

// progress shows the current step, the share done and an estimate of the remaining time.
type progress struct {
	out         io.Writer
	live        bool // standard error is a terminal: the line can be overwritten
	began       time.Time
	done, count int
	head        string // start of the line
}

// countRuns returns the number of runs of all works.
func countRuns(works []work, peers []*peer, rounds int) (n int) {
	for _, w := range works {
		for _, p := range peers {
			if p.supports(w) {
				n += rounds
			}
		}
	}
	return n
}

func (l *progress) begin(title string, w work) {
	left := ""
	if l.done > 0 {
		each := time.Since(l.began) / time.Duration(l.done)
		left = fmt.Sprintf(", %v left", (each * time.Duration(l.count-l.done)).Round(time.Second))
	}
	l.done++
	l.head = fmt.Sprintf("[%d of %d%s] %s: %s", l.done, l.count, left, title, w.title)
	fmt.Fprint(l.out, l.head)
}

// show overwrites the line with the bench's progress.
func (l *progress) show(p bench.Progress) {
	if l.live {
		fmt.Fprintf(l.out, "\r\x1b[K%s: %s, %d connected, %.0f/s", l.head, p.Phase, p.Connected, p.Rate)
	}
}

func (l *progress) end(text string) {
	if l.live {
		fmt.Fprintf(l.out, "\r\x1b[K%s", l.head)
	}
	fmt.Fprintf(l.out, ": %s\n", text)
}
