// Package command is the common part of all commands: exit statuses and errors, the flags that select a
// configuration, and the version. Its only command is version.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Flatten returns the individual errors of a joined error, and each problem of Problems.
func Flatten(err error) (all []error) {
	switch err := err.(type) {
	case nil:
	case config.Problems:
		for _, p := range err {
			all = append(all, p)
		}
	case interface{ Unwrap() []error }:
		for _, e := range err.Unwrap() {
			all = append(all, Flatten(e)...)
		}
	default:
		all = append(all, err)
	}
	return all
}

// ExitError ends the program with a specific exit status. Without an error inside it prints nothing.
type ExitError struct {
	Code int
	Err  error
}

// ExitCode returns the exit status.
func (e *ExitError) ExitCode() int { return e.Code }

// Error returns the text of the error inside, or "".
func (e *ExitError) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

// Unwrap returns the error inside.
func (e *ExitError) Unwrap() error { return e.Err }

// Context returns a context that ends with the command's, or at the first SIGINT or SIGTERM.
func Context(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
}

// ExitCode prints an error and returns its exit status.
func ExitCode(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	printError(stderr, err)
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return 1
}

// printError prints an error, one line for each part. Problems of the configuration begin with their position, in the
// form that editors recognize.
func printError(w io.Writer, err error) {
	for _, e := range Flatten(err) {
		if p, ok := e.(config.Problem); ok {
			fmt.Fprintln(w, p)
		} else if text := e.Error(); text != "" {
			fmt.Fprintln(w, "outcry: "+text)
		}
	}
}

// NoSuch returns the error for an argument of a command without arguments.
func NoSuch(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	cmd.SuggestionsMinimumDistance = 2
	if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
		text += "; did you mean " + strings.Join(meant, " or ") + "?"
	}
	return fmt.Errorf("%s\nsee %s --help", text, cmd.CommandPath())
}

// ExplainFlag adds suggestions and a reference to help to an error of flags.
func ExplainFlag(cmd *cobra.Command, err error) error {
	text := err.Error()
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && len(unknown.GetSpecifiedName()) > 1 {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if meant := config.Suggest(unknown.GetSpecifiedName(), names); meant != "" {
			text += "; did you mean --" + meant + "?"
		}
	}
	return fmt.Errorf("%s\nsee %s --help", text, cmd.CommandPath())
}
