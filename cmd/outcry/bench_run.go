package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// exitInterrupted is the exit status of a run that SIGINT ended early, as a shell has it.
const exitInterrupted = 130

// secondSignal is how long after the first signal another one ends the program at once. timeout(1) sends two.
const secondSignal = 500 * time.Millisecond

// bench runs a scenario and prints its report.
func (f *benchFlags) bench(cmd *cobra.Command) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	ctx, stop := clientContext(cmd)
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(secondSignal, stop) })
	line := newBenchLine(cmd.ErrOrStderr(), f.quiet)
	o.Progress = line.show
	report, err := bench.Run(ctx, o)
	line.clear()
	if report == nil {
		if ctx.Err() != nil {
			err = &exitError{exitInterrupted, errors.New("interrupted before anything was measured")}
		}
		return err
	}
	if err := f.print(cmd.OutOrStdout(), report); err != nil {
		return err
	}
	var failures []error
	if err != nil {
		failures = append(failures, &exitError{exitInterrupted, errors.New("interrupted: this is what was measured until then")})
	}
	for _, text := range report.Failures(f.strict) {
		failures = append(failures, errors.New(text))
	}
	return errors.Join(failures...)
}

func (f *benchFlags) print(out io.Writer, report *bench.Report) error {
	if f.json {
		return json.NewEncoder(out).Encode(report)
	}
	return report.Print(out)
}

// benchLine shows progress: one line, over the last, and only on a terminal.
type benchLine struct {
	out   io.Writer // nil: nowhere
	shown bool
}

func newBenchLine(out io.Writer, quiet bool) *benchLine {
	if file, ok := out.(*os.File); ok && !quiet && term.IsTerminal(int(file.Fd())) {
		return &benchLine{out: out}
	}
	return &benchLine{}
}

func (l *benchLine) show(p bench.Progress) {
	if l.out == nil {
		return
	}
	l.shown = true
	fmt.Fprintf(l.out, "\r\x1b[K%s: %d connected, %d sent, %d received, %.0f/s", p.Phase, p.Connected, p.Sent, p.Received, p.Rate)
}

func (l *benchLine) clear() {
	if l.shown {
		fmt.Fprint(l.out, "\r\x1b[K")
	}
}
