package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/outcry-mqtt/outcry/bench"
	"github.com/outcry-mqtt/outcry/cmd/outcry/client"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// exitInterrupted is the exit status of a run that SIGINT ended early, as by a shell.
const exitInterrupted = 130

// secondSignal is the time after the first signal from which another one ends the program at once. timeout(1) sends
// two.
const secondSignal = 500 * time.Millisecond

// bench runs a scenario and prints its report.
func (f *benchFlags) bench(cmd *cobra.Command) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	ctx, stop := command.Context(cmd)
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(secondSignal, stop) })
	line := newBenchLine(cmd.ErrOrStderr(), f.quiet)
	o.Progress = line.show
	report, err := bench.Run(ctx, o)
	line.clear()
	if report == nil {
		err = f.explain(err, o.User)
		if ctx.Err() != nil {
			err = &command.ExitError{Code: exitInterrupted, Err: errors.New("interrupted before the measurement")}
		}
		return err
	}
	if err := f.print(cmd.OutOrStdout(), report); err != nil {
		return err
	}
	var failures []error
	if err != nil {
		failures = append(failures, &command.ExitError{Code: exitInterrupted, Err: errors.New("interrupted: these are the results so far")})
	}
	for _, text := range report.Failures(f.strict) {
		failures = append(failures, errors.New(text))
	}
	return errors.Join(failures...)
}

// explain adds a remedy to a broker's refusal of the user.
func (f *benchFlags) explain(err error, user string) error {
	var refused *bench.RefusedError
	switch {
	case !errors.As(err, &refused) || !refused.IsForbidden():
		return err
	case refused.Filter != "" && user != "":
		return fmt.Errorf("%w\nthe broker's rules deny that to the user %s: choose other topics with -i, with the rules of "+
			"Outcry's config.yaml below -i sensors/%s; or start the broker with --open", err, user, user)
	case user != "":
		return fmt.Errorf("%w\nthe broker refuses the user %s or the password: give another token, with --token-file or in $%s; "+
			"or start the broker with --open", err, user, client.TokenEnv)
	}
	return fmt.Errorf("%w\nthe broker requires a login: give a token, with --token-file or in $%s, such as one of "+
		"outcry token --user bench; or start the broker with --open", err, client.TokenEnv)
}

func (f *benchFlags) print(out io.Writer, report *bench.Report) error {
	if f.json {
		return json.NewEncoder(out).Encode(report)
	}
	return report.Print(out)
}

// benchLine shows progress on one line, which it overwrites, on a terminal only.
type benchLine struct {
	out   io.Writer // nil: no output
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
