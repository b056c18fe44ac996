package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// exitTimeout is the exit status when the time of -W is over, as mosquitto_sub's.
const exitTimeout = 27

// subFlags are the flags of outcry sub.
type subFlags struct {
	clientFlags
	topics       []string
	without      []string
	qos          int
	count        int
	timeout      seconds
	noRetained   bool
	retainedOnly bool
	keepSession  bool
	noLocal      bool
	maxRate      float64
	onceReady    bool
	print        printFlags
}

const subLong = `Subscribe to topics of an MQTT broker and print what comes: what mosquitto_sub does, with its flags.

When the connection is lost it comes back by itself.

With --json each message is an object on a line of its own, with topic, payload (or payload_b64, in base64, if it is
not text), qos, retain, time and, if there are any, props.

-F prints each message by a format, in which \n, \t and these are replaced: %t topic, %p payload, %x payload in
hexadecimal, %l its length in bytes, %q QoS, %r 1 if retained, %U Unix time, %I ISO time, %j the JSON of --json, %% a %.

Exit status: 0 done (-C messages came, or it was interrupted), 1 an error, or the broker refused, 27 the time of -W is
over.`

const subExample = `  outcry sub -t 'ticker/#' -v
  outcry sub -t 'chat/+/say' --json --token-file data/guest.jwt | jq .payload
  outcry sub -t answers/me -C 1 -W 5
  outcry sub -t 'sensors/#' -T 'sensors/+/status' -F '%I %t %p'
  outcry sub -t 'ticker/#' --max-rate 1
  outcry sub -t jobs -q 1 -c -i worker-1`

func newSubCommand() *cobra.Command {
	f := &subFlags{}
	cmd := &cobra.Command{
		Use:     "sub -t FILTER...",
		Short:   "Subscribe to topics and print what comes",
		Long:    subLong,
		Example: subExample,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },

		SilenceUsage: true,
	}
	f.registerSub(cmd.Flags())
	return cmd
}

func (f *subFlags) registerSub(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.StringArrayVarP(&f.topics, "topic", "t", nil, "topic filter, may be repeated")
	fs.StringArrayVarP(&f.without, "filter-out", "T", nil, "do not print topics that match this filter, may be repeated")
	fs.IntVarP(&f.qos, "qos", "q", 0, "quality of service: 0, 1 or 2")
	fs.IntVarP(&f.count, "count", "C", 0, "end after so many messages")
	fs.VarP(&f.timeout, "timeout", "W", "end after so many seconds, with exit status 27")
	fs.BoolVarP(&f.noRetained, "no-retained", "R", false, "do not print retained messages")
	fs.BoolVar(&f.retainedOnly, "retained-only", false, "print retained messages only, and end when the first other comes")
	f.print.register(fs)
	fs.BoolVarP(&f.keepSession, "keep-session", "c", false, "keep the session when it ends, and continue the one of -i")
	fs.BoolVar(&f.noLocal, "no-local", false, "not what this client identifier publishes itself (MQTT 5)")
	fs.Float64Var(&f.maxRate, "max-rate", 0, "so many messages a second of each topic at most, the newest (MQTT 5, Outcry)")
	fs.BoolVarP(&f.onceReady, "exit-subscribed", "E", false, "end as soon as it has subscribed")
	f.register(fs)
	f.registerWill(fs)
}

// seconds is a flag that takes a number of seconds, or a duration with a unit.
type seconds time.Duration

// String is the flag's value.
func (s *seconds) String() string {
	return strconv.FormatFloat(time.Duration(*s).Seconds(), 'g', -1, 64)
}

// Type is what --help shows for the value.
func (s *seconds) Type() string { return "seconds" }

// Set reads the value.
func (s *seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, bad := strconv.ParseFloat(text, 64); bad == nil {
		d, err = time.Duration(n*float64(time.Second)), nil
	}
	if err != nil || d < 0 {
		return errors.New("want seconds, or a duration such as 500ms")
	}
	*s = seconds(d)
	return nil
}

func (f *subFlags) check() error {
	switch {
	case len(f.topics) == 0:
		return errors.New("no topic; give at least one with -t")
	case f.maxRate < 0:
		return fmt.Errorf("--max-rate %v: want a positive number", f.maxRate)
	case f.count < 0:
		return fmt.Errorf("--count %d: want a positive number", f.count)
	case f.noRetained && f.retainedOnly:
		return errors.New("-R and --retained-only leave nothing to print")
	case f.keepSession && f.id == "":
		return errors.New("-c needs a client identifier of your own; give one with -i")
	}
	if err := f.print.check(); err != nil {
		return err
	}
	return checkQoS("--qos", f.qos)
}

func (f *subFlags) run(cmd *cobra.Command) error {
	if err := f.check(); err != nil {
		return err
	}
	o, err := f.options()
	if err != nil {
		return err
	}
	switch {
	case o.version < 5 && f.noLocal:
		return errors.New("--no-local needs MQTT 5; leave out -V")
	case o.version < 5 && f.maxRate != 0:
		return errors.New("--max-rate needs MQTT 5; leave out -V")
	}
	o.keepSession = f.keepSession
	ctx, stop := clientContext(cmd)
	defer stop()
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(f.timeout), &exitError{code: exitTimeout})
		defer cancel()
	}
	s := &subscription{flags: f, options: o, errs: cmd.ErrOrStderr(), messages: make(chan *broker.Message, 256)}
	s.out = bufio.NewWriter(cmd.OutOrStdout())
	s.printer = f.print.printer(cmd.OutOrStdout())
	return s.run(ctx)
}
