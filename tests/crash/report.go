package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/outcry-mqtt/outcry/tests/crash/history"
	"golang.org/x/term"
)

// traceFile is the trace of every packet, in the run's folder.
const traceFile = "trace.log"

// Limits of the shown faults, and of the shown lines of the trace for each.
const (
	maxFaults = 10
	maxLines  = 40
)

// display shows the progress of the run: continuously on a terminal, else every ten seconds.
type display struct {
	out   io.Writer
	live  bool
	every time.Duration
	next  time.Time
}

func newDisplay(out io.Writer) *display {
	d := &display{out: out, every: 10 * time.Second, next: time.Now().Add(10 * time.Second)}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		d.live, d.every = true, 200*time.Millisecond
	}
	return d
}

func (d *display) show(t *trial) {
	if time.Now().Before(d.next) {
		return
	}
	d.next = time.Now().Add(d.every)
	s := t.log.Stats()
	line := fmt.Sprintf("round %d, %d of %d kills, %d acknowledged, %d delivered, %d faults",
		t.round, t.kills.killed(), t.rounds, s.Acked, s.Received, len(t.log.Faults()))
	if t.stage.Ending() {
		line += fmt.Sprintf(", %d to come", t.log.Owed(0))
	}
	if d.live {
		fmt.Fprintf(d.out, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(d.out, line)
}

// clear erases the line on a terminal.
func (d *display) clear() {
	if d.live {
		fmt.Fprint(d.out, "\r\x1b[K")
	}
}

// verdict prints the summary and the faults.
func (t *trial) verdict() error {
	t.display.clear()
	if len(t.starts) == 0 {
		return nil
	}
	t.summary()
	faults := t.log.Faults()
	if len(faults) == 0 {
		return nil
	}
	counts := map[history.Kind]int{}
	for _, f := range faults {
		counts[f.Kind]++
	}
	fmt.Fprintf(t.out, "\nBROKEN: %d faults %v\n", len(faults), counts)
	for i, f := range faults {
		if i == maxFaults {
			fmt.Fprintf(t.out, "\n... and %d more\n", len(faults)-i)
			break
		}
		fmt.Fprintf(t.out, "\n%v\n", f)
		t.printTrace(f)
	}
	return errBroken
}

func (t *trial) summary() {
	s, k := t.log.Stats(), t.kills
	slices.Sort(t.starts)
	fmt.Fprintf(t.out, "kills       %d: %d at work, %d while starting, %d while stopping; %d orderly stops\n",
		k.killed(), k.running, k.starting, k.stopping, k.orderly)
	fmt.Fprintf(t.out, "messages    %d sent, %d sent again, %d acknowledged, %d refused\n", s.Sent, s.Resent, s.Acked, s.Refused)
	fmt.Fprintf(t.out, "deliveries  %d, %d duplicates with QoS 1, %d to a second member of a group\n", s.Received, s.Duplicates, s.SharedTwice)
	fmt.Fprintf(t.out, "starts      %v to %v, half of them in %v\n", round(t.starts[0]), round(t.starts[len(t.starts)-1]),
		round(t.starts[len(t.starts)/2]))
	if t.disk != "" {
		fmt.Fprintf(t.out, "disk        %s\n", t.failure.summary())
	}
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// printTrace prints the lines of the trace that concern a fault's message, by its publisher and by the fault's client.
func (t *trial) printTrace(f history.Fault) {
	if f.Message == nil {
		return
	}
	trace, err := os.Open(filepath.Join(t.folder, traceFile))
	if err != nil {
		fmt.Fprintln(t.out, err)
		return
	}
	defer trace.Close()
	lines := 0
	for s := bufio.NewScanner(trace); s.Scan() && lines < maxLines; {
		if concerns(s.Text(), f) {
			fmt.Fprintf(t.out, "  %s\n", s.Text())
			lines++
		}
	}
}

// concerns reports whether a line of the trace concerns a fault.
func concerns(line string, f history.Fault) bool {
	fields := strings.Fields(line)
	return slices.Contains(fields, f.Message.ID.String()) &&
		(fields[2] == f.Message.Publisher || fields[2] == f.Who || strings.HasPrefix(f.Who, "$share/"))
}
