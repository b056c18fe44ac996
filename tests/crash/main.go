// Command crash checks that the broker loses no acknowledged message. It runs the real program with publishers and
// durable subscribers, kills it at random moments, restarts it with the same data, and compares deliveries with
// acknowledgements. README.md describes the checks and how to read a failure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/outcry-mqtt/outcry/tests/crash/disk"
)

// settings are the values of the flags.
type settings struct {
	outcry   string
	seed     uint64
	rounds   int
	clients  int
	duration time.Duration
	patience time.Duration
	lie      bool
	disk     string   // "", diskFull or diskErrors
	inside   bool     // a mount namespace of its own
	args     []string // for outcry serve
	self     []string // all arguments of crash
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == disk.CommandFiltered {
		fmt.Fprintln(os.Stderr, "crash:", disk.Filtered(os.Args[2:]))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, os.Args[1:], os.Stdout))
}

// execute runs the program with its arguments and returns its exit status: 0 if all promises were kept, 1 if not, 2
// if the run failed.
func execute(ctx context.Context, args []string, out io.Writer) int {
	s, err := parse(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = start(ctx, s, out)
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit): // of itself, in a mount namespace; it has printed the reason
		return exit.ExitCode()
	case err == nil:
		return 0
	case errors.Is(err, errBroken):
		return 1
	}
	fmt.Fprintln(out, "crash:", err)
	return 2
}

// start runs a trial. A trial with a full disk runs in a process that may mount one, if the system allows it.
func start(ctx context.Context, s *settings, out io.Writer) error {
	if s.disk != diskFull || s.inside {
		return run(ctx, s, out)
	}
	err := runInNamespace(ctx, s, out)
	if !errors.Is(err, disk.ErrUnsupported) {
		return err
	}
	fmt.Fprintf(out, "crash: no small disk (%v); a limit of file sizes stands in for it\n", err)
	return run(ctx, s, out)
}

const usage = `Kill the broker at random moments, and check that it loses no acknowledged message.

  crash [flags] [arguments for "outcry serve"]

`

func parse(args []string, out io.Writer) (*settings, error) {
	s := &settings{}
	if len(args) > 0 && args[0] == disk.CommandInside {
		s.inside, args = true, args[1:]
	}
	s.self = args
	fs := flag.NewFlagSet("crash", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.Usage = func() { fmt.Fprint(out, usage); fs.PrintDefaults() }
	fs.StringVar(&s.outcry, "outcry", "", "the program to kill; without it, one is built from the source")
	fs.Uint64Var(&s.seed, "seed", 0, "seed of an earlier run, to repeat its kills and the clients' choices, as far as\n"+
		"the machine's timing allows; 0: a new seed")
	fs.IntVar(&s.rounds, "rounds", 200, "kills with SIGKILL; orderly stops come on top")
	fs.IntVar(&s.clients, "clients", 24, "publishers and subscribers; a third publish")
	fs.DurationVar(&s.duration, "duration", 0, "kill no more after this time; 0: no limit")
	fs.DurationVar(&s.patience, "patience", time.Minute, "time without progress after which the run fails")
	fs.BoolVar(&s.lie, "lie", false, "sometimes restore an older store, like a disk that loses synced writes: the run must fail,\n"+
		"which shows that it detects lost messages")
	fs.StringVar(&s.disk, "disk", "", "full: the disk fills up at times; errors: writes and syncs fail at times")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	s.args = fs.Args()
	if s.rounds < 1 || s.clients < 12 {
		return nil, errors.New("want at least 1 round and 12 clients")
	}
	if s.disk != "" && s.disk != diskFull && s.disk != diskErrors {
		return nil, fmt.Errorf("--disk %s: want %s or %s", s.disk, diskFull, diskErrors)
	}
	for s.seed == 0 {
		s.seed = uint64(rand.Uint32())
	}
	return s, nil
}
