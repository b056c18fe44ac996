// Command outcry is an MQTT broker for screens and things, with the tools around it: clients, tokens, simulated devices.
// It reads the configuration, puts the parts together and starts and stops them; it speaks no MQTT of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs one command and returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return exitCode(root.ExecuteContext(ctx), stderr)
}

// exitCode prints an error and returns the exit status that stands for it.
func exitCode(err error, stderr io.Writer) int {
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

// printError prints an error that may be several. Problems of the configuration begin with their position, as editors
// like it.
func printError(w io.Writer, err error) {
	for _, e := range flatten(err) {
		if p, ok := e.(config.Problem); ok {
			fmt.Fprintln(w, p)
		} else if text := e.Error(); text != "" {
			fmt.Fprintln(w, "outcry: "+text)
		}
	}
}
